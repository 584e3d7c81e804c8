"""What the configurations of a foreign bundle call things: ids, and names brought in by imports."""

from __future__ import annotations

import ast
import builtins
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mpmri_monai.bundle.inspect_allowed import CALLABLES, CONSTANTS, MODULES, PRESET

LONGEST_EXPRESSION = 600
"""Characters; those of this project have up to 250. Bounds what Python's parser is given."""
LOCAL = "__local_refs"
"""MONAI's own name, in an expression, for the table of everything that the configuration holds."""

_REFERENCE = re.compile(r"@(?:\w*)(?:::\w*)*")


class NotPythonError(Exception):
    """The text cannot be parsed; the message says why."""


def parsed(expression: str) -> ast.stmt:
    """Return the one statement of an expression ``$...``, with the references put in as MONAI does, as text.

    MONAI replaces ``@a::b`` by ``__local_refs['a::b']`` wherever it stands, in quotes too, and evaluates what comes
    out; so that is what has to be judged.

    Raises:
        NotPythonError: too long, not Python, or not exactly one statement.
    """
    text = expression[1:]
    if len(text) > LONGEST_EXPRESSION:
        raise NotPythonError(f"{len(text)} characters")
    text = text.replace("#", "::")
    for reference in sorted(set(_REFERENCE.findall(text)), key=len, reverse=True):
        text = text.replace(reference, f"{LOCAL}['{reference[1:]}']")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            body = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise NotPythonError(f"not Python: {type(error).__name__}") from None
    if len(body) != 1:
        raise NotPythonError(f"{len(body)} statements")
    return body[0]


def import_of(expression: str) -> ast.Import | ast.ImportFrom | None:
    """Return the import that MONAI would take ``$...`` for, or None."""
    try:
        statement = parsed(expression)
    except NotPythonError:
        return None
    return statement if isinstance(statement, (ast.Import, ast.ImportFrom)) else None


def imported(statement: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str]]:
    """Yield (name in expressions, dotted name) of an import."""
    for alias in statement.names:
        if isinstance(statement, ast.Import):
            yield alias.asname or alias.name, alias.name
        else:
            yield alias.asname or alias.name, f"{'.' * statement.level}{statement.module or ''}.{alias.name}"


def may_import(name: str, dotted: str) -> bool:
    """Whether this may be imported under this name: listed, and not under the name of something else."""
    taken = hasattr(builtins, name) or (name in PRESET and PRESET[name] != dotted)
    return dotted in MODULES | CALLABLES | CONSTANTS and not taken


@dataclass(frozen=True)
class Names:
    """Everything that expressions can mean by a name, over all configurations of a bundle together.

    Any of them may be merged with any other, so a name means everything that one of them says.

    Attributes:
        modules: name -> dotted names that it may stand for.
        items: id -> values that it may have, as written.
        imports: ids of imports.
        numbers: id -> whether it can be nothing but a number, as far as that was asked.
    """

    modules: dict[str, set[str]] = field(default_factory=lambda: {name: {dotted} for name, dotted in PRESET.items()})
    items: dict[str, list[Any]] = field(default_factory=dict)
    imports: set[str] = field(default_factory=set)
    numbers: dict[str, bool] = field(default_factory=dict)

    def add(self, content: Any, path: tuple[str, ...] = ()) -> None:
        """Take up a configuration (or the part of it at ``path``)."""
        self.items.setdefault("::".join(path), []).append(content)
        for key, value in _members(content):
            self.add(value, (*path, *parts(key)))
        statement = import_of(content) if isinstance(content, str) and content.startswith("$") else None
        if statement:
            self.imports.add("::".join(path))
            for name, dotted in imported(statement):
                self.modules.setdefault(name, set()).add(dotted)

    def meanings(self, node: ast.expr) -> set[str] | None:
        """Return the dotted names that a chain of attributes on a name may stand for; None for another expression."""
        if isinstance(node, ast.Name) and node.id != LOCAL:
            return self.modules.get(node.id, {node.id})
        if isinstance(node, ast.Attribute):
            below = self.meanings(node.value)
            return below and {f"{one}.{node.attr}" for one in below}
        return None

    def values(self, identifier: str) -> list[Any]:
        """Return everything that a reference may stand for, as written."""
        return self.items.get(identifier, [])


def parts(key: Any) -> tuple[str, ...]:
    """Return the steps of a key: ``+train#handlers`` is a step to ``train`` and one to ``handlers``."""
    return tuple(str(key).removeprefix("+").replace("#", "::").split("::"))


def _members(content: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(content, Mapping):
        yield from content.items()
    elif isinstance(content, list):
        yield from enumerate(content)


def reference(node: ast.expr) -> str | None:
    """Return the id when ``node`` is a reference ``@id``, else None."""
    if (
        isinstance(node, ast.Subscript)
        and isinstance(node.value, ast.Name)
        and node.value.id == LOCAL
        and isinstance(node.slice, ast.Constant)
    ):
        return str(node.slice.value)
    return None
