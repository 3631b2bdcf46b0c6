"""Running out of memory in a step: ended with a way out, or computed again with the same batch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import attrs
import pytest
import torch

from codex_core.errors import RunFailed
from codex_core.planning import rules
from codex_models.decoder import Decoder
from codex_models.oom import fewer_rows, is_out_of_memory
from tests.support.decoders import Trained, options_for, train
from tests.support.trainings import files_of

ALLOCATOR = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"
)
ERRORS = (MemoryError(), torch.OutOfMemoryError("CUDA out of memory"), RuntimeError(ALLOCATOR))


def _with_room_for(rows: int, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let the model raise for more than `rows` rows in training; gives the rows of each pass."""
    hidden, seen = Decoder.hidden, []

    def bounded(self, ids, *more, **settings):
        seen.append(len(ids))
        found = hidden(self, ids, *more, **settings)
        if len(ids) > rows:
            raise error
        return found

    monkeypatch.setattr(Decoder, "hidden", bounded)
    return seen


def _train(folder: Path, **options: object) -> Trained:
    return train(folder, options=options_for(**options), exactness="L0", save_at=frozenset({8}), log_every=1)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_step_without_memory_is_computed_again_with_fewer_rows(error, tmp_path, monkeypatch):
    """Weights and moments are those of a run that had the smaller micro-batches from the start, and it is told once."""
    wanted = _train(tmp_path / "small", micro_batch_rows=2)
    whole = _train(tmp_path / "whole")
    seen = _with_room_for(2, error, monkeypatch)
    retried = _train(tmp_path / "retried", on_oom="retry")

    assert seen == [4] + [2] * 16
    (told,) = retried.of_kind("warning")
    assert (told.code, "with 4 rows at once" in told.text, "batch stays 4 rows" in told.text) == (
        "TRN-012",
        True,
        True,
    )
    mine, theirs = (files_of(one.checkpoints.saved[8]) for one in (retried, wanted))
    assert {name: mine[name] for name in mine if name.endswith("safetensors")} == {
        name: theirs[name] for name in theirs if name.endswith("safetensors")
    }
    losses, first = ([event.metrics["loss"] for event in one.of_kind("step")] for one in (retried, whole))
    assert losses == pytest.approx(first, abs=1e-5)  # fp32, 8 steps: the order of sums differs


@pytest.mark.parametrize(
    ("changes", "room", "fix"),
    [
        ({}, 2, "trainer.micro_batch_rows=2, or run.exactness=L0 trainer.on_oom=retry"),
        ({"on_oom": "retry"}, 0, "make data.seq_len or the model smaller"),
    ],
    ids=["stop", "nothing-left"],
)
def test_a_run_without_memory_ends_with_a_way_out(changes, room, fix, tmp_path, monkeypatch):
    """Without a retry, or when one row does not fit, the run fails, naming what would help."""
    _with_room_for(room, RuntimeError(ALLOCATOR), monkeypatch)
    with pytest.raises(RunFailed, match="out of memory in step 1") as raised:
        _train(tmp_path, **changes)
    assert raised.value.code == "RUN-011"
    assert raised.value.fix.startswith(fix)


def test_other_failures_are_not_taken_for_a_lack_of_memory(tmp_path, monkeypatch):
    """An error that says nothing of memory ends the run as it is, in its first pass."""
    seen = _with_room_for(0, RuntimeError("shapes cannot be multiplied"), monkeypatch)
    with pytest.raises(RuntimeError, match="shapes"):
        _train(tmp_path, on_oom="retry")
    assert seen == [4]
    assert not is_out_of_memory(ValueError("can't allocate memory"))


def test_micro_batches_stay_divisors_of_the_batch():
    """The next smaller number of rows is at most half, divides the batch, and ends at one."""
    assert [fewer_rows(rows, of=12) for rows in (12, 6, 4, 3, 2, 1)] == [6, 3, 2, 1, 1, 1]


@pytest.mark.parametrize(("level", "is_refused"), [("L0", False), ("L1", True), ("L2", True)])
def test_a_retry_is_refused_where_bits_are_promised(level, is_refused):
    """Only L0 lets sums be rounded as memory happens to allow."""
    config = SimpleNamespace(run=SimpleNamespace(exactness=level))
    found = {"trainer": SimpleNamespace(typed=options_for(on_oom="retry"))}
    mistakes = list(rules._out_of_memory(config, found))
    assert [mistake.path for mistake in mistakes] == ["trainer.on_oom"] * is_refused
    stopping = {"trainer": SimpleNamespace(typed=attrs.evolve(options_for(), on_oom="stop"))}
    assert not list(rules._out_of_memory(config, stopping))


LIMITED = """
import resource, sys
from pathlib import Path
from codex_models.options import DecoderOptions
from tests.support.decoders import CountingRows, options_for, train

ROOM = 600 << 20
taken = next(1024 * int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmSize:"))
resource.setrlimit(resource.RLIMIT_AS, (taken + ROOM, taken + ROOM))
done = train(
    Path(sys.argv[1]),
    options=options_for(batch_rows=32, on_oom="retry"),
    model=DecoderOptions(layers=4, width=128, heads=4),
    rows=CountingRows(num_rows=64, seq_len=512),
    seq_len=512,
    steps=1,
    exactness="L0",
)
print(done.result.steps, [event.code for event in done.of_kind("warning")])
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="runs on Linux only")
def test_a_step_fits_into_memory_that_is_really_limited(tmp_path):
    """Under a limit of the system the step is done after retries: what a failed pass held is free for the next one."""
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1 ['TRN-012'")
