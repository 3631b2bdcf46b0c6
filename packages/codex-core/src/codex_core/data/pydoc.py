"""The dataset `pydoc`: real English and code that ship with every Python, read without a download.

Decisions: source files are parsed, never imported, so reading has no side effect; the standard library is what
`sys.stdlib_module_names` names, without tests and IDLE; docstrings of modules written in C come from a
fixed list of modules, each known to import without side effects. A document's group is its top-level module, so
that inherited docstrings and neighbours stay in one split; each topic is a group of its own. What is read
depends on the Python version and build, which `identity` therefore holds. In the instruction form a function or
class of the sources is a signature, which is not learned, and the first paragraph of its docstring, which is.
"""

from __future__ import annotations

import ast
import inspect
import io
import os
import platform
import sys
import sysconfig
import tokenize
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import BuiltinFunctionType, ModuleType
from typing import Any

import attrs

from codex_core.canonical import digest_of
from codex_core.data.inputs import InputFile, unreadable
from codex_core.data.options import PydocOptions
from codex_core.errors import InputError
from codex_core.records import Record, Turn, plain_text

TOPICS_FILE = "pydoc_data/topics.py"

SKIPPED_FOLDERS = frozenset(
    {"__pycache__", "dist-packages", "idlelib", "pydoc_data", "site-packages", "test", "tests"}
)

#: Modules written in C whose docstrings are read; one that a build lacks is left out of `identity` too.
BUILT_IN_MODULES = (
    "_bisect", "_collections", "_csv", "_datetime", "_functools", "_heapq", "_io", "_json", "_operator", "_random",
    "_struct", "array", "binascii", "builtins", "cmath", "gc", "itertools", "marshal", "math", "posix", "sys",
    "time", "unicodedata", "zlib",
)  # fmt: skip

# `staticmethod` and `classmethod` stand around built-in functions in the namespaces of C types.
_DOCUMENTED = (
    BuiltinFunctionType,
    type(str.join),
    type(str.__add__),
    type(BaseException.args),
    type(slice.start),
    type(dict.__dict__["fromkeys"]),
    staticmethod,
    classmethod,
)

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@attrs.frozen
class _Document:
    """A text of the installation: its name, its file or module, its place in there, its group."""

    name: str
    text: str
    source: tuple[str, int]
    group: str | None


class PydocDataset:
    """The documentation of the running Python as records; see `PydocOptions`."""

    def __init__(self, options: PydocOptions, *, stdlib: Path | None = None) -> None:
        self.options = options
        self.stdlib = stdlib or Path(sysconfig.get_path("stdlib"))

    def identity(self) -> dict[str, Any]:
        """Python version, options, and digests of every file and built-in docstring that is read."""
        options = self.options
        files = [file.identity() for file in self._files()]
        held: dict[str, Any] = {
            "reader": "pydoc/1",
            "python": platform.python_version(),
            "options": _settings(options),
            "files": {"count": len(files), "bytes": sum(file["bytes"] for file in files)},
            "files_digest": digest_of(files),
        }
        if self._reads_built_ins():
            texts = [[document.name, document.text] for document in _built_in_docstrings()]
            held["built_in_digest"] = digest_of(texts)
        return held

    def records(self) -> Iterator[Record]:
        """Topics, then docstrings and sources by file name, then built-in modules, each in sorted order."""
        if self.options.form == "instruction":
            yield from self._instructions()
            return
        for document in self._documents():
            yield plain_text(document.text, id=document.name, source=document.source, group=document.group)

    def _instructions(self) -> Iterator[Record]:
        for file in self._modules():
            module = _module_name(file)
            for name, node in _definitions(_parse(file, _read(file)), module):
                answer = (ast.get_docstring(node) or "").strip().partition("\n\n")[0]
                if answer and not isinstance(node, ast.Module):
                    line = node.body[0].lineno
                    asked = Turn("instruction", f"{module}\n\n{signature(node)}", learn=False)
                    yield Record(
                        id=f"signature:{name}:{line}",
                        turns=(asked, Turn("output", answer)),
                        source=(file.name, line),
                        group=_top_level(file.name),
                    )

    def _reads_built_ins(self) -> bool:
        return self.options.docstrings and self.options.form == "text"

    def _documents(self) -> Iterator[_Document]:
        if self.options.topics:
            yield from _topics(self._topics_file())
        for file in self._modules():
            data = _read(file)
            if self.options.docstrings:
                yield from _docstrings(file, data)
            if self.options.sources:
                yield _source(file, data)
        if self._reads_built_ins():
            yield from _built_in_docstrings()

    def _files(self) -> list[InputFile]:
        reads_topics = self.options.topics and self.options.form == "text"
        topics = [self._topics_file()] if reads_topics else []
        return topics + self._modules()

    def _topics_file(self) -> InputFile:
        return InputFile(self.stdlib / TOPICS_FILE, TOPICS_FILE)

    def _modules(self) -> list[InputFile]:
        """The source files of the standard library, sorted by name; none when only topics are read."""
        if not (self.options.docstrings or (self.options.sources and self.options.form == "text")):
            return []
        files = [InputFile(self.stdlib / name, name) for name in sorted(_library_names(self.stdlib))]
        if not files:
            raise InputError(
                code="DAT-001",
                what="this Python ships no sources of its standard library",
                where=str(self.stdlib),
                why="pydoc reads docstrings from sources, without importing them",
                fix="use a Python installed with its sources, or the dataset text or jsonl",
            )
        return files


