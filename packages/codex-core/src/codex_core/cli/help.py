"""`codex help TOPIC`: what stands behind exit codes and error codes."""

from __future__ import annotations

from difflib import get_close_matches

import click

from codex_core.cli.output import print_json
from codex_core.error_codes import CATALOGUE
from codex_core.errors import EXIT_MEANINGS, UsageError

TOPICS = ("exit-codes", "errors")


@click.command("help")
@click.argument("topic", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def help_command(ctx: click.Context, topic: str | None, as_json: bool) -> None:
    """Explain a topic: exit-codes, errors, or one error code.

    \b
    Examples:
      codex help exit-codes
      codex help CFG-001
    """
    if topic is None:
        assert ctx.parent is not None
        lines = [ctx.parent.get_help()]
    else:
        lines = _lines(topic)
    if as_json:
        print_json("codex-help/1", {"topic": topic, "lines": "\n".join(lines).splitlines()})
    else:
        click.echo("\n".join(lines))


def _lines(topic: str) -> list[str]:
    if topic == "exit-codes":
        return [f"{int(code):>4}  {meaning}" for code, meaning in EXIT_MEANINGS.items()]
    if topic == "errors":
        entries = sorted(CATALOGUE.items())
        return [f"{name}  exit {int(entry.exit_code)}  {entry.sentence}" for name, entry in entries]
    if (known := CATALOGUE.get(topic.upper())) is not None:
        return [f"{topic.upper()}: {known.sentence} (exit {int(known.exit_code)})"]
    near = get_close_matches(topic, [*TOPICS, *CATALOGUE, *map(str.lower, CATALOGUE)], n=3)
    raise UsageError(
        code="CLI-003",
        what=f"no help topic {topic!r}",
        why=f"did you mean {' or '.join(near)}?"
        if near
        else f"topics are {', '.join(TOPICS)}, and every error code",
        fix="codex help errors",
    )
