"""``$`` expressions of a foreign bundle: their syntax tree against the allow-list. Nothing is evaluated."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

from mpmri_monai.bundle.inspect_allowed import (
    ATTRIBUTES,
    BUILTINS,
    CALLABLES,
    CONSTANTS,
    ONLY_KEYWORDS,
    WRITES_TO,
)
from mpmri_monai.bundle.inspect_names import (
    LOCAL,
    Names,
    NotPythonError,
    imported,
    may_import,
    parsed,
    reference,
)
from mpmri_monai.bundle.inspect_text import judge_text, judge_unseen

Found = Iterator[tuple[str, str]]

_PLAIN_END = re.compile(r"/?\w[\w-]*(\.\w+)?(/\w[\w-]*(\.\w+)?)*")
"""A path below a folder, or the end of a folder's name: no part of it is a step upwards, nor half of one."""
FOLDERS = {
    "bundle_root": "mpmri_monai.bundle.bundle_root",
    "output_dir": "mpmri_monai.bundle.default_output_dir",
}
"""Ids that name a folder, and this project's function that says which: where the bundle lies, where its runs go."""
_JUDGED_AS_FREE_TEXT = frozenset({"_meta_", "_desc_"})
_NUMBER_FUNCTIONS = frozenset({"abs", "float", "int", "len", "round"})
_OPERANDS = ("left", "right", "operand", "body", "orelse")
_ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod)
_DEEPEST_LOOK = 20
"""References followed, one after the other, to see whether something is a number."""


def judge_expression(text: str, names: Names) -> Found:
    """Yield (code, what) for everything in the expression ``$...`` that is not on the allow-list."""
    yield from judge_unseen(text)
    if "__" in text:
        yield "E_ATTRIBUTE", f"two underscores in {text}"
        return
    if re.search(r"[@%](#|::)", text):
        yield "E_REFERENCE", f"a relative reference, which is replaced by text of keys: {text}"
        return
    try:
        statement = parsed(text)
    except NotPythonError as error:
        yield "E_SYNTAX", f"{text}: {error}"
        return
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        for name, dotted in imported(statement):
            if not may_import(name, dotted):
                yield "E_IMPORT", f"{dotted} as {name}"
    elif isinstance(statement, ast.Expr):
        try:
            yield from list(_Judge(names).judged(statement.value))
        except RecursionError:
            yield "E_SYNTAX", f"nested too deeply: {text}"
    else:
        yield "E_SYNTAX", f"{type(statement).__name__}: {text}"


def calls_of(text: str, names: Names) -> Iterator[str]:
    """Yield the dotted names of everything that an expression uses."""
    try:
        tree = parsed(text)
    except NotPythonError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield from (one for one in names.meanings(node) or () if one in CALLABLES)


def judge_reference(identifier: str, names: Names) -> Found:
    """Yield (code, what) when a reference ``@id`` leads to text that was judged as a person's, or to a module."""
    steps = identifier.split("::")
    if not identifier.strip(":") or _JUDGED_AS_FREE_TEXT & set(steps):
        yield "E_REFERENCE", f"@{identifier}"
    list_of = identifier.rpartition("::")[0] or identifier  # places in it change when lists are put together
    if any(one == identifier or one.startswith((f"{identifier}::", f"{list_of}::")) for one in names.imports):
        yield "E_REFERENCE", f"@{identifier}, which is or holds an import"


