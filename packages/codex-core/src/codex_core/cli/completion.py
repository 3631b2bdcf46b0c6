"""`codex completion SHELL`: a script that completes commands and options without starting Python.

Decision: the script is static, so completing costs nothing and runs no plugin; after installing plugins that bring
commands it is made anew. Where no word fits the shell completes file names.
"""

from __future__ import annotations

import click

from codex_core.cli.commands import GLOBAL_OPTIONS
from codex_core.cli.tree import Node, commands_of, walk

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a completion script for SHELL.

    \b
    Examples:
      codex completion bash
      codex completion zsh
      codex completion fish

    \b
    Where it goes:
      bash  ~/.local/share/bash-completion/completions/codex
      zsh   a file _codex in a folder of $fpath
      fish  ~/.config/fish/completions/codex.fish
    """
    root = context.find_root()
    assert isinstance(root.command, click.Group)
    nodes = list(walk(commands_of(root.command, root)))
    words = {"": sorted({node.words[0] for node in nodes})}
    words |= {" ".join(node.words): _words(node) for node in nodes}
    click.echo({"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](words), nl=False)


def _words(node: Node) -> list[str]:
    """What may follow a command: its subcommands or the choices of its arguments, then its options."""
    choices = [
        str(choice)
        for argument in node.arguments
        if isinstance(argument.type, click.Choice)
        for choice in argument.type.choices
    ]
    options = [name for option in node.options for name in option.opts if name.startswith("--")]
    return [*node.children, *choices, *sorted(options)]


def _cases(words: dict[str, list[str]]) -> str:
    """One line of a `case` per command, for bash and zsh."""
    return "\n".join(f'    "{path}") words="{" ".join(follow)}" ;;' for path, follow in words.items())


def _patterns(words: dict[str, list[str]]) -> str:
    return "|".join(f'"{path}"' for path in words if path)


_BASH = """\
# Completion of codex for bash; written by: codex completion bash
_codex() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" path="" word words="" i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="${{COMP_WORDS[i]}}"
    case "${{path:+$path }}$word" in
    {patterns}) path="${{path:+$path }}$word" ;;
    esac
  done
  case "$path" in
{cases}
  esac
  COMPREPLY=($(compgen -W "$words {flags}" -- "$current"))
  if [ ${{#COMPREPLY[@]}} -eq 0 ]; then COMPREPLY=($(compgen -f -- "$current")); fi
}}
complete -o filenames -F _codex codex
"""

_ZSH = """\
#compdef codex
# Completion of codex for zsh; written by: codex completion zsh
_codex() {{
  local trail="" word words_here="" i
  for ((i = 2; i < CURRENT; i++)); do
    word="${{words[i]}}"
    case "${{trail:+$trail }}$word" in
    {patterns}) trail="${{trail:+$trail }}$word" ;;
    esac
  done
  case "$trail" in
{cases}
  esac
  compadd -- ${{=words_here}} {flags} || _files
}}
compdef _codex codex
"""


def _bash(words: dict[str, list[str]]) -> str:
    return _BASH.format(patterns=_patterns(words), cases=_cases(words), flags=" ".join(GLOBAL_OPTIONS))


def _zsh(words: dict[str, list[str]]) -> str:
    cases = _cases(words).replace(") words=", ") words_here=")
    return _ZSH.format(patterns=_patterns(words), cases=cases, flags=" ".join(GLOBAL_OPTIONS))


def _fish(words: dict[str, list[str]]) -> str:
    lines = [
        "# Completion of codex for fish; written by: codex completion fish",
        "function __codex_at",
        "    set -l path",
        "    for word in (commandline -opc)[2..-1]",
        f"        contains -- (string join ' ' $path $word) {_fish_paths(words)}; and set path $path $word",
        "    end",
        '    test (string join " " $path) = "$argv"',
        "end",
    ]
    for path, follow in words.items():
        lines.append(f"complete -c codex -n '__codex_at {path}' -a '{' '.join(follow)}'")
    lines.append(
        f"complete -c codex -a '{' '.join(GLOBAL_OPTIONS)}' -n 'string match -q -- \"-*\" (commandline -ct)'"
    )
    return "\n".join(lines) + "\n"


def _fish_paths(words: dict[str, list[str]]) -> str:
    return " ".join(f"'{path}'" for path in words if path)
