"""The tree of a foreign bundle's JSON or YAML file, in the language that MONAI reads into it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mpmri_monai.bundle.inspect_allowed import ACCESS, CALLABLES, ONLY_KEYWORDS, SHORT_NAMES, WRITES_TO
from mpmri_monai.bundle.inspect_expression import (
    FOLDERS,
    calls_of,
    is_made_for_it,
    is_run_folder,
    judge_expression,
    judge_reference,
)
from mpmri_monai.bundle.inspect_finding import Finding, finding
from mpmri_monai.bundle.inspect_names import Names, NotPythonError, imported, parsed, parts
from mpmri_monai.bundle.inspect_text import judge_free_text, judge_text, judge_unseen

_KEY = re.compile(r"\+?\w+((#|::)\w+)*")
_PLACE = re.compile(r"(#|::)\d\w*(#|::|$)")
"""A step to an item of a list by its place, which is another one after a ``+`` key has put lists together."""
_REFERENCE = re.compile(r"@(?:\w*)(?:(?:#|::)\w*)*")
_MACRO = re.compile(r"%\w+((#|::)\w+)*")
_SHAPE = re.compile(r"\*|\d+|\d+\*n|\d+\*\*p(\*n)?|[np]")
_MODES = ("default", "callable")
_SPECIAL = frozenset({"_target_", "_mode_", "_disabled_", "_requires_", "_desc_"})
KNOWN_PACKAGES = frozenset(
    (
        "mpmri_monai",
        "monai",
        "torch",
        "pytorch-ignite",
        "numpy",
        "scipy",
        "scikit-learn",
        "pandas",
        "pydicom",
        "nibabel",
        "highdicom",
        "SimpleITK",
        "itk",
        "matplotlib",
        "pillow",
        "pydantic",
        "einops",
        "nvflare",
        "pynetdicom",
    )
)
"""Packages that a bundle may ask for without a note: a name a letter off is how one installs something else."""


@dataclass
class Uses:
    """What the configurations of a bundle name: classes and functions built, modules imported, functions called."""

    targets: set[str] = field(default_factory=set)
    imports: set[str] = field(default_factory=set)
    calls: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class ConfigFile:
    """One JSON or YAML file of a bundle, read as data.

    Attributes:
        name: path inside the bundle.
        content: as read.
        is_metadata: ``metadata.json``, whose text is for people.
        is_config: lies in ``configs``, so MONAI's language counts for its keys too.
    """

    name: str
    content: Any
    is_metadata: bool
    is_config: bool


def inspect_configs(files: list[ConfigFile], uses: Uses) -> Iterator[Finding]:
    """Yield what is found in the JSON and YAML files of one bundle; add what they name to ``uses``.

    Any of the files may be merged with any other, so a reference means everything that one of them says.
    """
    names = Names()
    for file in files:
        if not file.is_metadata:
            names.add(file.content)
    for file in files:
        yield from _Walk(file, names, uses).walk(file.content, ())
    for identifier, values in names.items.items():
        for code, what in _judge_item(identifier, values, names):
            yield finding(code, f"all configurations: {identifier}", what)
    for name in sorted((uses.targets | uses.calls) & ACCESS.keys()):
        yield finding("N_ACCESS", name, ACCESS[name])


def _judge_item(identifier: str, values: list[Any], names: Names) -> Iterator[tuple[str, str]]:
    """What can be seen only over all files: where things write, and the arguments of what is listed with conditions."""
    if identifier in FOLDERS:
        for value in values:
            here = identifier == "bundle_root" and value == "."
            if not here and not is_made_for_it(identifier, value, names):
                yield "E_PATH", f"{identifier} = {value}"
    parent, _, last = identifier.rpartition("::")
    if last != "_target_":
        return
    targets = {SHORT_NAMES.get(value, value) for value in values if isinstance(value, str)}
    for target in sorted(targets & (ONLY_KEYWORDS.keys() | WRITES_TO.keys())):
        modes = names.values(f"{parent}::_mode_")
        if any(mode != "default" for mode in modes):
            yield "E_ARGUMENT", f"{target} handed on"
        if target in ONLY_KEYWORDS:
            given = {
                one.removeprefix(f"{parent}::").split("::")[0] for one in names.items if one.startswith(f"{parent}::")
            }
            if not given - _SPECIAL <= ONLY_KEYWORDS[target]:
                yield "E_ARGUMENT", f"{target} with {', '.join(sorted(given - _SPECIAL))}"
        if target in WRITES_TO:
            for place in names.values(f"{parent}::{WRITES_TO[target][0]}"):
                if not _is_place_of_the_run(place):
                    yield "E_ARGUMENT", f"{target} writes to {place}"


def _is_place_of_the_run(place: Any) -> bool:
    if place == "@output_dir":
        return True
    try:
        statement = parsed(place) if isinstance(place, str) and place.startswith("$") else None
    except NotPythonError:
        return False
    return isinstance(statement, ast.Expr) and is_run_folder(statement.value)


class _Walk:
    """Goes through one file; every string is judged by what MONAI would do with it."""

    def __init__(self, file: ConfigFile, names: Names, uses: Uses) -> None:
        self.file, self.names, self.uses = file, names, uses

    def _found(self, path: tuple[str, ...], pairs: Iterator[tuple[str, str]]) -> Iterator[Finding]:
        where = f"{self.file.name}: {'::'.join(path)}" if path else self.file.name
        return (finding(code, where, what) for code, what in pairs)

    def walk(self, content: Any, path: tuple[str, ...]) -> Iterator[Finding]:
        if isinstance(content, Mapping):
            for key, value in content.items():
                yield from self._found(path, self._judge_key(key))
                yield from self._member(value, (*path, *parts(key)))
        elif isinstance(content, list):
            for index, value in enumerate(content):
                yield from self.walk(value, (*path, str(index)))
        elif isinstance(content, str):
            yield from self._found(path, self._judge_string(content, path))

    def _member(self, value: Any, path: tuple[str, ...]) -> Iterator[Finding]:
        special = path[-1]
        if special == "_target_":
            yield from self._found(path, self._judge_target(value))
        elif special == "_mode_" and value not in _MODES:
            yield from self._found(path, iter([("E_MODE", f"{value}")]))
        elif special == "_debug_":
            yield from self._found(path, iter([("E_MODE", "_debug_ opens a debugger")]))
        elif special == "required_packages_version" and isinstance(value, Mapping):
            strange = (("N_PACKAGE", str(name)) for name in value if name not in KNOWN_PACKAGES)
            yield from self._found(path, strange)
            yield from self.walk(value, path)
        elif "spatial_shape" in path and self._is_metadata(path):
            sides = value if isinstance(value, list) and special == "spatial_shape" else [value]
            odd = (("E_SHAPE", str(one)) for one in sides if not _SHAPE.fullmatch(str(one).replace(" ", "")))
            yield from self._found(path, odd)
        else:
            yield from self.walk(value, path)

    def _is_metadata(self, path: tuple[str, ...]) -> bool:
        return self.file.is_metadata or "_meta_" in path

    def _judge_key(self, key: Any) -> Iterator[tuple[str, str]]:
        if not isinstance(key, str):
            yield "E_KEY", f"a key that is no text: {key}"
            return
        yield from judge_unseen(key)
        if self.file.is_metadata:
            return
        if _PLACE.search(key) or (self.file.is_config and not _KEY.fullmatch(key)):
            yield "E_KEY", key

    def _judge_target(self, target: Any) -> Iterator[tuple[str, str]]:
        if self.file.is_metadata:
            yield "E_TARGET", f"{target} in the metadata"
        elif isinstance(target, str) and target in CALLABLES | SHORT_NAMES.keys():
            self.uses.targets.add(target)
        else:
            yield "E_TARGET", f"{target}"

    def _judge_string(self, text: str, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        if self.file.is_metadata and text.startswith(("$", "%", "@")):
            yield "E_TEXT", f"MONAI would evaluate this text of the metadata: {text}"
        if text.startswith("$"):
            self._note_uses(text)
            yield from judge_expression(text, self.names)
        elif _REFERENCE.fullmatch(text):
            yield from judge_reference(_absolute(text[1:], path), self.names)
        elif text.startswith("%"):
            if not _MACRO.fullmatch(text):
                yield "E_MACRO", text
            else:
                yield from judge_reference(text[1:].replace("#", "::"), self.names)
        elif self.file.is_metadata or path[-1:] == ("_desc_",):
            yield from judge_free_text(text)
        else:
            yield from judge_text(text)

    def _note_uses(self, text: str) -> None:
        try:
            statement = parsed(text)
        except NotPythonError:
            return
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            self.uses.imports.update(dotted for _, dotted in imported(statement))
        else:
            self.uses.calls.update(calls_of(text, self.names))


def _absolute(identifier: str, path: tuple[str, ...]) -> str:
    """Return the id that ``##a`` means at ``path``: one step up for every mark."""
    identifier = identifier.replace("#", "::")
    steps = 0
    while identifier.startswith("::"):
        identifier, steps = identifier[2:], steps + 1
    above = path[: max(0, len(path) - steps)] if steps else ()
    return "::".join((*above, identifier))
