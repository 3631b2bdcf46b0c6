"""`codex registry`: what is installed, what is wrong with it, and a configuration made of it.

Decision: `list` and `show` import no plugin in this process; whatever plugins do, these two answer.
"""

from __future__ import annotations

import os
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import attrs
import click

from codex_core.cli.compose import GOALS, compose, example
from codex_core.cli.output import print_json, say, table
from codex_core.cli.registry_doctor import doctor
from codex_core.cli.registry_frozen import check, diff, freeze
from codex_core.cli.registry_index import index_command
from codex_core.cli.registry_new import new
from codex_core.cli.session import Session
from codex_core.components import KINDS
from codex_core.errors import ExitCode, InputError, UnknownComponent
from codex_core.files import write_atomic
from codex_core.plugins import listing
from codex_core.plugins.selection import Selection
from codex_core.registry import Row


@click.group()
def registry() -> None:
    """See every installed component, why one is not usable, and compose a configuration.

    \b
    Examples:
      codex registry list
      codex registry show models/decoder
      codex registry compose -o run.yaml
    """


for _command in (check, diff, doctor, freeze, index_command, new):
    registry.add_command(_command)


@registry.command("list")
@click.argument("kind", required=False, type=click.Choice([*KINDS, "events", "plugin"]))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--all", "absent_too", is_flag=True, help="Add known components that are not installed.")
@click.option("--check", is_flag=True, help="Exit with 1 when a row is not ok.")
@click.option("--refresh", is_flag=True, help="Look at everything again.")
@click.pass_obj
def list_command(
    session: Session, kind: str | None, as_json: bool, absent_too: bool, check: bool, refresh: bool
) -> int:
    """List every claimed component: one row each, with state, reason and fix.

    \b
    Examples:
      codex registry list tokenizers
      codex registry list --json --all
      codex registry list --check
    """
    if session.flags.verbosity > 0:
        for entry in sys.path:
            if not os.path.isabs(entry) or not os.path.exists(entry):
                why = "is relative" if not os.path.isabs(entry) else "does not exist"
                say(f"passed over on the search path: {listing.escaped(entry) or '(empty)'} {why}")
    return listing.show(
        Selection.from_environment(flags=session.flags.plugins),
        kind=kind,
        home=str(session.places.home),
        as_json=as_json,
        absent_too=absent_too,
        check=check,
        refresh=refresh,
    )


@registry.command()
@click.argument("component", metavar="[KIND/][DIST/]NAME")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def show(session: Session, component: str, as_json: bool) -> int:
    """Show a component: state, options, requirements, where its code is, and a piece of configuration.

    \b
    Examples:
      codex registry show models/decoder
      codex registry show tokenizers/codex-tokenizers/bpe --json
      codex registry show ngram
    """
    rows = _named(session, component)
    described = session.registry.describe_options(rows)
    if as_json:
        listed = [{**attrs.asdict(row), **one} for row, one in zip(rows, described, strict=True)]
        print_json("codex-registry-show/1", {"components": _sorted_sets(listed)})
    else:
        pages = [_page(row, one) for row, one in zip(rows, described, strict=True)]
        click.echo("\n\n".join("\n".join(map(listing.escaped, page)) for page in pages))
    return int(ExitCode.OK if all(row.state == "ok" for row in rows) else ExitCode.NO)


def _named(session: Session, component: str) -> list[Row]:
    """The rows that `KIND/NAME`, `KIND/DIST/NAME`, or a name without a kind stands for; all claimants of a name."""
    kind, _, name = component.partition("/")
    of_kind = [row for row in session.registry.of_kind(kind) if name in (row.name, row.id)]
    rows = of_kind or [row for row in session.registry.rows if component in (row.name, row.id)]
    if not rows and kind in KINDS and name:
        rows = [session.registry.find(kind, name)]  # which says what is known of the name, or what is near
    if not rows:
        names = sorted({f"{row.kind}/{row.name}" for row in session.registry.rows})
        bare = (name.partition("/")[2] for name in names)
        near = get_close_matches(component, list(dict.fromkeys([*names, *bare])), n=3)
        raise UnknownComponent(
            code="REG-003",
            what=f"no component is called {component!r}",
            why=f"did you mean {' or '.join(near)}?" if near else f"kinds are {', '.join(KINDS)}",
            fix="codex registry list --all",
        )
    return rows