class _Judge:
    """Walks one syntax tree; a node of a kind without a method here is refused."""

    def __init__(self, names: Names) -> None:
        self.names = names

    def judged(self, node: ast.AST) -> Found:
        method = getattr(self, f"_{type(node).__name__.lower()}", None)
        if method is None:
            yield "E_SYNTAX", f"{type(node).__name__}: {ast.unparse(node)}"
        else:
            yield from method(node)

    def _judge_all(self, nodes: list[Any]) -> Found:
        for node in nodes:
            yield from self.judged(node)

    def _constant(self, node: ast.Constant) -> Found:
        if isinstance(node.value, str):
            yield from judge_text(node.value)
            if node.value[:1] in ("$", "%", "@"):
                yield "E_TEXT", node.value
            if node.value in _JUDGED_AS_FREE_TEXT:
                yield "E_REFERENCE", f"['{node.value}']"
        elif not isinstance(node.value, (int, float, type(None))):
            yield "E_SYNTAX", f"{type(node.value).__name__}: {ast.unparse(node)}"

    def _list(self, node: ast.List | ast.Tuple) -> Found:
        yield from self._judge_all(node.elts)

    _tuple = _list

    def _dict(self, node: ast.Dict) -> Found:
        if None in node.keys:
            yield "E_SYNTAX", f"a dictionary put together: {ast.unparse(node)}"
        yield from self._judge_all([key for key in node.keys if key] + node.values)

    def _ifexp(self, node: ast.IfExp) -> Found:
        yield from self._judge_all([node.test, node.body, node.orelse])

    def _boolop(self, node: ast.BoolOp) -> Found:
        yield from self._judge_all(node.values)

    def _compare(self, node: ast.Compare) -> Found:
        yield from self._judge_all([node.left, *node.comparators])

    def _unaryop(self, node: ast.UnaryOp) -> Found:
        yield from self.judged(node.operand)

    def _binop(self, node: ast.BinOp) -> Found:
        if isinstance(node.op, _ARITHMETIC) and self._is_number(node.left) and self._is_number(node.right):
            yield from self._judge_all([node.left, node.right])
        elif self.is_path_below(node):
            yield from self.judged(node.left)
        else:
            yield "E_SYNTAX", f"text or something else put together: {_shown(node)}"

    def is_path_below(self, node: ast.BinOp) -> bool:
        """A folder of the run / 'name', or the bundle's folder + '/name': text is put together in these forms only."""
        end = node.right.value if isinstance(node.right, ast.Constant) else None
        if not isinstance(end, str) or not _PLAIN_END.fullmatch(end):
            return False
        if isinstance(node.op, ast.Div):
            return not end.startswith("/") and not isinstance(node.left, ast.Constant)
        if not isinstance(node.op, ast.Add):
            return False
        return reference(node.left) == "bundle_root" or self.is_own_folder(node.left)

    def is_own_folder(self, node: ast.expr) -> bool:
        """Whether this calls the project's function that says where a bundle lies, or where its runs go."""
        called = self.names.meanings(node.func) if isinstance(node, ast.Call) else None
        return bool(called and called <= set(FOLDERS.values()))

    def _is_number(self, node: ast.expr, depth: int = 0) -> bool:
        """Whether ``node`` can be nothing but a number, whichever configurations are merged."""
        identifier = reference(node)
        if depth > _DEEPEST_LOOK:
            number = False
        elif isinstance(node, ast.Constant):
            number = isinstance(node.value, (int, float))
        elif isinstance(node, (ast.BinOp, ast.UnaryOp, ast.IfExp)):
            sides = [getattr(node, name) for name in _OPERANDS if hasattr(node, name)]
            number = all(self._is_number(side, depth + 1) for side in sides)
        elif isinstance(node, ast.Call):
            number = isinstance(node.func, ast.Name) and node.func.id in _NUMBER_FUNCTIONS
        elif identifier is not None:
            number = self._is_number_by_name(identifier, depth)
        else:
            number = isinstance(node, ast.Subscript) and getattr(node.value, "attr", None) == "shape"
        return number

    def _is_number_by_name(self, identifier: str, depth: int) -> bool:
        known = self.names.numbers
        if identifier not in known:
            known[identifier] = False  # what leads back to itself is no number
            values = self.names.values(identifier)
            known[identifier] = bool(values) and all(self._is_number_as_written(one, depth + 1) for one in values)
        return known[identifier]

    def _is_number_as_written(self, value: Any, depth: int) -> bool:
        if isinstance(value, str) and value.startswith("$"):
            try:
                statement = parsed(value)
            except NotPythonError:
                return False
            return isinstance(statement, ast.Expr) and self._is_number(statement.value, depth)
        if isinstance(value, str) and re.fullmatch(r"@\w+((#|::)\w+)*", value):
            return depth < _DEEPEST_LOOK and self._is_number_by_name(value[1:].replace("#", "::"), depth)
        return isinstance(value, (int, float))

    def _subscript(self, node: ast.Subscript) -> Found:
        identifier = reference(node)
        if identifier is not None:
            yield from judge_reference(identifier, self.names)
            return
        index = node.slice.operand if isinstance(node.slice, ast.UnaryOp) else node.slice
        if not isinstance(index, ast.Constant) or not isinstance(index.value, (int, str)):
            yield "E_SYNTAX", f"a part cut out: {_shown(node)}"
        if not self._has_members(node.value):
            yield "E_SYNTAX", f"a part of text: {_shown(node)}"
        yield from self.judged(node.value)
        yield from self.judged(index)

    def _has_members(self, node: ast.expr) -> bool:
        """Whether ``node`` is an attribute of an object, or an item that all configurations make a list or object."""
        identifier = reference(node)
        values = [] if identifier is None else self.names.values(identifier)
        return isinstance(node, ast.Attribute) or (
            bool(values) and all(isinstance(value, (dict, list)) for value in values)
        )

    def _name(self, node: ast.Name) -> Found:
        if node.id == LOCAL:
            yield "E_REFERENCE", f"the table of everything: {_shown(node)}"
            return
        for meaning in sorted(self.names.meanings(node) or ()):
            if meaning not in BUILTINS | (CALLABLES - _CALL_ONLY) | CONSTANTS:
                yield "E_CALL", meaning

    def _attribute(self, node: ast.Attribute) -> Found:
        meanings = self.names.meanings(node)
        if meanings is None:
            if _is_dashed_join(node):
                return
            if node.attr not in ATTRIBUTES:
                yield "E_ATTRIBUTE", f".{node.attr} in {_shown(node)}"
            yield from self.judged(node.value)
            return
        for meaning in sorted(meanings):
            if meaning not in (CALLABLES - _CALL_ONLY) | CONSTANTS:
                yield "E_CALL", meaning

    def _call(self, node: ast.Call) -> Found:
        meanings = self.names.meanings(node.func)
        if meanings is None:
            if not isinstance(node.func, ast.Attribute):
                yield "E_CALL", f"a call of something that is no name: {_shown(node)}"
            yield from self.judged(node.func)
        for meaning in sorted(meanings or ()):
            if meaning not in CALLABLES | BUILTINS:
                yield "E_CALL", meaning
            yield from self._judge_arguments(meaning, node)
        yield from self._judge_all(node.args)
        for keyword in node.keywords:
            if keyword.arg is None and reference(keyword.value) is None:
                yield "E_SYNTAX", f"arguments put together: {_shown(node)}"
            yield from self.judged(keyword.value)

    def _judge_arguments(self, called: str, node: ast.Call) -> Found:
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        if called in ONLY_KEYWORDS and (node.args or not set(given) <= ONLY_KEYWORDS[called]):
            yield "E_ARGUMENT", f"{called} with {_shown(node)}"
        if called in WRITES_TO:
            name, position = WRITES_TO[called]
            place = given.get(name) or (node.args[position] if len(node.args) > position else None)
            if None in given or (place is not None and not is_run_folder(place)):
                yield "E_ARGUMENT", f"{called} writes to {_shown(node)}"


