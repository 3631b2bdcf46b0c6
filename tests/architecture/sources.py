"""The sources of the five packages as the architecture tests read them: files and what they import."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ROOT / "packages"
SIBLINGS = ("codex_models", "codex_safety", "codex_telemetry", "codex_tokenizers")
#: Folders of the kernel: what stands behind its public modules.
KERNEL_FOLDERS = ("planning", "plugins", "running")

#: What stands behind the kernel's public modules; nobody else looks there.
BEHIND = ("planning", "plugins", "running")
ROOMS = ("data", "evaluation", "ngram", "cli", "testing")


class Import(NamedTuple):
    """One imported module, absolute, and where it is imported."""

    module: str
    file: Path
    line: int
    is_late: bool = False

    @property
    def top(self) -> str:
        """The name that decides which distribution it comes from."""
        return self.module.partition(".")[0]

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line} imports {self.module}"


def files(package: str = "*") -> list[Path]:
    """All source files, or those of one package such as `codex_core`."""
    return sorted(PACKAGES.glob(f"*/src/{package}/**/*.py"))


def kernel_files() -> list[Path]:
    """The kernel: all of `codex_core` that is no room, without the door to the command line."""
    found = []
    for path in files("codex_core"):
        first = path.relative_to(PACKAGES / "codex-core" / "src" / "codex_core").parts[0]
        if first not in (*ROOMS, "__main__.py"):
            found.append(path)
    return found


def imports(path: Path) -> Iterator[Import]:
    """Every import of a file, also those inside functions; what only a type checker sees is left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    for node, is_late in _running(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, path, node.lineno, is_late)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            for alias in node.names:
                yield Import(f"{node.module}.{alias.name}", path, node.lineno, is_late)


def _running(node: ast.AST, is_late: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """The statements below a node, each with whether it runs only when a function is called."""
    is_late = is_late or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            children = child.orelse
        else:
            children = [child]
        for statement in children:
            yield statement, is_late
            yield from _running(statement, is_late)
