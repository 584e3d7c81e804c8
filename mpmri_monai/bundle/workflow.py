"""The MONAI workflow that is running: where its bundle lies, what its configuration is, and a guard over the overrides.

MONAI accepts misspelt overrides at the top level, lets its command line retype strings (``2024_01`` becomes 202401) and
rewrites ``#`` in them (`reference_resolver`). A configuration's expressions are not told which workflow evaluates them;
it is found on the call stack, which is the only place where MONAI 1.6 leaves it.
"""

from __future__ import annotations

import copy
import inspect
import json
import sys
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from pydoc import locate
from typing import Any

from monai.bundle import ConfigItem, ConfigParser, ConfigWorkflow

from mpmri_monai.errors import BundleError, ConfigError, MpmriError

META = "_meta_"
PRETRAINED = "pretrained"
"""Key of the weights that a training starts from."""
RUN_ARGUMENTS = {
    "run_id", "init_id", "final_id", "meta_file", "config_file", "logging_file", "tracking", "args_file",
    "workflow_name", "workflow_type", "properties_path",
}  # fmt: skip
"""What ``python -m monai.bundle run`` takes for itself."""
MONAI_KEYS = {"run_name", "experiment_name", "tracking_uri", "save_execute_config", "is_not_rank0"}
"""What MONAI's experiment tracking and federated client add to a configuration, wanted or not."""
KINDS = {
    bool: ("True or False", (bool,)),
    int: ("a whole number", (int,)),
    float: ("a number", (int, float)),
    list: ("a list", (list, tuple)),
    dict: ("a group of settings", (dict,)),
}
"""What a value of each type may be overridden by, in words and as types."""
NOT_MADE = "Failed to instantiate component "
"""How MONAI begins the message of the error that wraps what a component raised."""
CONFIG_WORDS = {"_target_", "_disabled_", "_desc_", "_mode_", "_requires_", "imports"}


def current_workflow() -> ConfigWorkflow | None:
    """Return the workflow whose configuration is being evaluated, or None outside of one."""
    frame = inspect.currentframe()
    while frame is not None:
        candidate = frame.f_locals.get("self")
        if isinstance(candidate, ConfigWorkflow):
            return candidate
        frame = frame.f_back
    return None


def bundle_root() -> str:
    """Return the folder of the running bundle: the parent of the ``configs`` folder that its configuration lies in.

    Raises:
        BundleError: no bundle is running.
    """
    workflow = current_workflow()
    if workflow is None:
        raise BundleError(expected="to be called from a bundle's configuration", found="no running workflow")
    folder = Path(workflow.config_root_path).resolve()
    return str(folder.parent if folder.name == "configs" else folder)


def running_config() -> dict[str, Any]:
    """Return the merged configuration as it runs, overrides included, metadata left out.

    The weights to start from are named where an expression stands for them: whom they have seen is looked up by that
    name after the run, too.
    """
    workflow = current_workflow()
    if workflow is None:
        raise BundleError(expected="to be called from a bundle's configuration", found="no running workflow")
    config = {key: copy.deepcopy(value) for key, value in _raw_config(workflow.parser).items() if key != META}
    if PRETRAINED in config and _is_expression(config[PRETRAINED]):
        config[PRETRAINED] = str(workflow.parser.get_parsed_content(PRETRAINED))
    return config


def guard() -> None:
    """Check the overrides of the running workflow and put strings back as they were typed.

    To be the first entry of ``initialize``. On the command line it also makes errors meant for people end the
    program with their message alone.

    Raises:
        ConfigError: an override names a key that the configuration does not have (says which one may have been
            meant), or gives a text where a number belongs and the like.
    """
    workflow = current_workflow()
    if workflow is None:
        return
    if on_command_line():
        sys.excepthook = _show_for_people
    written = ConfigParser()
    written.read_config(_config_files(workflow))
    known = _raw_config(written)
    running = {key: value for key, value in _raw_config(workflow.parser).items() if key != META}
    _refuse_unknown({key: running[key] for key in running if key in known or key not in MONAI_KEYS}, known, ())
    if on_command_line():
        _restore_typed_strings(workflow.parser, known)


def on_command_line() -> bool:
    """Return whether this process was started by ``python -m monai.bundle``."""
    return Path(sys.argv[0]).parts[-3:] == ("monai", "bundle", "__main__.py")


def _raw_config(parser: ConfigParser) -> dict[str, Any]:
    return parser.get()


