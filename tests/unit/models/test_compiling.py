"""Compiled blocks: refused where they cannot be, and exact where they can."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from codex_core.errors import CapabilityMissing, ConfigError
from codex_models.compiling import compiled_blocks
from tests.support.decoders import decoder, options_for, train

ROOT = Path(__file__).parents[3]

needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("g++", "clang++", "c++"))), reason="needs a C++ compiler"
)

#: One training in a process of its own: compiled, evaluated, saved at steps 4 and 8, or resumed at step 4.
PROGRAM = """
import sys
from pathlib import Path
import attrs
from codex_core.contracts import SavedState
from tests.support.decoders import TINY, options_for, train
import json
root, parent = Path(sys.argv[1]), sys.argv[2]
saved = None
if parent != "-":
    held = json.loads((Path(parent) / "state.json").read_text())
    saved = SavedState(path=Path(parent), step=held.pop("step"), position=16, tokens=held.pop("tokens"), state=held)
train(
    root,
    options=options_for(compile="on", precision="bf16", activation_checkpointing="blocks"),
    model=attrs.evolve(TINY, dropout=0.2),
    save_at=frozenset({4, 8}),
    parent=saved,
    evaluate_every=2,
    evaluate=lambda live, step: live.loglikelihood([[1, 2, 3], [1, 2]]) and {},
)
"""


def test_compiling_without_a_compiler_is_refused(tmp_path):
    """On a machine without a C++ compiler the option exits 6 and names what is missing."""
    with pytest.raises(CapabilityMissing, match="no C\\+\\+ compiler") as caught:
        compiled_blocks(decoder(), exactness="L1", environ={"PATH": str(tmp_path)})
    assert caught.value.exit_code == 6 and "g++" in caught.value.why
    with pytest.raises(CapabilityMissing) as caught:
        compiled_blocks(
            decoder(), exactness="L1", environ={"PATH": os.environ["PATH"], "CXX": "no-such-compiler"}
        )
    assert "no-such-compiler" in caught.value.why


@needs_compiler
@pytest.mark.slow
def test_autotuning_is_refused_where_bits_are_promised(monkeypatch):
    """Kernels that are chosen by timing them may differ from run to run: L1 refuses, L0 takes them."""
    monkeypatch.setattr("torch._inductor.config.max_autotune", True)
    with pytest.raises(CapabilityMissing, match="L1 cannot be held") as caught:
        compiled_blocks(decoder(), exactness="L1")
    assert "max_autotune" in caught.value.why
    compiled_blocks(decoder(), exactness="L0")


def test_compiling_a_model_without_blocks_is_refused():
    """A model that names no blocks cannot be compiled block by block, and is not compiled otherwise."""
    with pytest.raises(ConfigError, match="names no blocks"):
        compiled_blocks(torch.nn.Linear(2, 2), exactness="L1")


@needs_compiler
@pytest.mark.slow
def test_resume_with_and_without_compilation_is_refused(tmp_path):
    """Compiled blocks are another arithmetic: a run does not change over on the way."""
    begun = train(tmp_path, save_at=frozenset({4}))
    with pytest.raises(ConfigError, match="another arithmetic") as caught:
        train(tmp_path, parent=begun.checkpoints.saved[4], options=options_for(compile="on"))
    assert "began with compile off; here it is compile on" in caught.value.why


@needs_compiler
@pytest.mark.proof
def test_compiled_run_resumes_bit_for_bit_in_another_process(tmp_path):
    """Compiled anew by a process with an empty cache, the second half of a run ends with the unbroken run's bytes."""
    for number, (root, parent) in enumerate((("whole", "-"), ("rest", str(tmp_path / "whole" / "step-4")))):
        environ = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / f"cache-{number}")}
        subprocess.run(
            [sys.executable, "-c", PROGRAM, str(tmp_path / root), parent],
            check=True,
            cwd=ROOT,
            env=environ,
        )
    whole, rest = (tmp_path / root / "step-8" for root in ("whole", "rest"))
    for path in (one for one in sorted(whole.rglob("*")) if one.is_file()):
        assert path.read_bytes() == (rest / path.relative_to(whole)).read_bytes(), path.name
