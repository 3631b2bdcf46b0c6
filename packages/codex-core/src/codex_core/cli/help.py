"""`codex help TOPIC`: what stands behind exit codes and error codes."""

from __future__ import annotations

import click

from codex_core.errors import CATALOGUE, EXIT_MEANINGS, UsageError

TOPICS = ("exit-codes", "errors")


@click.command("help")
@click.argument("topic", required=False)
@click.pass_context
def help_command(ctx: click.Context, topic: str | None) -> None:
    """Explain a topic: exit-codes, errors, or one error code.

    \b
    Examples:
      codex help exit-codes
      codex help CFG-001
    """
    if topic is None:
        assert ctx.parent is not None
        click.echo(ctx.parent.get_help())
    elif topic == "exit-codes":
        for code, meaning in EXIT_MEANINGS.items():
            click.echo(f"{int(code):>4}  {meaning}")
    elif topic == "errors":
        for name, entry in sorted(CATALOGUE.items()):
            click.echo(f"{name}  exit {int(entry.exit_code)}  {entry.sentence}")
    elif (known := CATALOGUE.get(topic.upper())) is not None:
        click.echo(f"{topic.upper()}: {known.sentence} (exit {int(known.exit_code)})")
    else:
        raise UsageError(
            code="CLI-003",
            what=f"no help topic {topic!r}",
            why=f"topics are {', '.join(TOPICS)}, and every error code",
            fix="codex help errors",
        )