def _library_names(stdlib: Path) -> Iterator[str]:
    """Relative names of the source files that belong to the standard library."""
    for folder, folders, names in os.walk(stdlib):
        folders[:] = [name for name in folders if name not in SKIPPED_FOLDERS]
        for name in names:
            relative = (Path(folder) / name).relative_to(stdlib).as_posix()
            if name.endswith(".py") and _top_level(relative) in sys.stdlib_module_names:
                yield relative


def _top_level(name: str) -> str:
    """The top-level module of a file.

    >>> _top_level("asyncio/tasks.py"), _top_level("ast.py")
    ('asyncio', 'ast')
    """
    return name.split("/")[0].removesuffix(".py")


def _read(file: InputFile) -> bytes:
    try:
        return file.path.read_bytes()
    except OSError as error:
        raise unreadable(file.path, error) from error


def _parse(file: InputFile, data: bytes) -> ast.Module:
    try:
        return ast.parse(data)
    except (SyntaxError, ValueError) as error:
        raise InputError(
            code="DAT-004",
            what="expected Python source",
            where=file.at(getattr(error, "lineno", None) or 1),
            why=str(error),
            fix="repair the Python installation: a file of its standard library does not parse",
        ) from error


def _topics(file: InputFile) -> Iterator[_Document]:
    """The language reference: a module that assigns one literal dict, `topics`, of name to text."""
    for statement in _parse(file, _read(file)).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Dict):
            topics: dict[str, str] = ast.literal_eval(statement.value)
            for row, name in enumerate(sorted(topics), start=1):
                yield _Document(f"topic:{name}", topics[name].strip(), (file.name, row), None)


def _docstrings(file: InputFile, data: bytes) -> Iterator[_Document]:
    """Docstrings of a module, its classes and functions, in the order of the source."""
    for name, node in _definitions(_parse(file, data), _module_name(file)):
        text = (ast.get_docstring(node) or "").strip()
        if text:
            line = node.body[0].lineno
            yield _Document(f"doc:{name}:{line}", text, (file.name, line), _top_level(file.name))


def _module_name(file: InputFile) -> str:
    return file.name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def signature(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    r"""The first line of a definition, as Python spells it, without decorators and body.

    >>> signature(ast.parse("@cache\ndef f(a, *, b: int=1) -> str: pass").body[0])
    'def f(a, *, b: int=1) -> str:'
    """
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(ast.unparse(base) for base in [*node.bases, *node.keywords])
        return f"class {node.name}({bases}):" if bases else f"class {node.name}:"
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    start = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    return f"{start} {node.name}({ast.unparse(node.args)}){returns}:"


def _settings(options: PydocOptions) -> dict[str, Any]:
    """The options as the identity holds them: `form` only where it is not the default."""
    return {name: value for name, value in attrs.asdict(options).items() if (name, value) != ("form", "text")}


def _definitions(
    node: ast.AST, name: str
) -> Iterator[tuple[str, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Module, classes and functions at any depth, with dotted names. Expressions are not walked: it is slow."""
    if isinstance(node, (ast.Module, *_DEFINITIONS)):
        yield name, node
    for block in ("body", "handlers", "orelse", "finalbody", "cases"):
        for child in getattr(node, block, ()):
            inner = f"{name}.{child.name}" if isinstance(child, _DEFINITIONS) else name
            yield from _definitions(child, inner)


def _source(file: InputFile, data: bytes) -> _Document:
    encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    return _Document(f"source:{file.name}", data.decode(encoding), (file.name, 1), _top_level(file.name))


def _built_in_docstrings() -> Iterator[_Document]:
    for module_name in BUILT_IN_MODULES:
        try:
            module = import_module(module_name)
        except ImportError:
            continue  # a build without this module: `identity` differs accordingly
        documents = dict(_module_docstrings(module))
        for row, name in enumerate(sorted(documents), start=1):
            yield _Document(f"built-in:{name}", documents[name], (module_name, row), module_name.lstrip("_"))


def _module_docstrings(module: ModuleType) -> Iterator[tuple[str, str]]:
    """Docstrings by name, of the module itself, its built-in functions, its types and their members.

    Names are the objects' own: `sys.excepthook` may have been replaced, and is found as `sys.__excepthook__`.
    """
    yield from _named(module.__name__, module)
    for value in vars(module).values():
        if isinstance(value, BuiltinFunctionType):
            yield from _named(f"{module.__name__}.{value.__name__}", value)
        elif isinstance(value, type) and value.__module__ == module.__name__:
            name = f"{module.__name__}.{value.__name__}"
            yield from _named(name, value)
            for key, member in vars(value).items():
                if isinstance(member, _DOCUMENTED):
                    yield from _named(f"{name}.{key}", member)


def _named(name: str, value: object) -> Iterator[tuple[str, str]]:
    text = value.__doc__
    if isinstance(text, str) and text.strip():
        yield name, inspect.cleandoc(text).strip()
