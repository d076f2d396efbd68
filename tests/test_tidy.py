"""How the source must look, where no linter checks it. The lists of exceptions only shrink."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "kvorum"
FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70

LONG_FUNCTIONS: dict[str, str] = {}
"""`file:function` → why it may be longer than FUNCTION_LINES_MAX."""

PRINTS_OUTSIDE_CLI: dict[str, str] = {}
"""File → why it prints."""

_UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")


def generated(path: Path) -> bool:
    return path.name.endswith("_pb2.py")


FILES = sorted(path for path in SOURCE.rglob("*.py") if not generated(path))


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


@pytest.fixture(params=FILES, ids=name_of)
def path(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def functions(
    tree: ast.AST, prefix: str = ""
) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """All functions with their qualified names, nested ones too."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{prefix}{node.name}", node
            yield from functions(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.ClassDef):
            yield from functions(node, f"{prefix}{node.name}.")
        else:
            yield from functions(node, prefix)


def is_public(name: str) -> bool:
    return not any(part.startswith("_") and part != "__init__" for part in name.split("."))


def untyped(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """Parameters without a type; `return` stands for the result."""
    given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    given += [one for one in (node.args.vararg, node.args.kwarg) if one is not None]
    missing = [
        one.arg for one in given if one.annotation is None and one.arg not in {"self", "cls"}
    ]
    return missing if node.returns is not None else [*missing, "return"]


def test_a_file_is_short_enough_to_be_read(path: Path) -> None:
    count = len(path.read_text(encoding="utf-8").splitlines())
    assert count <= FILE_LINES_MAX, f"{count} lines: split it by noun"


def test_a_function_fits_on_a_page(path: Path) -> None:
    long = {
        name: count
        for name, node in functions(tree_of(path))
        if (count := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES_MAX
        and f"{name_of(path)}:{name}" not in LONG_FUNCTIONS
    }
    assert not long, "ifs belong in the parent function, loops in helpers"


def test_every_exception_is_needed_still() -> None:
    lengths = {
        f"{name_of(path)}:{name}": (node.end_lineno or 0) - node.lineno + 1
        for path in FILES
        for name, node in functions(tree_of(path))
    }
    unneeded = [one for one in LONG_FUNCTIONS if lengths.get(one, 0) <= FUNCTION_LINES_MAX]
    assert not unneeded
    assert all(LONG_FUNCTIONS.values()), "each needs a reason"


def test_only_commands_print(path: Path) -> None:
    if path.is_relative_to(SOURCE / "cli") or name_of(path) in PRINTS_OUTSIDE_CLI:
        return
    lines = [
        node.lineno
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]
    assert not lines, "use the logger"


def test_no_error_is_caught_without_a_name(path: Path) -> None:
    lines = [
        node.lineno
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ExceptHandler) and node.type is None
    ]
    assert not lines, "`except:` also catches the interrupt that ends the program"


def test_nothing_is_left_for_later(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    found = [
        f"{number}: {line.strip()}"
        for number, line in enumerate(text.splitlines(), start=1)
        if _UNFINISHED.search(line)
    ]
    assert not found, "finish it, or open an issue"


def test_public_functions_are_typed(path: Path) -> None:
    missing = {
        name: holes
        for name, node in functions(tree_of(path))
        if is_public(name) and (holes := untyped(node))
    }
    assert not missing


def test_the_rules_catch_what_they_are_for() -> None:
    tree = ast.parse("class A:\n    def f(self, a, *b: int, **c):\n        pass\n")
    ((name, node),) = functions(tree)
    assert (name, is_public(name), untyped(node)) == ("A.f", True, ["a", "c", "return"])
    assert not is_public("A._f")
    assert _UNFINISHED.search("# TO" + "DO: later")