def is_run_folder(node: ast.expr) -> bool:
    """Whether an argument is ``@output_dir``, ``@run_folder.path``, or a name below it."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        end = node.right.value if isinstance(node.right, ast.Constant) else None
        return (
            isinstance(end, str)
            and not end.startswith("/")
            and bool(_PLAIN_END.fullmatch(end))
            and is_run_folder(node.left)
        )
    if isinstance(node, ast.Attribute):
        return node.attr == "path" and reference(node.value) == "run_folder"
    return reference(node) == "output_dir"


def is_made_for_it(identifier: str, value: Any, names: Names) -> bool:
    """Whether ``bundle_root`` or ``output_dir`` is what this project's function for it says, or lies below that."""
    if not isinstance(value, str) or not value.startswith("$"):
        return False
    try:
        statement = parsed(value)
    except NotPythonError:
        return False
    node = statement.value if isinstance(statement, ast.Expr) else None
    if isinstance(node, ast.BinOp) and _Judge(names).is_path_below(node):
        node = node.left
    return isinstance(node, ast.Call) and names.meanings(node.func) == {FOLDERS[identifier]}


def _is_dashed_join(node: ast.Attribute) -> bool:
    """``'-'.join``: what it puts together was judged part by part, and a dash makes no step upwards of them."""
    return node.attr == "join" and isinstance(node.value, ast.Constant) and node.value.value == "-"


_CALL_ONLY = frozenset(ONLY_KEYWORDS) | frozenset(WRITES_TO)


def _shown(node: ast.AST) -> str:
    return re.sub(rf"{LOCAL}\['([\w:]*)'\]", r"@\1", ast.unparse(node))