def _sorted_sets(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted_sets(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_sorted_sets(one) for one in value]
    return sorted(value) if isinstance(value, frozenset) else value


@registry.command("compose")
@click.option(
    "--goal",
    type=click.Choice(list(GOALS)),
    default="pretrain",
    show_default=True,
    help="What the configuration is for.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file.")
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
@click.pass_obj
def compose_command(session: Session, goal: str, output: Path | None, force: bool) -> None:
    """Write a commented configuration from what is installed, and say why each part was chosen.

    \b
    Examples:
      codex registry compose
      codex registry compose -o run.yaml
      codex registry compose --goal evaluate

    `pretrain` trains from nothing, `evaluate` too but with every metric, and names the command that scores a
    checkpoint of before; `finetune` and `lora` take a trainer that declares it can.
    """
    text = compose(session.registry, goal=goal)
    if output is None:
        click.echo(text, nl=False)
        return
    if output.exists() and not force:
        raise InputError(
            code="REG-009", what=f"{output} exists already", fix=f"codex registry compose -o {output} --force"
        )
    try:
        write_atomic(output, text)
    except OSError as error:
        raise InputError(
            code="REG-009", what=f"{output} cannot be written", why=error.strerror, fix="choose another -o"
        ) from error
    say(f"wrote {output}; next: codex plan {output}")


def _page(row: Row, described: dict[str, Any]) -> list[str]:
    lines = [f"{row.kind}/{row.id}  ({row.state})", f"  {row.summary}"]
    if row.state != "ok":
        lines += [f"  {row.reason}: {row.hint}", f"  fix: {row.fix}"]
    facts = {
        "distribution": f"{row.dist} {row.version or '(no version)'}{' (editable)' if row.editable else ''}",
        "plugin": f"{row.entry_point} = {row.module}, API {'.'.join(map(str, row.api or ())) or 'unknown'}",
        "code": f"{row.target} in {row.location}",
        "runtime": row.runtime,
        "capabilities": ", ".join(sorted(row.capabilities)),
        "requires": ", ".join(f"{name} (missing)" if name in row.missing else name for name in row.requires),
        "extras": ", ".join(row.extras),
        "also claimed by": ", ".join(row.others),
        "import": f"{row.import_ms} ms" if row.import_ms is not None else None,
    }
    lines += [f"  {name + ':':<16} {value}" for name, value in facts.items() if value]
    lines += [f"  note: {note}" for note in row.notes]
    if described["problem"]:
        lines += ["", f"  options cannot be read: {described['problem']['error']}"]
    elif described["fields"]:
        headings = ("option", "type", "default", "meaning")
        cells = [[one["name"], one["type"], _default(one), _meaning(one)] for one in described["fields"]]
        lines += ["", *(f"  {line}" for line in table(headings, cells).splitlines())]
    if row.kind != "commands":
        lines += ["", *(f"  {line}" for line in snippet(row, described).splitlines())]
    return lines


def snippet(row: Row, described: dict[str, Any]) -> str:
    """A piece of configuration that uses the component; required options stand there to be filled in."""
    place = {
        "datasets": "data:\n  sources:\n    - ",
        "metrics": "evaluation:\n  metrics:\n    - ",
        "writers": "writers:\n  - ",
        "safety_policies": "safety:\n  ",
    }.get(row.kind, f"{row.kind.removesuffix('s')}:\n  ")
    indent = " " * (len(place) - place.rfind("\n") - 1)
    lines = [f"{place}name: {row.id}"]
    for field in described.get("fields", ()):
        if field["required"]:
            lines.append(f"{indent}{field['name']}: {example(field)}  # {field['doc'] or field['type']}")
    return "\n".join(lines)


def _default(field: dict[str, Any]) -> str:
    return "required" if field["required"] else "null" if field["default"] is None else str(field["default"])


def _meaning(field: dict[str, Any]) -> str:
    bounds = [
        f"{word} {field[key]}"
        for key, word in (("minimum", "from"), ("maximum", "to"))
        if field[key] is not None
    ]
    if field["choices"]:
        bounds.append("one of " + ", ".join(map(str, field["choices"])))
    unit = f" [{field['unit']}]" if field["unit"] else ""
    limits = f" ({', '.join(bounds)})" if bounds else ""
    return f"{field['doc'] or ''}{unit}{limits}"
