"""A project in which every example of every help text can run: an interrupted run, files to compare, a notebook.

The configuration trains the smallest decoder over a small folder of text, so each example takes a moment only.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import shlex
import signal
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import click

from codex_core.cli.main import codex
from codex_core.cli.session import Session
from codex_core.cli.tree import Node, commands_of, walk
from codex_core.data.prepare import open_prepared
from tests.support.commands import Project, safety_line

CONFIG = """schema: codex-run/1
run: {name: example, log_every: 1 steps, threads: 1}
data:
  sources: [{name: text, path: corpus}]
  split: [0.6, 0.2, 0.2]
  seq_len: 32
tokenizer: bytes
model: {name: decoder, layers: 1, width: 16, heads: 2}
trainer: {name: torch, duration: 40 steps, batch_rows: 2, warmup: 1 steps}
checkpoint: {every: 20 steps}
evaluation: {every: 0 steps}
"""

NGRAM = CONFIG.replace("{name: decoder, layers: 1, width: 16, heads: 2}", "{name: ngram, order: 3}").replace(
    "{name: torch, duration: 40 steps, batch_rows: 2, warmup: 1 steps}", "{name: ngram, batch_rows: 2}"
)

TOKENIZER = 'tokenizer: {name: bpe, vocab_size: 300}\ncorpus: ["corpus/*.txt"]\nout: words\n'

#: Presets that take minutes, and the one that takes seconds; the long ones are measured by the demo's own tests.
QUICKER = {"codex demo": "codex demo --preset tiny", "codex demo --preset long": "codex demo --preset tiny"}


#: Files of rows that the examples of `codex data` read.
ROWS = {
    "rows.jsonl": [{"text": "first"}, {"text": "second"}],
    "train.jsonl": [{"text": "first"}],
    "test.jsonl": [{"text": "second"}],
    "chats.jsonl": [
        {"messages": [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}]}
    ],
}


@cache
def nodes() -> tuple[Node, ...]:
    """Every installed command, as the command line itself walks them."""
    with codex.make_context("codex", [], obj=Session(), resilient_parsing=True) as context:
        return tuple(walk(commands_of(codex, context)))


def leaves() -> list[Node]:
    """Every command that works, groups left out."""
    return [node for node in nodes() if not isinstance(node.command, click.Group)]


def examples() -> list[str]:
    """Every example line once, the root's own included; long ones in their quick form."""
    root = Node(words=(), command=codex).examples()
    lines = [*root, *(line for node in nodes() for line in node.examples())]
    return list(dict.fromkeys(QUICKER.get(line, line) for line in lines))


def make(path: Path) -> Project:
    """A new project at `path` with everything that the examples name."""
    project = Project.make(path)
    for folder in ("corpus", "notebooks"):
        (path / folder).mkdir()
    for number in range(30):
        text = f"Document number {number}: " + "it says little. " * (number + 3)
        (path / "corpus" / f"{number:02}.txt").write_text(text)
    (path / "ngram.yaml").write_text(NGRAM + safety_line())
    (path / "notebooks" / "notes.txt").write_text("nothing secret\n")
    for name, rows in ROWS.items():
        (path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name in ("run.yaml", "a.yaml", "b.yaml"):
        (path / name).write_text(CONFIG + safety_line())
    (path / "tokenizer.yaml").write_text(TOKENIZER)
    (path / "prompts.jsonl").write_text('{"prompt": "Document number"}\n')
    run = path / "runs" / "RUN"
    said = project.codex_until(
        '"step":25,', "train", "run.yaml", "--run-dir", run, run=run, send=signal.SIGINT
    )
    assert said.code == 130, said
    for name, layout in (("tiny", "codex"), ("directory", "llama")):
        (path / name).mkdir()
        importlib.import_module("codex_models.tiny").fill(path / name, seed=1, layout=layout)
    importlib.import_module("tests.support.adapters").adapter(path / "adapted", base=path / "tiny")
    if importlib.util.find_spec("codex_tokenizers") is not None:
        learned = project.codex("tokenizer", "train", "--config", "tokenizer.yaml")
        assert learned.code == 0, learned
    frozen = project.codex("registry", "freeze")
    assert frozen.code == 0, frozen
    for name in ("plugins.json", "plugins-before.json", "plugins-after.json"):
        (path / name).write_text(frozen.out)
    return project


def arguments_of(line: str, folder: Path) -> list[str]:
    """The words of an example after `codex`, with the placeholders of a made project filled in."""
    assert line.startswith("codex "), f"an example must begin with codex: {line!r}"
    words = shlex.split(line)[1:]
    newest = max(folder.glob("runs/RUN/checkpoints/step-*[0-9]")).name
    prepared = next(folder.glob(".codex/store/tokens/*/")).name
    places = {"step-00000040": newest, "/KEY": f"/{prepared}"}
    if "new" not in words:  # a plugin of somebody's own that the pages speak of
        places["my-tok"] = "codex-tokenizers"
    if "--without DOC" in line or "--doc DOC" in line:
        places["DOC"] = next(open_prepared(next(folder.glob(".codex/store/tokens/*/"))).document_ids("train"))
    if "model.order" in line:
        places["run.yaml"] = "ngram.yaml"
    return [_filled(word, places) for word in words]


def make_way(words: Sequence[str], folder: Path) -> None:
    """Remove the file that an example writes: no command replaces one in silence."""
    if "-o" in words:
        (folder / words[words.index("-o") + 1]).unlink(missing_ok=True)


def _filled(word: str, places: Mapping[str, str]) -> str:
    for placeholder, name in places.items():
        word = word.replace(placeholder, name)
    return word
