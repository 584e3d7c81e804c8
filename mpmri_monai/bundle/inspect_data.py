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
DEEPEST = 50
"""Levels of nesting; configurations of bundles have about ten."""

DATA_KINDS = (".json", ".yaml", ".yml")


class NotPlainDataError(Exception):
    """The text is no plain data; the message says why."""


def read_data(path: Path) -> Any:
    """Return the content of a JSON or YAML file.

    Raises:
        NotPlainDataError: too large, too deep, not UTF-8, not valid, a key twice, or an anchor, alias or tag of YAML.
    """
    is_json = path.suffix == ".json"
    if path.stat().st_size > (LARGEST_JSON if is_json else LARGEST_YAML):
        raise NotPlainDataError("larger than any configuration")
    try:
        text = path.read_bytes().decode("utf-8")
        content = _json(text) if is_json else _yaml(text)
        _refuse_deep(content)
    except UnicodeDecodeError:
        raise NotPlainDataError("not UTF-8") from None
    except RecursionError:
        raise NotPlainDataError("nested too deeply") from None
    except (ValueError, yaml.YAMLError) as error:
        raise NotPlainDataError(f"not valid: {str(error).splitlines()[0]}") from None
    return content


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


def _refuse_deep(content: Any) -> None:
    level = [content]
    for _ in range(DEEPEST + 1):
        level = [
            inner
            for one in level
            if isinstance(one, (dict, list))
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return
    raise NotPlainDataError("nested too deeply")
