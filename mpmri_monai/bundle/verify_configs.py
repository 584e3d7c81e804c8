"""Checks of the configurations as data: MONAI's ids, references that lead nowhere, and one preprocessing for all.

Nothing is evaluated here: a configuration is read, merged as MONAI merges it, and looked through.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser
from monai.bundle.properties import InferProperties, TrainProperties
from monai.bundle.reference_resolver import ReferenceResolver
from monai.utils.enums import BundleProperty, BundlePropertyConfig

from mpmri_monai import artefacts
from mpmri_monai.bundle.verify_outcome import DoesNotApply
from mpmri_monai.bundle.weights_record import MODEL, record_of
from mpmri_monai.errors import BundleError
from mpmri_monai.samples import Settings

SEP = "::"
RUN_IDS = {"train": "training", "evaluate": "evaluating", "inference": "inference"}
ALONE = "bundle_root"
"""Key of a configuration that runs alone; one without it is merged onto train.json."""
BACKGROUND = "background"
"""What the settings of background regions begin with; a new study has none of those."""


def configs(bundle: Path) -> dict[str, dict[str, Any]]:
    """Return the configurations by name, each as it runs: the mixins merged onto train.json, nothing evaluated."""
    folder = bundle / "configs"
    found = {}
    for path in sorted(folder.glob("*.json")):
        if path.stem == "metadata":
            continue
        alone = path.stem == "train" or ALONE in artefacts.read_json(path)
        parser = ConfigParser()
        parser.read_config([str(path)] if alone else [str(folder / "train.json"), str(path)])
        found[path.stem] = {key: value for key, value in parser.get().items() if key != "_meta_"}
    return found


def check_keys(bundle: Path) -> str:
    """Return how many ids of MONAI's are there; raise BundleError with all that are missing, of all configurations."""
    missing, there = [], 0
    for name, config in configs(bundle).items():
        properties = InferProperties if name == "inference" else TrainProperties
        wanted = [str(one[BundlePropertyConfig.ID]) for one in properties.values() if one[BundleProperty.REQUIRED]]
        wanted += ["initialize", "run", *([RUN_IDS[name]] if name in RUN_IDS else [])]
        lost = [one.replace(SEP, "#") for one in wanted if not _leads_somewhere(config, one)]
        there += len(wanted) - len(lost)
        missing += [f"configs/{name}.json: {', '.join(lost)}"] if lost else []
    if missing:
        raise BundleError(
            expected="the ids that MONAI's verbs and workflows look for",
            found="no " + "; ".join(missing),
            fix="add them to the configuration",
            code="E_KEYS",
        )
    return f"{there} ids of MONAI's"


def check_references(bundle: Path) -> str:
    """Return how many references lead to a key; raise BundleError with all that do not, of all configurations."""
    lost, number = set(), 0
    for name, config in configs(bundle).items():
        for place, wanted in _references(config, ""):
            number += 1
            if not _leads_somewhere(config, wanted):
                lost.add(f"configs/{name}.json {place}: @{wanted.replace(SEP, '#')}")
    if lost:
        raise BundleError(
            expected="references to keys of the configuration",
            found="; ".join(sorted(lost)),
            fix="correct the names, or add the keys",
            code="E_REFERENCE",
        )
    return f"{number} references"


def check_preprocessing(bundle: Path) -> str:
    """Return how preprocessing is settled; raise BundleError where training, validation and inference differ.

    The builder is named in both configurations. Training takes its settings from train.json, inference those that
    the weights were trained with from reference.json.
    """
    found = configs(bundle)
    if "inference" not in found:
        raise DoesNotApply("the bundle has no inference: its weights start other trainings")
    train, inference = found["train"], found["inference"]
    builders = {
        f"configs/{name}.json {place}": _target(config, place)
        for name, config, place in (
            ("train", train, "train::preprocessing"),
            ("train", train, "validate::preprocessing"),
            ("inference", inference, "preprocessing"),
        )
    }
    if len(set(builders.values())) != 1 or None in builders.values():
        raise BundleError(
            expected="one and the same builder of preprocessing",
            found="; ".join(f"{place}: {target}" for place, target in builders.items()).replace(SEP, "#"),
            code="E_PREPROCESSING",
        )
    (builder,) = set(builders.values())
    if not (bundle / MODEL).is_file():
        return f"{builder} in both; its settings will travel with weights, and none are there"
    _refuse_other_settings(train, record_of(bundle / MODEL))
    return f"{builder} with equal settings in train.json and reference.json"


def _refuse_other_settings(train: dict[str, Any], reference: dict[str, Any]) -> None:
    ours, theirs = (
        {key: value for key, value in _settings(samples).items() if not key.startswith(BACKGROUND)}
        for samples in (train["samples"], reference["samples"])
    )
    ours |= {"task": train["task"], "averaging": train.get("averaging", False)}
    theirs |= {"task": reference["task"], "averaging": reference.get("averaging", False)}
    differing = [f"{key}: {ours[key]} and {theirs[key]}" for key in ours if ours[key] != theirs[key]]
    if differing:
        raise BundleError(
            expected="weights that were trained by the settings of configs/train.json",
            found="; ".join(f"{one} in models/reference.json" for one in differing),
            fix="write those of the weights into configs/train.json, or adopt a run of this configuration",
            code="E_PREPROCESSING",
        )


def _settings(samples: dict[str, Any]) -> dict[str, Any]:
    """Return all settings of samples, those included that are left at their default."""
    return Settings(**samples).model_dump(mode="json")


def _target(config: dict[str, Any], place: str) -> str | None:
    """Return what is built at ``place``, through references; None where they lead nowhere, or to each other."""
    value, passed = _at(config, place), set()
    while isinstance(value, str) and value.startswith("@") and value not in passed:
        passed.add(value)
        value = _at(config, value[1:].replace("#", SEP))
    return value.get("_target_") if isinstance(value, dict) else None


def _at(config: Any, place: str) -> Any:
    """Return the value at ``place`` (steps joined by "::"), or None; an expression on the way may hold anything."""
    for step in place.split(SEP):
        if isinstance(config, dict) and step in config:
            config = config[step]
        elif isinstance(config, list) and step.isdecimal() and int(step) < len(config):
            config = config[int(step)]
        elif isinstance(config, str) and config[:1] in ("$", "@", "%"):
            return config
        else:
            return None
    return config


def _leads_somewhere(config: dict[str, Any], place: str) -> bool:
    """Return whether a key is at ``place``, whatever it holds, null too."""
    above, _, last = place.rpartition(SEP)
    parent = _at(config, above) if above else config
    return _at(config, place) is not None or (isinstance(parent, dict) and last in parent)


def _references(value: Any, place: str) -> Iterator[tuple[str, str]]:
    """Yield (place, id) of every reference that MONAI would resolve."""
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _references(item, f"{place}#{key}" if place else str(key))
    elif isinstance(value, str) and value[:1] in ("$", "@"):
        text = ReferenceResolver.normalize_id(value)
        for wanted in ReferenceResolver.match_refs_pattern(text):
            yield place, _absolute(wanted, place)


def _absolute(wanted: str, place: str) -> str:
    """Return an id in full: one mark before it stands for the parent of ``place``, each further one for a step up."""
    name = wanted.lstrip(":")
    if name == wanted:
        return wanted
    steps = (len(wanted) - len(name)) // len(SEP)
    return SEP.join([*place.split("#")[:-steps], name])