def _config_files(workflow: ConfigWorkflow) -> list[str]:
    typed = dict(_typed_options()).get("config_file") if on_command_line() else None
    if typed:
        return [name.strip(" '\"") for name in typed.strip("[]()").split(",")]
    return sorted(str(path) for path in Path(workflow.config_root_path).glob("*.json") if path.stem != "metadata")


def _refuse_unknown(config: Mapping[str, Any], known: Mapping[str, Any], path: tuple[str, ...]) -> None:
    """Walk ``config`` beside ``known`` and refuse keys that only it has, unless a component takes them."""
    allowed = set(known) | CONFIG_WORDS
    for key, value in config.items():
        if key not in allowed and key not in _parameters(known.get("_target_")):
            names = sorted((allowed | _parameters(known.get("_target_"))) - CONFIG_WORDS - {META, "initialize"})
            near = get_close_matches(key, names, n=1, cutoff=0.5)
            shown = "#".join((*path, key))
            raise ConfigError(
                expected="overrides that name a key of the configuration",
                found=f"--{shown}",
                fix=f"did you mean --{'#'.join((*path, near[0]))}?" if near else f"the keys are {', '.join(names)}",
                code="E_OVERRIDE",
            )
        if key in known:
            _refuse_other_kind(value, known[key], "#".join((*path, key)))
        if isinstance(value, Mapping) and isinstance(known.get(key), Mapping):
            _refuse_unknown(value, known[key], (*path, key))


def _refuse_other_kind(value: object, known: object, shown: str) -> None:
    """Refuse a text where the configuration has a number, and so on; expressions may give anything."""
    for kind, (name, fitting) in KINDS.items():
        if type(known) is kind and type(value) not in fitting and not _is_expression(value):
            raise ConfigError(expected=f"{name} for --{shown}", found=repr(value), code="E_OVERRIDE")


def _is_expression(value: object) -> bool:
    return value is None or (isinstance(value, str) and value[:1] in ("$", "@", "%"))


def _parameters(target: object) -> set[str]:
    """Return the names that the component ``target`` takes, or none when it cannot be looked up."""
    found = locate(target) if isinstance(target, str) and "." in target else None
    if found is None and isinstance(target, str):
        found = ConfigParser().locator.get_component_module_name(target)
        found = locate(f"{found}.{target}") if isinstance(found, str) else None
    if found is None:
        return set()
    names: set[str] = set()
    for kind in getattr(found, "__mro__", (found,)):
        try:
            names |= set(inspect.signature(kind).parameters)
        except (TypeError, ValueError):
            continue
    return names - {"self", "args", "kwargs", "options"}


def _typed_options() -> Iterator[tuple[str, str]]:
    """Yield (key, value) of the ``--key value`` and ``--key=value`` options on the command line, as typed."""
    arguments = sys.argv[1:]
    for index, argument in enumerate(arguments):
        if not argument.startswith("--"):
            continue
        key, equals, value = argument[2:].partition("=")
        if equals:
            yield key, value
        elif index + 1 < len(arguments) and not arguments[index + 1].startswith("--"):
            yield key, arguments[index + 1]


def _restore_typed_strings(parser: ConfigParser, known: Mapping[str, Any]) -> None:
    for key, typed in _typed_options():
        if key in RUN_ARGUMENTS or typed[:1] in ("$", "@", "%"):
            continue
        path = key.replace("::", "#").split("#")
        default: Any = known
        for step in path:
            default = default.get(step) if isinstance(default, Mapping) else None
        if not isinstance(default, str):
            continue
        item = "::".join(path)
        parser.ref_resolver.items[item] = ConfigItem(config=typed, id=item)
        parser.ref_resolver.resolved_content[item] = typed  # resolving would rewrite "#" once more
        holder = parser.get()
        for step in path[:-1]:
            holder = holder[step]
        holder[path[-1]] = typed


def _show_for_people(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """Print the message of an error meant for people, wherever MONAI wrapped it; anything else as usual.

    A value that a component refuses (a negative learning rate) is such an error too: MONAI names the component, the
    component says what is wrong.
    """
    seen: BaseException | None = error
    while seen is not None:
        cause = seen.__cause__ or seen.__context__
        if isinstance(seen, MpmriError):
            print(f"error: {seen}", file=sys.stderr)
            return
        if isinstance(cause, ValueError) and str(seen).startswith(NOT_MADE):
            component = str(seen).removeprefix(NOT_MADE).split()[0]
            print(f"error: E_OPTION: {component} cannot be made: {cause}", file=sys.stderr)
            return
        seen = cause
    sys.__excepthook__(kind, error, trace)


def as_json(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``config`` with everything that JSON does not know turned into text."""
    return json.loads(json.dumps(config, default=str))
