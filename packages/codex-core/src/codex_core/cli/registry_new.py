"""`codex registry new`: write a plugin package that works.

Decisions: the component does something real from the first minute, so that an author changes code that runs instead
of filling in blanks; a folder that exists is never touched; the package appears whole or not at all.
"""

from __future__ import annotations

import keyword
import os
import re
import shlex
import shutil
import sys
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

import attrs
import click

from codex_core.cli.session import Session
from codex_core.components import KINDS, NAME_PATTERN
from codex_core.errors import InputError, UsageError
from codex_core.plugins.selection import BUILT_IN

_CORE = '"codex-core>=1.0,<2"'


@attrs.frozen(kw_only=True)
class Kit:
    """The templates of a kind: their folder, what the component does, and what the package requires."""

    folder: str
    summary: str
    requires: tuple[str, ...] = (_CORE, '"attrs>=23.2"')


KITS: dict[str, Kit] = {
    "tokenizers": Kit(folder="tokenizers", summary="Words that occur often, and bytes for everything else"),
    "models": Kit(folder="models", summary="A model of pairs of tokens, and the trainer that counts them"),
    "datasets": Kit(folder="datasets", summary="One document per line of a UTF-8 file, with comments"),
    "metrics": Kit(folder="metrics", summary="Share of tokens that surprised the model"),
    "writers": Kit(folder="writers", summary="Metric rows as a long table, one line per number"),
    "safety_policies": Kit(
        folder="safety_policies", summary="Replaces terms that must not be seen, in texts and in streams"
    ),
    "trainers": Kit(folder="models", summary="A trainer that counts pairs of tokens, and its model"),
    "commands": Kit(
        folder="commands",
        summary="Count what text files hold",
        requires=(_CORE, '"attrs>=23.2"', '"click>=8.1"'),
    ),
}


@click.command("new")
@click.argument("name")
@click.option("--kind", required=True, type=click.Choice(KINDS), help="What the package offers.")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path),
    help="The folder to make; by default the name, in the working directory.",
)
@click.pass_obj
def new(session: Session, name: str, kind: str, folder: Path | None) -> None:
    """Write an installable plugin package whose component works, with tests.

    \b
    Examples:
      codex registry new my-tok --kind tokenizers
      codex registry new my-metric --kind metrics --dir plugins/my-metric
    """
    package = check_name(name, kind)
    claimed = {row.dist for row in session.registry.of_kind(kind) if row.name == name}
    if claimed:
        raise _bad_name(name, f"{', '.join(sorted(claimed))} offers {kind}/{name} already", f"my-{name}")
    target = Path(name) if folder is None else folder
    written = write_package(target, name=name, package=package, kind=kind)
    for path in written:
        click.echo(str(target / path))
    shown = shlex.quote(str(target))
    click.echo(
        f"next: pip install -e {shown} && codex registry show {kind}/{name} && cd {shown} && pytest", err=True
    )


def check_name(name: str, kind: str) -> str:
    """The import package of a distribution called `name`; raises `UsageError` where the name cannot work."""
    near = re.sub(r"[^a-z0-9]+", "-", name.lower())[:40].strip("-")
    near = f"my-{near}".strip("-") if not near or near[0].isdigit() else near
    package = re.sub(r"[-.]+", "_", name)
    if not NAME_PATTERN.fullmatch(name) or re.search(r"[-._]{2}|[-._]$", name):
        rule = "lower-case letters and digits, with single dots, dashes or underscores between them"
        raise _bad_name(name, f"a name has at most 64 characters: {rule}", near)
    if not package.isidentifier() or keyword.iskeyword(package):
        raise _bad_name(name, f"{package!r} cannot be imported", f"my-{near.removeprefix('my-')}")
    if package in sys.stdlib_module_names or package in {one.replace("-", "_") for one in BUILT_IN}:
        raise _bad_name(name, f"the package {package!r} would hide another one of that name", f"my-{near}")
    if kind == "commands" and name in _command_names():
        raise _bad_name(name, f"`codex {name}` is a command of Codex", f"my-{near}")
    return package


def write_package(folder: Path, *, name: str, package: str, kind: str) -> list[str]:
    """Make `folder` with everything in it; returns the files, relative to it. Raises `InputError` if it exists."""
    if os.path.lexists(folder):
        raise InputError(
            code="REG-032",
            what=f"{folder} exists already",
            why="nothing is written over what is there",
            fix=f"codex registry new {name} --kind {kind} --dir {shlex.quote(f'{folder}-new')}",
        )
    contents = package_files(name=name, package=package, kind=kind)
    temporary = folder.with_name(f".{folder.name}.tmp-{os.getpid()}")
    try:
        for path, text in contents.items():
            (temporary / path).parent.mkdir(parents=True, exist_ok=True)
            (temporary / path).write_text(text, encoding="utf-8")
        temporary.rename(folder)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise InputError(
            code="REG-032",
            what=f"{folder} cannot be made",
            why=error.strerror,
            fix="choose another --dir",
        ) from error
    return sorted(contents)


def package_files(*, name: str, package: str, kind: str) -> dict[str, str]:
    """Relative path -> text of a package."""
    kit = KITS[kind]
    root = files("codex_core.cli.scaffold")
    values = {"dist": name, "name": name, "package": package, "kind": kind, "summary": kit.summary}
    values["dependencies"] = ", ".join(kit.requires)
    texts = _filled(root / kit.folder, values)
    usage = texts.pop("usage.md").strip() + "\n"
    sources = {f"src/{package}/{file}": text for file, text in texts.items() if not file.startswith("test_")}
    tests = {f"tests/{file}": text for file, text in texts.items() if file.startswith("test_")}
    held = {path: text.split('"""')[1].splitlines()[0] for path, text in sources.items()}
    listed = "\n".join(
        f"| `{path}` | {held[path][:1].lower()}{held[path][1:].rstrip('.')} |"
        for path in sorted(held)
        if not path.endswith("/plugin.py")
    )
    common = _filled(root / "common", {**values, "usage": usage, "files": listed})
    init = {f"src/{package}/__init__.py": f'"""{kit.summary}."""\n', f"src/{package}/py.typed": ""}
    return {**common, **init, **sources, **tests}


def _filled(folder: Traversable, values: Mapping[str, str]) -> dict[str, str]:
    return {
        one.name.removesuffix(".tmpl"): Template(one.read_text(encoding="utf-8")).substitute(values)
        for one in folder.iterdir()
        if one.name.endswith(".tmpl")
    }


def _command_names() -> set[str]:
    from codex_core.cli.commands import COMMANDS

    return set(COMMANDS)


def _bad_name(name: str, why: str, near: str) -> UsageError:
    return UsageError(
        code="REG-031",
        what=f"a plugin cannot be called {name!r}",
        why=why,
        fix=f"choose another name, such as {near}",
    )
