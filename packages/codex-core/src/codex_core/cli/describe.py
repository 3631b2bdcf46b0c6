"""`codex describe`: the command tree as data, for programs that build on it."""

from __future__ import annotations

from typing import Any

import click

from codex_core.cli.output import print_json
from codex_core.cli.tree import Node, commands_of, walk


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def describe(context: click.Context, as_json: bool) -> None:
    """Print every installed command with its arguments and options.

    \b
    Examples:
      codex describe
      codex describe --json
    """
    root = context.find_root()
    assert isinstance(root.command, click.Group)
    nodes = list(walk(commands_of(root.command, root)))
    if as_json:
        print_json("codex-describe/1", {"commands": [_facts(node) for node in nodes]})
        return
    for node in nodes:
        click.echo(f"{node.name}  {' '.join(option.opts[0] for option in node.options)}".rstrip())


def _facts(node: Node) -> dict[str, Any]:
    return {
        "words": list(node.words),
        "summary": " ".join(" ".join(node.paragraphs()[:1]).split()),
        "subcommands": list(node.children),
        "arguments": [one.make_metavar(click.Context(node.command)) for one in node.arguments],
        "options": [
            {
                "names": [*option.opts, *option.secondary_opts],
                "flag": option.is_flag,
                "help": option.help or "",
            }
            for option in node.options
        ],
        "examples": node.examples(),
    }
