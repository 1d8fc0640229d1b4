"""Find the string constants and the error codes in the source files, without importing these files.

The search does not depend on the names of modules or classes: `code_constants` looks for functions and classes that
have a parameter in `CODE_KEYS`, and reads the arguments for it.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tests.golden.files import ROOT

# Folders without source code of the service. Every other folder of the repository is searched.
NO_SOURCES = frozenset({"tests", "benchmarks", "examples", "docs", "migrations", "build", "dist", "shared", "demo"})
# Parameters, keys and fields that hold a code; `reason` and `status` hold the reason why an LLM question failed.
CODE_KEYS = ("code", "reason", "status")
CODE_FORM = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*")
# Tables whose values (`CODES`) or whose keys (`REASONS`) are codes.
TABLE_ENDINGS = ("CODES", "REASONS")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def source_files(root: Path = ROOT) -> list[Path]:
    """Every Python file of the source packages."""
    folders = [one for one in root.iterdir() if one.is_dir() and one.name[0] not in "._" and one.name not in NO_SOURCES]
    return sorted(file for folder in folders for file in folder.rglob("*.py"))


@cache
def trees() -> tuple[ast.Module, ...]:
    """The syntax trees of the source files."""
    return tuple(ast.parse(file.read_text(encoding="utf-8")) for file in source_files())


def every_constant() -> frozenset[str]:
    """Every string constant of the sources, docstrings excluded. Parts of f-strings are included."""
    found: set[str] = set()
    for tree in trees():
        nodes = list(ast.walk(tree))
        docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        found.update(text for node in nodes if id(node) not in docstrings and (text := _text(node)) is not None)
    return frozenset(found)


def code_constants() -> frozenset[str]:
    """The string constants that are used as a code.

    These are: arguments for a parameter, and values of a key or a keyword, in `CODE_KEYS`; values that are assigned
    to, or returned as, a code; the entries of tables whose name ends with one of `TABLE_ENDINGS`.
    """
    reader = _Reader.of(trees())
    return frozenset(text for tree in trees() for text in reader.codes_in(tree) if CODE_FORM.fullmatch(text))


def not_found_suffixes() -> frozenset[str]:
    """The constant suffixes of f-strings that build a code from a kind of row: `_not_found`."""
    ends: set[str] = set()
    for tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr) and (text := _text(node.values[-1])) and text.startswith("_"):
                ends.add(text)
    return frozenset(ends)


@dataclass
class _Reader:
    """`places`: the position of the code among the arguments of a function or class. `known`: constants by name.

    `bases`: the base classes of a class.
    """

    places: dict[str, int] = field(default_factory=dict)
    known: dict[str, str] = field(default_factory=dict)
    bases: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, modules: Sequence[ast.Module]) -> "_Reader":
        reader = cls()
        for tree in modules:
            for node in ast.walk(tree):
                if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                    if (text := _text(node.value)) is not None:
                        reader.known[node.targets[0].id] = text
                elif isinstance(node, ast.ClassDef):
                    reader._add_class(node)
                elif isinstance(node, Function) and (place := _place(node)) is not None and node.name != "__init__":
                    reader.places[node.name] = place
        # A class without an `__init__` has the parameters of its base class.
        for _ in range(4):
            for name, bases in reader.bases.items():
                inherited = next((reader.places[base] for base in bases if base in reader.places), None)
                if name not in reader.places and inherited is not None:
                    reader.places[name] = inherited
        return reader

    def _add_class(self, node: ast.ClassDef) -> None:
        self.bases[node.name] = [name for base in node.bases if (name := _name(base))]
        init = next((one for one in node.body if isinstance(one, Function) and one.name == "__init__"), None)
        fields = [_name(one.target) for one in node.body if isinstance(one, ast.AnnAssign)]
        place = (
            _place(init) if init is not None else next((fields.index(key) for key in CODE_KEYS if key in fields), None)
        )
        if place is not None:
            self.places[node.name] = place

    def codes_in(self, tree: ast.AST, bases: Sequence[str] = ()) -> Iterator[str]:
        for node in ast.iter_child_nodes(tree):
            own = self.bases[node.name] if isinstance(node, ast.ClassDef) else bases
            yield from self._codes_at(node, own)
            yield from self.codes_in(node, own)

    def _codes_at(self, node: ast.AST, bases: Sequence[str]) -> Iterator[str]:
        if isinstance(node, ast.Call):
            yield from self._codes_of_call(node, bases)
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if key is not None and _text(key) in CODE_KEYS:
                    yield from self._values(value)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                yield from self._codes_of_assignment(target, node.value)
        elif isinstance(node, Function) and (node.name.endswith("code") or node.name.endswith("status_of")):
            for one in ast.walk(node):
                if isinstance(one, ast.Return) and one.value is not None:
                    yield from self._values(one.value)

    def _codes_of_call(self, node: ast.Call, bases: Sequence[str]) -> Iterator[str]:
        for keyword in node.keywords:
            if keyword.arg in CODE_KEYS:
                yield from self._values(keyword.value)
        place = self.places.get(_name(node.func) or "")
        if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Call):  # super().__init__(…)
            place = next((self.places[base] for base in bases if base in self.places), place)
        if place is not None and len(node.args) > place:
            yield from self._values(node.args[place])

    def _codes_of_assignment(self, target: ast.expr, value: ast.expr) -> Iterator[str]:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.IfExp):
            yield from self._codes_of_assignment(target, value.body)
            yield from self._codes_of_assignment(target, value.orelse)
        elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            for one, its in zip(target.elts, value.elts, strict=False):
                yield from self._codes_of_assignment(one, its)
        elif (name := _name(target)) is not None and isinstance(value, ast.Dict) and name.endswith(TABLE_ENDINGS):
            of_keys = name.endswith("REASONS")
            for given in value.keys if of_keys else value.values:
                if given is not None:
                    yield from self._values(given)
        elif name == CODE_KEYS[0]:
            yield from self._values(value)

    def _values(self, node: ast.expr) -> Iterator[str]:
        """The constants that an expression can evaluate to."""
        if (text := _text(node)) is not None:
            yield text
        elif isinstance(node, ast.IfExp):
            yield from self._values(node.body)
            yield from self._values(node.orelse)
        elif isinstance(node, ast.BoolOp):
            for one in node.values:
                yield from self._values(one)
        elif (name := _name(node)) is not None and name.isupper() and name in self.known:
            yield self.known[name]


def _text(node: ast.AST) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _name(node: ast.AST) -> str | None:
    """The last part of a dotted name."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


def _place(function: Function) -> int | None:
    """The position of the parameter for a code among the positional parameters, without `self`."""
    given = [one for one in (*function.args.posonlyargs, *function.args.args) if one.arg not in ("self", "cls")]
    for key in CODE_KEYS:
        for place, one in enumerate(given):
            if one.arg == key and _name(one.annotation or ast.Name("str")) == "str":
                return place
    return None
