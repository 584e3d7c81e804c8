"""JSON and YAML of a foreign bundle, read as data alone: capped in size and depth, and meaning one thing only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

LARGEST_JSON = 32 << 20
"""Bytes; the reference of a cohort of thousands of patients stays below."""
LARGEST_YAML = 1 << 20
"""Bytes; YAML is parsed in Python, a hundred times slower than JSON."""
MOST_VALUES = 250_000
"""In all files of a bundle together; a value takes a hundred times the memory of its text until it is judged."""
DEEPEST = 50
"""Levels of nesting; configurations of bundles have about ten."""

DATA_KINDS = (".json", ".yaml", ".yml")


class NotPlainDataError(Exception):
    """The text is no plain data; the message says why."""


def read_data(path: Path) -> tuple[Any, int]:
    """Return the content of a JSON or YAML file, and how many values it holds.

    Raises:
        NotPlainDataError: too large, too deep, not UTF-8 (YAML: not ASCII), not valid, a key twice, or an anchor, alias
            or tag of YAML.
    """
    is_json = path.suffix == ".json"
    if path.stat().st_size > (LARGEST_JSON if is_json else LARGEST_YAML):
        raise NotPlainDataError("larger than any configuration")
    try:
        text = path.read_bytes().decode("utf-8")
        content = _json(text) if is_json else _yaml(text)
        count = _values(content)
    except UnicodeDecodeError:
        raise NotPlainDataError("not UTF-8") from None
    except RecursionError:
        raise NotPlainDataError("nested too deeply") from None
    except (ValueError, yaml.YAMLError) as error:
        raise NotPlainDataError(f"not valid: {str(error).splitlines()[0]}") from None
    return content, count


def _json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_without_doubles)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise NotPlainDataError("a key stands twice in one object")
    return content


class _PlainLoader(yaml.SafeLoader):
    """YAML without keys that stand twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if len(set(map(repr, keys))) < len(keys):
            raise NotPlainDataError("a key stands twice in one mapping")
        return super().construct_mapping(node, deep)


def _yaml(text: str) -> Any:
    # MONAI opens files in the machine's own encoding. In some a letter takes the ASCII sign behind it along, such as
    # the backslash before a quote. In JSON what is read otherwise holds no letters; YAML needs no quotes around code.
    if not text.isascii():
        raise NotPlainDataError("YAML with more than ASCII, which other machines read otherwise")
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise NotPlainDataError("an anchor or alias, with which a few lines can stand for millions")
        tag = getattr(event, "tag", None)
        if tag:
            raise NotPlainDataError(f"the tag {tag}, with which YAML can name Python objects")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise NotPlainDataError("nested too deeply")
    return yaml.load(text, Loader=_PlainLoader)


def _values(content: Any) -> int:
    """Return how many values there are, those that hold others included; raise when nested too deeply."""
    count, level = 0, [content]
    for _ in range(DEEPEST + 1):
        count += len(level)
        level = [
            inner
            for one in level
            if isinstance(one, (dict, list))
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return count
    raise NotPlainDataError("nested too deeply")
