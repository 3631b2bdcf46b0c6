"""What a configuration may promise, and how a resume may give a promise up."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from codex_core import config
from codex_core.errors import ConfigError, UsageError
from codex_core.objective import objective_of, supervised_share
from codex_core.places import Places
from codex_core.planning.plan_text import describe_lock
from codex_core.registry import Registry
from codex_core.running.resuming import compare
from codex_core.testing.shell import SmallRows, small_documents, small_lock

RUN = {
    "data": {"sources": ["pydoc"]},
    "tokenizer": "bytes",
    "model": "ngram",
    "trainer": {"name": "ngram", "duration": 1, "batch_rows": 1},
    "safety": {"name": "none", "reason": "a test"},
}


def _lock(exactness: str = "L1", **counts: int):
    rows = SmallRows(documents=small_documents(4, seed=1), seq_len=8)
    lock = small_lock(rows, vocab_size=12, steps=2, batch_rows=2)
    splits = {
        name: {"documents": 4, "tokens": 104, "rows": 9, **counts} for name in ("train", "validation", "test")
    }
    return attrs.evolve(
        lock,
        exactness=exactness,
        config={"run": {"exactness": exactness}},
        data={"splits": splits, "fingerprint": "sha256:1", "tokenizer": "sha256:2"},
    )


def test_l3_is_refused_with_the_reason(registry):
    """A promise across processes cannot be held by one: the configuration is refused before any work."""
    with pytest.raises(ConfigError, match="exactness L3 cannot be held") as caught:
        config.from_mapping({**RUN, "run": {"exactness": "L3"}}, source="test", registry=registry)
    assert caught.value.exit_code == 2 and "L2" in (caught.value.fix or "")
    for level in ("L0", "L1", "L2"):
        loaded = config.from_mapping({**RUN, "run": {"exactness": level}}, source="test", registry=registry)
        assert loaded.run.exactness == level


@pytest.mark.parametrize(("before", "after"), [("L1", "L0"), ("L2", "L1"), ("L2", "L0")])
def test_resume_may_lower_the_promise_and_tells(before, after):
    """Giving a promise up is a change that was asked for, and is recorded as one."""
    changes = compare(_lock(before), _lock(after))
    assert changes.asked == {"run.exactness": (before, after)}


@pytest.mark.parametrize(("before", "after"), [("L0", "L1"), ("L1", "L2")])
def test_resume_cannot_raise_the_promise(before, after):
    """What was not promised from the first step on cannot be promised for the whole run."""
    with pytest.raises(UsageError, match=r"run\.exactness"):
        compare(_lock(before), _lock(after))


def test_objective_is_read_off_the_counts():
    """Every target supervised is pre-training, fewer are fine-tuning; without counts nothing is claimed."""
    assert (objective_of(_lock(supervised=100)), supervised_share(_lock(supervised=100))) == ("pretrain", 1.0)
    assert (objective_of(_lock(supervised=25)), supervised_share(_lock(supervised=25))) == ("finetune", 0.25)
    assert (objective_of(_lock()), supervised_share(_lock())) == ("pretrain", None)


def test_plan_states_objective_and_supervised_share():
    """The share of targets that is learned from is a line of the plan, and no line is made up without counts."""
    lines = describe_lock(_lock(supervised=25)).splitlines()
    assert "objective              finetune: 25.0% of targets are supervised" in lines
    assert not any(line.startswith("objective") for line in describe_lock(_lock()).splitlines())


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory):
    """What the core offers."""
    folder: Path = tmp_path_factory.mktemp("registry")
    return Registry.open(places=Places(root=folder, home=folder / "home", store=folder / "store"))
