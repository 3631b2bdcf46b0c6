"""The shape of the code: files end in time, `fit()` fits a screen, tests say what they protect."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.sources import ROOT, files

LONGEST_FILE = 500
LONGEST_FIT = 80  # lines of `fit()` from `def` to the end


def _ours() -> Iterator[Path]:
    yield from files()
    for folder in ("tests", "tools", "docs", "examples", "bench"):
        yield from sorted((ROOT / folder).glob("**/*.py"))


def _functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_files_end_in_time() -> None:
    """No file is longer than 500 lines; long before that, it holds two nouns."""
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in _ours()}

    assert [
        f"{path.relative_to(ROOT)}: {num} lines" for path, num in lengths.items() if num > LONGEST_FILE
    ] == []


def test_fit_is_one_screen() -> None:
    """Every `fit()` can be read without scrolling."""
    long = [
        f"{path.relative_to(ROOT)}:{function.lineno}: {(function.end_lineno or 0) - function.lineno + 1} lines"
        for path in files()
        for function in _functions(path)
        if function.name == "fit" and (function.end_lineno or 0) - function.lineno >= LONGEST_FIT
    ]

    assert long == []


def test_every_test_says_what_it_protects() -> None:
    """A test without a docstring leaves the next reader guessing which behaviour broke."""
    silent = [
        f"{path.relative_to(ROOT)}:{function.lineno} {function.name}"
        for path in sorted((ROOT / "tests").glob("**/test_*.py"))
        for function in _functions(path)
        if function.name.startswith("test_") and not ast.get_docstring(function)
    ]

    assert silent == []


def test_nothing_is_left_to_be_implemented() -> None:
    """No source raises `NotImplementedError`: what cannot be done yet is not offered yet."""
    stubs = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in files()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Raise)
        and node.exc is not None
        and "NotImplementedError" in ast.dump(node.exc)
    ]

    assert stubs == []
