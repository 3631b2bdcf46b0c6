"""Levels of exactness: what L2 makes equal, and what is refused."""

from __future__ import annotations

import attrs
import pytest
import torch

from codex_core.errors import CapabilityMissing, ConfigError
from codex_models.exactness import arithmetic_of, kernel_digest, require_level, require_same_arithmetic
from codex_models.precision import repeatable
from tests.support.decoders import TINY, CountingRows, lock_for, options_for, train
from tests.support.trainings import files_of

ROWS = CountingRows(num_rows=12, unsupervised=frozenset({2, 9}))
NOISY = attrs.evolve(TINY, dropout=0.2)
CPU = torch.device("cpu")


def _trained(folder, micro_batch_rows, *, exactness, **changes):
    options = options_for(batch_rows=8, micro_batch_rows=micro_batch_rows, **changes)
    return train(
        folder,
        options=options,
        model=NOISY,
        rows=ROWS,
        exactness=exactness,
        steps=4,
        log_every=1,
        save_at=frozenset({4}),
    )


@pytest.mark.parametrize("changes", [{}, {"precision": "bf16"}, {"optimizer": "muon"}], ids=str)
def test_l2_micro_batches_change_no_bit(tmp_path, changes):
    """Eight rows at once or two rows four times: equal weights, moments, losses and norms, with dropout and masks."""
    whole = _trained(tmp_path / "8x1", 8, exactness="L2", **changes)
    parts = _trained(tmp_path / "2x4", 2, exactness="L2", **changes)
    assert files_of(whole.checkpoints.saved[4]) == files_of(parts.checkpoints.saved[4])
    assert whole.of_kind("step") == parts.of_kind("step")
    card = whole.of_kind("training_prepared")[0].sentence()
    dtype = "bfloat16" if "precision" in changes else "float32"
    assert card.startswith(f"exactness L2: {dtype} on cpu, 1 threads, torch {torch.__version__}; pretrain, ")


def test_l1_does_not_promise_what_l2_does(tmp_path):
    """The comparison is sharp: under L1 the same two splits differ in some bit."""
    whole = _trained(tmp_path / "8x1", 8, exactness="L1")
    parts = _trained(tmp_path / "2x4", 2, exactness="L1")
    assert files_of(whole.checkpoints.saved[4]) != files_of(parts.checkpoints.saved[4])


@pytest.mark.parametrize("exactness", ["L1", "L2"])
def test_two_runs_are_equal_and_another_seed_is_not(tmp_path, exactness):
    """Equal locks give equal rows and weights; seed 0 is a seed like any other."""
    one = _trained(tmp_path / "a", 4, exactness=exactness)
    two = _trained(tmp_path / "b", 4, exactness=exactness)
    assert files_of(one.checkpoints.saved[4]) == files_of(two.checkpoints.saved[4])
    assert one.of_kind("step") == two.of_kind("step")
    losses = {
        seed: [
            event.metrics["loss"]
            for event in train(
                tmp_path / str(seed), log_every=1, seeds={"model.init": seed, "dropout": seed}, steps=2
            ).of_kind("step")
        ]
        for seed in (0, 1)
    }
    assert losses[0] != losses[1]


def test_level_is_refused_where_it_cannot_hold():
    """Other threads than the lock's, kernels that may differ, a free workspace on an accelerator, several ranks."""
    lock = lock_for(options_for(), exactness="L1")
    with repeatable(threads=1, exact=True):
        require_level(lock, CPU)
        with pytest.raises(CapabilityMissing, match="L1 cannot be held") as caught:
            require_level(lock, CPU, threads=3)
        assert "1 threads and torch uses 3" in caught.value.why and caught.value.exit_code == 6
        with pytest.raises(CapabilityMissing) as caught:
            require_level(lock, torch.device("cuda"), environ={})
        assert "CUBLAS_WORKSPACE_CONFIG" in caught.value.fix
        require_level(lock, torch.device("cuda"), environ={"CUBLAS_WORKSPACE_CONFIG": ":4096:8"})
        with pytest.raises(CapabilityMissing) as caught:
            require_level(attrs.evolve(lock, exactness="L3"), CPU)
        assert "one process" in caught.value.why
    with repeatable(threads=1, exact=False):
        with pytest.raises(CapabilityMissing, match="L1 cannot be held"):
            require_level(lock, CPU)
        require_level(attrs.evolve(lock, exactness="L0"), torch.device("cuda"), environ={})


def test_arithmetic_names_all_that_decides_bits():
    """Threads, torch, processor, kernels and compilation stand beside device and precision; L0 has only these two."""
    lock = lock_for(options_for(), exactness="L1")
    found = arithmetic_of(lock, device=CPU, dtype=torch.float32, compiled=True)
    assert found.keys() >= {"threads", "torch", "processor", "mkldnn", "deterministic", "compile", "kernels"}
    assert found["compile"] == "on" and found["torch"] == torch.__version__
    loose = arithmetic_of(attrs.evolve(lock, exactness="L0"), device=CPU, dtype=torch.float32, compiled=True)
    assert loose == {"device": "cpu", "dtype": "float32", "exactness": "L0"}


def test_kernel_digest_repeats_and_tells_arithmetics_apart():
    """The digest of the probe is stable within a machine and differs between precisions."""
    assert kernel_digest(CPU, torch.float32) == kernel_digest(CPU, torch.float32)
    assert kernel_digest(CPU, torch.float32) != kernel_digest(CPU, torch.bfloat16)


@pytest.mark.parametrize("name", ["threads", "torch", "processor", "kernels", "compile", "mkldnn"])
def test_resume_under_another_arithmetic_is_refused(tmp_path, name):
    """L1 and L2 do not go on with other bits: the error names both sides and the way out."""
    begun = train(tmp_path, save_at=frozenset({4})).checkpoints.saved[4]
    altered = {**begun.state, "arithmetic": {**begun.state["arithmetic"], name: "other"}}
    with pytest.raises(ConfigError, match="another arithmetic") as caught:
        train(tmp_path, parent=attrs.evolve(begun, state=altered))
    assert f"began with {name} other; here it is {name} " in caught.value.why
    assert "run.exactness=L0" in caught.value.fix


def test_seeded_run_goes_on_with_other_kernels_and_never_with_another_dtype():
    """L0 insists on device and precision only, and a promise can be lowered on the way, never raised."""
    l0 = {"device": "cpu", "dtype": "float32", "exactness": "L0"}
    l1 = {**l0, "exactness": "L1", "torch": "1", "kernels": "a"}
    require_same_arithmetic(l0, dict(l0), where="here")
    require_same_arithmetic(l1, l0, where="here")
    require_same_arithmetic({"device": "cpu", "dtype": "float32"}, l1, where="a checkpoint of before")
    with pytest.raises(ConfigError, match="another arithmetic"):
        require_same_arithmetic(l0, {**l0, "dtype": "bfloat16"}, where="here")
    with pytest.raises(ConfigError) as caught:
        require_same_arithmetic(l0, l1, where="here")
    assert "began with exactness L0" in caught.value.why and caught.value.fix == "run.exactness=L0"
