"""`codex config`: look at configurations without running them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from codex_core import plan
from codex_core.canonical import readable_json
from codex_core.cli.config_doc import explain as explained
from codex_core.cli.config_doc import section_fields
from codex_core.cli.config_schema import json_schema
from codex_core.cli.output import print_json, say, table
from codex_core.cli.session import Session
from codex_core.config import RunConfig
from codex_core.errors import ExitCode, InputError
from codex_core.files import write_atomic
from codex_core.planning import versions
from codex_core.planning.configio import read
from codex_core.planning.layers import installed_presets, preset_path
from codex_core.planning.sections import SCHEMA
from codex_core.planning.structuring import flat

FILE = click.Path(path_type=Path)
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


class ConfigGroup(click.Group):
    """The commands below and `sweep`, whose module is imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands by name."""
        return sorted([*super().list_commands(ctx), "sweep"])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command by name; None when there is none."""
        if cmd_name != "sweep":
            return super().get_command(ctx, cmd_name)
        from codex_core.cli.sweep import sweep

        return sweep


@click.group(cls=ConfigGroup)
def config() -> None:
    """Show, check and explain configurations.

    \b
    Examples:
      codex config show run.yaml trainer.lr=1e-4 --origin
      codex config validate run.yaml
      codex config explain trainer.lr
    """


@config.command()
@click.argument("file", type=FILE)
@click.argument("overrides", nargs=-1)
@click.option("--origin", is_flag=True, help="Tell where each value came from.")
@JSON
@click.pass_obj
def show(session: Session, file: Path, overrides: Sequence[str], origin: bool, as_json: bool) -> None:
    """Print FILE with every value resolved: defaults, overrides, canonical ids.

    \b
    Examples:
      codex config show run.yaml
      codex config show run.yaml trainer.lr=1e-4 --origin
    """
    loaded = session.configuration(file, overrides)
    if as_json:
        found = {"config": loaded.as_dict(), "hash": loaded.hash(), "origins": loaded.origins}
        print_json("codex-config/1", found)
    elif origin:
        values = flat(loaded.as_dict())
        print(table(["key", "value", "origin"], [(key, values[key], loaded.origins[key]) for key in values]))
    else:
        print(f"# {loaded.hash()}\n{loaded.to_yaml()}", end="")


@config.command()
@click.argument("file", type=FILE)
@click.argument("overrides", nargs=-1)
@JSON
@click.pass_obj
def validate(session: Session, file: Path, overrides: Sequence[str], as_json: bool) -> None:
    """Check FILE as a whole and report every mistake, or the values that were really read.

    \b
    Examples:
      codex config validate run.yaml
      codex config validate run.yaml data.seq_len=512
    """
    loaded = session.configuration(file, overrides)
    # A reason stands in for the flag: whether safety may be off is asked when something is run.
    is_off = loaded.safety is not None and loaded.safety.name == "none"
    asked = plan.make(loaded, session.registry, bypass_reason="validation" if is_off else None)
    missing = [
        {"section": choice.section, "name": choice.name, "state": choice.state, "fix": choice.fix}
        for choice in asked.missing
    ]
    if as_json:
        print_json(
            "codex-config-validation/1", {"valid": True, "hash": asked.config_hash, "missing": missing}
        )
        return
    print(plan.describe_plan(asked))
    if "schema" not in loaded.written:
        say(f"{file} does not say its version and was read as {SCHEMA}; add `schema: {SCHEMA}`")
    say(
        f"{file} is valid"
        + (f"; not usable here: {', '.join(m['name'] or '' for m in missing)}" if missing else "")
    )


@config.command()
@click.argument("key", required=False)
@JSON
@click.pass_obj
def explain(session: Session, key: str | None, as_json: bool) -> None:
    """Tell what KEY means: type, default, unit, bounds, owner; without KEY list all keys.

    \b
    Examples:
      codex config explain run.seed
      codex config explain trainer
    """
    fields = explained(key, session.registry) if key else list(section_fields())
    if as_json:
        shown = [{"path": field.path, "owner": field.owner, "text": field.lines()} for field in fields]
        print_json("codex-config-keys/1", {"keys": shown})
    elif key:
        print("\n".join("\n".join(field.lines()) for field in fields))
    else:
        print(
            table(["key", "default", "meaning"], [(field.path, field.default, field.doc) for field in fields])
        )


