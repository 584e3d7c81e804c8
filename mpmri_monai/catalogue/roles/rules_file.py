"""YAML files written by people, such as protocols and site rules: read safely, checked, faults named."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from mpmri_monai.errors import ConfigError

MAX_BYTES = 2**20
"""Larger files are no rules that a person wrote (bytes)."""
MAX_FAULTS_SHOWN = 6
TEXT, MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"
"""Kinds of keys: words, and the sign ``<<`` that takes over the keys of another mapping."""


class Rules(BaseModel):
    """Base of what such files hold: fixed once read, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Content = TypeVar("Content", bound=Rules)


class _NoRepeats(yaml.SafeLoader):
    """YAML's own rule for a key that is given twice is to forget the first without a word."""


def _mapping(loader: _NoRepeats, node: yaml.MappingNode) -> dict[str, Any]:
    seen = set()
    for key, _ in node.value:
        if key.tag == MERGE:
            continue
        if key.tag != TEXT or key.value in seen:
            fault = f"{key.value} is given twice" if key.tag == TEXT else "a key that is no text"
            raise yaml.constructor.ConstructorError(None, None, fault, key.start_mark)
        seen.add(key.value)
    loader.flatten_mapping(node)  # what "<<" takes from elsewhere comes first, so own keys win
    return {
        loader.construct_object(key, deep=True): loader.construct_object(value, deep=True) for key, value in node.value
    }


_NoRepeats.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_rules(path: Path, kind: type[Content], what: str) -> Content:
    """Read a YAML file into ``kind``.

    Args:
        path: of the file.
        kind: model of its content.
        what: the content in words, such as "site rules".

    Raises:
        ConfigError: no such file, no YAML, or anything in it that ``kind`` does not know; it names the place.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise _error(what, f"a file larger than {MAX_BYTES >> 10} KiB", path)
        content = yaml.load(path.read_text(encoding="utf-8"), _NoRepeats)
    except (OSError, UnicodeDecodeError) as error:
        found = "nothing there" if isinstance(error, FileNotFoundError) else "a file that cannot be read as text"
        raise _error(what, found, path) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = "" if mark is None else f"line {mark.line + 1}: "
        raise _error(what, f"{line}{getattr(error, 'problem', None) or 'no YAML'}", path) from error
    except RecursionError as error:
        raise _error(what, "YAML that is nested too deeply", path) from error
    if not isinstance(content, dict):
        raise _error(what, "no keys and values", path)
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        faults = list(_faults(error, kind))
        more = f"; and {len(faults) - MAX_FAULTS_SHOWN} more" if len(faults) > MAX_FAULTS_SHOWN else ""
        raise _error(what, "; ".join(faults[:MAX_FAULTS_SHOWN]) + more, path) from error


def _error(what: str, found: str, path: Path) -> ConfigError:
    return ConfigError(expected=what, found=found, where=path.name, fix="see docs/site-rules.md", code="E_RULES")


def _faults(error: ValidationError, kind: type[BaseModel]) -> Iterator[str]:
    for detail in error.errors(include_url=False):
        place = ".".join(str(part) for part in detail["loc"] if part != "function-before")
        if detail["type"] == "extra_forbidden":
            near = get_close_matches(str(detail["loc"][-1]), sorted(_keys(kind)), n=1)
            yield f"unknown key {place}" + (f" (did you mean {near[0]}?)" if near else "")
        else:
            yield f"{place}: {detail['msg'].removeprefix('Value error, ')}" if place else detail["msg"]


def _keys(kind: type[BaseModel]) -> set[str]:
    """All keys of a model and of the models in it."""
    found: set[str] = set()
    for name, entry in kind.model_fields.items():
        found.add(entry.alias or name)
        for inner in _models(entry.annotation):
            found |= _keys(inner)
    return found


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _models(argument)
