"""The commands that core ships, as data: showing help or completing a name imports none of them.

Decision: the same table feeds `codex --help`, the plugin hook of this room, and the look-up of a command, so that
a broken index can never take the recovery commands away.
"""

from __future__ import annotations

#: Name -> (target, one-line summary), in the order in which help shows them.
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": (
        "codex_core.cli.demo:demo",
        "Train, evaluate and sample a small model on this machine's own text",
    ),
    "train": ("codex_core.cli.train:train", "Train what a configuration describes, or resume a run"),
    "reproduce": (
        "codex_core.cli.reproduce:reproduce",
        "Execute a run again from its lock, and compare every step",
    ),
    "plan": ("codex_core.cli.train:plan_command", "Show what a training would do, without doing it"),
    "evaluate": ("codex_core.cli.evaluate:evaluate", "Score a checkpoint on a split"),
    "generate": ("codex_core.cli.generate:generate", "Continue prompts with a trained model"),
    "registry": (
        "codex_core.cli.registry:registry",
        "See every installed component, and compose a configuration",
    ),
    "config": ("codex_core.cli.config:config", "Show, check and explain configurations"),
    "data": ("codex_core.cli.data:data", "Prepare and inspect training data"),
    "checkpoint": (
        "codex_core.cli.checkpoint:checkpoint",
        "List, verify, compare, prune and export checkpoints",
    ),
    "runs": ("codex_core.cli.runs:runs", "List, show and verify runs"),
    "doctor": ("codex_core.cli.doctor:doctor", "Check this installation and this machine"),
    "completion": ("codex_core.cli.completion:completion", "Print what a shell needs to complete commands"),
    "describe": ("codex_core.cli.describe:describe", "Print every command with its options, as data"),
    "help": ("codex_core.cli.help:help_command", "Explain topics: exit-codes, errors"),
}

#: Options that may stand before or after every command, as completion offers them.
GLOBAL_OPTIONS = ("--quiet", "--verbose", "--debug", "--progress", "--version", "--help")

#: How progress is shown: as fits the stream, as plain lines, as JSON lines, or not at all.
PROGRESS = ("auto", "plain", "json", "off")