@config.command()
@click.argument("first", type=FILE)
@click.argument("second", type=FILE)
@JSON
@click.pass_obj
def diff(session: Session, first: Path, second: Path, as_json: bool) -> int:
    """Compare the meaning of two configurations; exit 1 when it differs.

    \b
    Examples:
      codex config diff a.yaml b.yaml
    """
    one, other = (session.configuration(path) for path in (first, second))
    changes = _changes(one, other)
    if as_json:
        fields = [{"key": key, "first": before, "second": after} for key, before, after in changes]
        print_json("codex-config-diff/1", {"changes": fields, "hashes": [one.hash(), other.hash()]})
    elif changes:
        print(table(["key", str(first), str(second)], changes))
    else:
        print(f"both mean the same: {one.hash()}")
    return ExitCode.NO if changes else ExitCode.OK


@config.command()
@click.option(
    "-o", "--output", type=FILE, default=Path("run.yaml"), show_default=True, help="The file to write."
)
@click.option("--preset", default="ngram", show_default=True, help="What to start from.")
@click.pass_obj
def init(session: Session, output: Path, preset: str) -> None:
    """Write a configuration to start from; an existing file is never replaced.

    \b
    Examples:
      codex config init -o run.yaml
    """
    text = preset_path(preset, where="--preset", presets=installed_presets()).read_text(encoding="utf-8")
    if not any(row.kind == "safety_policies" and row.state == "ok" for row in session.registry.rows):
        text += "safety:\n  name: none\n  reason: no safety policy is installed\n"
    if output.exists():
        raise unwritable(output, "it exists", fix="codex config init -o ANOTHER.yaml")
    written(output, text, fix="codex config init -o ANOTHER.yaml")
    read(output)
    say(f"wrote {output}; next: codex plan {output}")


@config.command()
@click.argument("file", type=FILE)
@click.option("--write", "is_written", is_flag=True, help="Replace FILE instead of printing.")
@click.pass_obj
def migrate(session: Session, file: Path, is_written: bool) -> None:
    """Bring FILE up to the present version of the format; comments and layout stay.

    \b
    Examples:
      codex config migrate run.yaml
      codex config migrate run.yaml --write
    """
    read(file)
    text, changes = versions.migrate(file.read_bytes().decode("utf-8-sig"), source=str(file))
    if not changes:
        say(f"{file} is in the present version, {SCHEMA}: nothing to do")
    for change in changes:
        say(f"{file}: {change}")
    if not is_written:
        print(text, end="")
    elif changes:
        written(file, text, fix=f"codex config migrate {file} > ANOTHER.yaml")


@config.command()
@click.pass_obj
def schema(session: Session) -> None:
    """Print a JSON Schema of configuration files, for editors.

    \b
    Examples:
      codex config schema
    """
    print(readable_json(json_schema(session.registry)), end="")


def written(path: Path, text: str, *, fix: str) -> None:
    """Write a file whole; raises `InputError` when that is not possible."""
    try:
        write_atomic(path, text)
    except OSError as error:
        raise unwritable(path, error.strerror or str(error), fix=fix) from None


def unwritable(path: Path, why: str, *, fix: str) -> InputError:
    """The error for a file that cannot be written."""
    return InputError(code="CFG-013", what=f"cannot write {path}", where=str(path), why=why, fix=fix)


def _changes(one: RunConfig, other: RunConfig) -> list[tuple[str, Any, Any]]:
    """Key and both values where they differ; absent values are None."""
    before, after = flat(one.as_dict()), flat(other.as_dict())
    keys = [*before, *(key for key in after if key not in before)]
    return [(key, before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)]
