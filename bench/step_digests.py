"""What the digest of a step costs: milliseconds, share of a training step, and bytes of the journal.

    python bench/step_digests.py                                the demo's shape and a larger one, two threads
    python bench/step_digests.py --steps 2 --rounds 1           a quick look

Decisions: a digest is taken after each step of a real training, so that the parameters are as warm as they are in
one; medians over all steps; the share is that of the step without its digest. The bar: a digest of every step costs
at most 2 % of the step at the larger shape. The exit code is 0 when it holds and 1 otherwise.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import NamedTuple

import orjson
from exactness import RandomRows, lock_of

from codex_core.contracts import Loaded
from codex_models.decoder import Decoder
from codex_models.digests import digest_of_step
from codex_models.gradients import gradients_of
from codex_models.options import DecoderOptions
from codex_models.precision import repeatable
from codex_models.trainer_options import TorchTrainerOptions
from codex_models.training import Training, begin

#: The largest share of a step that its digest may cost, at the larger shape.
BAR = 0.02


class Shape(NamedTuple):
    """A decoder and the rows of a step."""

    layers: int
    width: int
    heads: int
    vocab: int
    rows: int
    seq_len: int


SHAPES = {
    "demo": Shape(layers=4, width=128, heads=4, vocab=2048, rows=16, seq_len=256),
    "larger": Shape(layers=8, width=512, heads=8, vocab=8192, rows=16, seq_len=256),
}


class Sample(NamedTuple):
    """One step: its own time, the time of its digest, the bytes of its record."""

    step_s: float
    digest_s: float
    record_bytes: int


def training_of(shape: Shape, asked: argparse.Namespace) -> Training:
    """A training at step 0."""
    values = {**vars(asked), **shape._asdict()}
    lock = lock_of(argparse.Namespace(**values), "L1")
    model = DecoderOptions(layers=shape.layers, width=shape.width, heads=shape.heads)
    return begin(
        lock,
        TorchTrainerOptions(batch_rows=shape.rows, precision="fp32"),
        load=lambda _: Loaded(id="", target=Decoder, options=model),
        saved=None,
        emit=lambda event: None,
    )


def samples(shape: Shape, asked: argparse.Namespace) -> tuple[list[Sample], int]:
    """Steps with their digests, the first one left out, and how many parameters there are."""
    rows = RandomRows(seq_len=shape.seq_len, vocab_size=shape.vocab)
    lock = lock_of(argparse.Namespace(**{**vars(asked), **shape._asdict()}), "L1")
    found = []
    with repeatable(threads=asked.threads, exact=True):
        training = training_of(shape, asked)
        for step in range(1, asked.steps + 2):
            began = time.perf_counter()
            batches = training.micro_batches(rows, step)
            outcome = gradients_of(training, lock, batches, step=step, supervised=shape.rows * shape.seq_len)
            training.apply(1e-4, loss_sum=outcome.loss, supervised=1)
            training.advance(lock)
            trained = time.perf_counter()
            tensors = training.model.trainable()
            event = digest_of_step(step, loss=outcome.loss, grad_norm=outcome.grad_norm, tensors=tensors)
            digested = time.perf_counter()
            found.append(Sample(trained - began, digested - trained, len(orjson.dumps(event.fields()))))
    return found[1:], sum(parameter.numel() for parameter in training.model.parameters())


def main() -> int:
    """Measure, print, and tell whether the bar holds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    share = 0.0
    for name, shape in SHAPES.items():
        rounds = [samples(shape, asked) for _ in range(asked.rounds)]
        taken, num_parameters = [sample for found, _ in rounds for sample in found], rounds[0][1]
        step_s = statistics.median(sample.step_s for sample in taken)
        digest_s = statistics.median(sample.digest_s for sample in taken)
        share = digest_s / step_s
        print(
            f"{name}: {num_parameters:,} parameters, step {1e3 * step_s:.1f} ms, digest {1e3 * digest_s:.2f} ms "
            f"({4e-9 * num_parameters / digest_s:.2f} GB/s), {share:.2%} of the step, "
            f"{taken[0].record_bytes:,} bytes of journal per step"
        )
    print(f"bar: at most {BAR:.0%} at the larger shape: {'holds' if share <= BAR else 'MISSED'}")
    return int(share > BAR)


if __name__ == "__main__":
    raise SystemExit(main())
