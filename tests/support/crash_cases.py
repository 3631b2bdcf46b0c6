"""The trainings that the crash tests break, by name; a variant is one more row."""

from __future__ import annotations

from pathlib import Path

from codex_core.testing.crash import Case
from tests.support.commands import safety_line

SHARED = """\
schema: codex-run/1
run: {{name: broken, seed: 3, log_every: 1 steps, threads: 1}}
data:
  sources: [{{name: text, path: corpus, document: paragraph}}]
  split: [0.7, 0.2, 0.1]
  seq_len: 32
tokenizer: bytes
checkpoint: {{every: 4 steps, keep_last: 1, keep_best: 1}}
evaluation: {{every: 3 steps, max_documents: 20}}
{model}
{trainer}
"""

STEPS = 24
DECODER = "model: {name: decoder, layers: 1, width: 16, heads: 2, dropout: 0.1}"
ADAPTED = DECODER.replace("}", ", weights: base/checkpoints/step-00000024, lora: {r: 2}}")
TORCH = "trainer: {{name: torch, duration: 24 steps, batch_rows: 4, warmup: 4 steps{more}}}"

#: What differs from case to case: the model, the trainer, and modules that its process imports anyway.
CASES = {
    "ngram": ("model: {name: ngram, order: 3}", "trainer: {name: ngram, duration: 24 steps, batch_rows: 4}"),
    "full": (DECODER, TORCH.format(more=", precision: fp32")),
    "bf16": (DECODER, TORCH.format(more=", precision: bf16")),
    "accumulation": (DECODER, TORCH.format(more=", precision: fp32, micro_batch_rows: 1")),
    "average": (DECODER, TORCH.format(more=", precision: fp32, ema: 0.9")),
    "muon": (DECODER, TORCH.format(more=", precision: fp32, optimizer: muon")),
    "lora": (ADAPTED, TORCH.format(more=", precision: fp32")),
    "compile": (DECODER, TORCH.format(more=", precision: fp32, compile: on")),
}

#: Cases that begin from the weights of another one.
BASES = {"lora": "full"}

#: Cases whose processes take seconds to begin: they are killed less often.
SLOW = ("compile",)

_COMMAND = ("codex_core.cli.train",)
_TORCH = (*_COMMAND, "codex_models.trainer", "codex_models.decoder")


def case(name: str) -> Case:
    """The case called `name`."""
    is_torch = "name: torch" in CASES[name][1]
    return Case(
        name=name,
        config=config_of(name),
        bases={"base": config_of(BASES[name])} if name in BASES else {},
        steps=STEPS,
        save_every=4,
        evaluate_every=3,
        is_beside=is_torch,
    )


def config_of(name: str) -> str:
    """The configuration of a case."""
    model, trainer = CASES[name]
    return SHARED.format(model=model, trainer=trainer) + safety_line()


def imports_of(name: str) -> tuple[str, ...]:
    """Modules that the server imports before it forks."""
    return _TORCH if "name: torch" in CASES[name][1] else _COMMAND


def write_corpus(folder: Path) -> None:
    """A small corpus, a pure function of nothing."""
    corpus = folder / "corpus"
    corpus.mkdir(parents=True)
    text = [f"Paragraph {number} tells of {number * number % 97} things, and so on." for number in range(120)]
    (corpus / "text.txt").write_text("\n\n".join(text), encoding="utf-8")
