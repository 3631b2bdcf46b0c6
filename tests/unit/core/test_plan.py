"""Plans and locks: names resolved, safety decided, durations kept in one and turned into steps in the other."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import pytest

from codex_core import config, plan
from codex_core.duration import Duration
from codex_core.errors import CodexError, ConfigError, InputError, MissingDependency, PolicyError, UsageError
from codex_core.lock import Lock
from codex_core.options import option
from codex_core.records import Memory
from codex_core.seeds import seed_for
from tests.support.fake_registry import FakeRegistry, FakeRow

CORE = (
    "codex-core=codex_core.data.plugin",
    "codex-core=codex_core.evaluation.plugin",
    "codex-core=codex_core.ngram.plugin",
)

VALUES = {
    "run": {"seed": 5, "threads": 2},
    "data": {"sources": ["pydoc"], "seq_len": 64},
    "tokenizer": "bytes",
    "model": {"name": "ngram", "order": 3},
    "trainer": {"name": "ngram", "duration": "2 epochs", "batch_rows": 4},
    "safety": {"name": "none", "reason": "a test"},
}


@attrs.frozen(kw_only=True)
class NetOptions:
    """A model with a context."""

    context_length: int | None = option(None, doc="longest row")


@attrs.frozen(kw_only=True)
class SlowOptions:
    """A trainer with phases and micro-batches."""

    duration: Duration = option(Duration(100), doc="how long")
    batch_rows: int = option(8, doc="rows")
    micro_batch_rows: int | None = option(None, doc="rows at once")
    warmup: Duration = option(Duration(10), doc="phase")


def net_memory(options: NetOptions, lock: Lock) -> Memory:
    """A size that depends on options and lock."""
    return Memory(parameters=1000 * lock.vocab_size, moments=500)


def failing_memory(options: NetOptions, lock: Lock) -> Memory:
    """An estimate with a bug."""
    raise ZeroDivisionError("of course")


NET = FakeRow(
    kind="models", name="net", dist="codex-net", target="x:y", runtime="slow", options=f"{__name__}:NetOptions",
    estimate=f"{__name__}:net_memory",
)  # fmt: skip
SLOW = FakeRow(
    kind="trainers",
    name="slow",
    dist="codex-net",
    target="x:y",
    runtime="slow",
    options=f"{__name__}:SlowOptions",
)
POLICY = FakeRow(kind="safety_policies", name="secrets", dist="codex-safety", target="x:y")


@attrs.frozen
class FakePrepared:
    """The numbers of a prepared set; `rows` are those of the training split."""

    rows: int = 10
    documents: int = 3
    path: Path = Path("store/tokens/abc123")
    fingerprint: str = "sha256:data"
    manifest_digest: str = "sha256:manifest"

    @property
    def manifest(self) -> dict[str, object]:
        train = {"documents": 20, "tokens": 640, "supervised": 620, "rows": self.rows, "bytes": 2000}
        held = {"documents": self.documents, "tokens": 64, "supervised": 60, "rows": 1, "bytes": 200}
        return {
            "splits": {"train": train, "validation": held, "test": held},
            "tokenizer": {"fingerprint": "sha256:tokenizer", "vocab_size": 258},
        }


@pytest.fixture
def registry():
    core = FakeRegistry.of(*CORE)
    return FakeRegistry((*core.rows, NET, SLOW))


def planned(registry, *, bypass_reason=None, **sections):
    values = {key: value for key, value in {**VALUES, **sections}.items() if value is not None}
    loaded = config.from_mapping(values, source="run.yaml")
    return plan.make(loaded, registry, bypass_reason=bypass_reason)


def settled(registry, prepared=None, **sections):
    return plan.settle(
        planned(registry, **sections),
        prepared or FakePrepared(),
        registry=registry,
        environment={"python": "3"},
    )


SLOW_NET = {"model": "net", "trainer": {"name": "slow", "duration": "20 steps"}}


# ---- plans


def test_a_plan_holds_choices_seeds_and_durations(registry):
    """Everything that a configuration asks for, by section and purpose, with durations still values."""
    made = planned(registry)
    assert set(made.choices) == {
        "data.sources[0]", "tokenizer", "model", "trainer", "safety", "evaluation.metrics[0]",
    }  # fmt: skip
    model = made.choices["model"]
    assert (model.kind, model.name, model.id, model.state) == ("models", "ngram", "codex-core/ngram", "ok")
    assert made.choices["trainer"].options == {"duration": "2 epochs", "batch_rows": 4}
    assert made.seeds["model.init"] == seed_for(5, "model.init")
    assert len(set(made.seeds.values())) == len(made.seeds)
    assert (made.batch_rows, made.duration, made.threads) == (4, Duration(2, "epochs"), 2)
    assert made.durations["evaluation.every"] == Duration(500)
    assert made.missing == ()


def test_the_hash_of_a_plan_is_that_of_the_resolved_configuration(registry):
    """`--resume auto` compares this hash, so loading with or without a registry leads to the same."""
    loaded = config.from_mapping(VALUES, source="a", registry=registry)
    assert planned(registry).config_hash == loaded.hash()
    again = config.from_mapping(planned(registry).config, source="lock.json")
    assert again.hash() == loaded.hash()


def test_the_order_seed_changes_the_order_alone(registry):
    """`data.order_seed` replaces the run's seed for the order of rows and for nothing else."""
    made = planned(registry, data={**VALUES["data"], "order_seed": 9})
    before = planned(registry).seeds
    assert made.seeds == {**before, "data.order": seed_for(9, "data.order")}


def test_threads_come_from_the_machine_when_not_written(registry):
    """Without `run.threads` the caller's count holds, and the text says so."""
    loaded = config.from_mapping({**VALUES, "run": {}}, source="a")
    made = plan.make(loaded, registry, cpus=3)
    assert made.threads == 3
    assert "processors of this process" in plan.describe_plan(made)


def test_a_component_that_is_not_installed_is_part_of_the_plan(registry):
    """The plan shows it with its install line; asking for a usable plan is exit 3 naming every such component."""
    known = {("models", "net"): "pip install codex-net", ("trainers", "slow"): "pip install codex-net"}
    made = planned(registry.without("codex-net", known), **SLOW_NET)
    assert [choice.section for choice in made.missing] == ["model", "trainer"]
    assert (made.batch_rows, made.duration) == (None, None)
    text = plan.describe_plan(made)
    assert "net: not installed" in text and "pip install codex-net" in text
    with pytest.raises(MissingDependency) as caught:
        plan.require_usable(made)
    assert caught.value.exit_code == 3 and len(caught.value.related) == 1
    assert caught.value.fix == "pip install codex-net"
    with pytest.raises(MissingDependency, match="number of steps is unknown"):
        plan.settle(made, FakePrepared(), registry=registry, environment={})


def test_a_component_whose_library_is_missing_still_plans_and_settles(registry):
    """Without torch a plan is complete, steps and memory included; only training is refused."""
    lame = registry.with_state(
        "codex-net/net", "missing-extra", hint="torch is absent", fix="pip install torch"
    )
    lock = settled(lame, **SLOW_NET)
    assert (lock.steps, lock.memory) == (20, Memory(parameters=258_000, moments=500))
    with pytest.raises(MissingDependency) as caught:
        plan.require_usable(planned(lame, **SLOW_NET))
    assert (caught.value.why, caught.value.fix) == ("torch is absent", "pip install torch")


def test_a_usable_plan_passes(registry):
    """Nothing is raised when every component is at hand."""
    plan.require_usable(planned(registry))


def test_a_name_that_nobody_knows_is_refused_with_the_other_mistakes(registry):
    """An unknown name does not hide a wrong option elsewhere, nor the other way round."""
    with pytest.raises(CodexError) as caught:
        planned(registry, model="netz", trainer={"name": "slow", "foo": 1})

    assert caught.value.exit_code == 2
    assert "unknown models 'netz'" in str(caught.value) and "unknown key 'foo'" in str(caught.value)


def test_model_and_trainer_must_share_a_runtime(registry):
    """A trainer of another runtime is refused with the pairs that go together."""
    with pytest.raises(ConfigError) as caught:
        planned(registry, trainer="slow")

    assert caught.value.code == "PLN-002"
    assert "net with slow" in caught.value.why and "ngram with ngram" in caught.value.why
    assert caught.value.fix == "trainer=ngram"


RULES = {
    "warmup": ({"warmup": "21 steps"}, "trainer.warmup"),
    "micro-batch": ({"micro_batch_rows": 3}, "trainer.micro_batch_rows"),
    "no length": ({"duration": 0}, "trainer.duration"),
}


@pytest.mark.parametrize("name", RULES)
def test_options_that_contradict_each_other_are_refused(name, registry):
    """Agreed option names are compared, whoever the trainer is from."""
    options, place = RULES[name]
    with pytest.raises(ConfigError) as caught:
        planned(registry, model="net", trainer={"name": "slow", "duration": "20 steps", **options})

    assert caught.value.code == "CFG-011" and caught.value.where == f"run.yaml, {place}"


def test_rows_must_fit_into_the_context(registry):
    """Rows longer than a model's context are refused; an absent context leaves the length to the data."""
    with pytest.raises(ConfigError, match="do not fit into the model's context of 63"):
        planned(registry, model={"name": "net", "context_length": 63}, trainer=SLOW_NET["trainer"])
    assert planned(registry, **SLOW_NET).choices["model"].options == {"context_length": None}


# ---- safety


def test_without_a_policy_a_configuration_must_say_none(registry):
    """No `safety` line and no policy is refused; `none` with a reason is allowed and stays in the plan."""
    with pytest.raises(PolicyError) as caught:
        planned(registry, safety=None)
    assert (caught.value.code, caught.value.exit_code) == ("PLN-003", 2)
    choice = planned(registry).choices["safety"]
    assert (choice.id, choice.state, choice.options) == ("none", "ok", {"reason": "a test"})


def test_an_installed_policy_holds_when_nothing_is_written(registry):
    """Safety is on by default: the one policy is taken, under its canonical id, and the plan says why."""
    made = planned(FakeRegistry((*registry.rows, POLICY)), safety=None)
    assert made.choices["safety"].id == "codex-safety/secrets"
    assert made.config["safety"] == {"name": "codex-safety/secrets"}
    assert made.origins["safety.name"] == "default: the installed policy"


def test_several_policies_and_no_line_are_refused_unless_one_is_built_in(registry):
    """Nobody chooses between strangers' policies; the built-in one holds beside them."""
    others = [attrs.evolve(POLICY, dist=dist, name="mine") for dist in ("a", "b")]
    with pytest.raises(PolicyError, match="several safety policies"):
        planned(FakeRegistry((*registry.rows, *others)), safety=None)
    made = planned(FakeRegistry((*registry.rows, *others, POLICY)), safety=None)
    assert made.choices["safety"].id == "codex-safety/secrets"


def test_switching_an_installed_policy_off_takes_a_word_on_the_command_line(registry):
    """`name: none` is refused with a policy installed unless a reason is given, which the plan then holds."""
    full = FakeRegistry((*registry.rows, POLICY))
    for reason in (None, "  "):
        with pytest.raises(PolicyError) as caught:
            planned(full, bypass_reason=reason)
        assert caught.value.code == "PLN-004" and "--bypass-safety" in caught.value.fix
    made = planned(full, bypass_reason="public data")
    assert made.choices["safety"].options == {"reason": "a test", "bypass_reason": "public data"}
    assert "off: a test (bypassed: public data)" in plan.describe_plan(made)


def test_a_bypass_that_bypasses_nothing_is_refused(registry):
    """A flag without effect is told, not ignored."""
    with pytest.raises(UsageError) as caught:
        planned(FakeRegistry((*registry.rows, POLICY)), safety="secrets", bypass_reason="public data")

    assert caught.value.code == "PLN-005"


# ---- locks


def test_durations_become_steps_over_the_data(registry):
    """A step is batch_rows rows of seq_len tokens, an epoch the training rows; every duration rounds up."""
    lock = settled(
        registry,
        run={"log_every": "300 tokens", "threads": 1},
        evaluation={"every": "0.5 epochs"},
        checkpoint={"every": 0},
    )
    assert lock.steps == 5  # 2 epochs of 10 rows, 4 a step
    assert (lock.tokens, lock.epochs) == (5 * 4 * 64, 2.0)
    assert (lock.log_every, lock.evaluate_every, lock.save_every) == (2, 2, 0)
    assert lock.durations == {
        "run.log_every": 2, "run.digest_every": 1, "evaluation.every": 2, "checkpoint.every": 0,
        "checkpoint.keep_every": 0, "trainer.duration": 5,
    }  # fmt: skip


def test_a_lock_names_everything_by_digest(registry):
    """Data, tokenizer, splits, components, plugins and environment are in the lock, and no folder is."""
    lock = settled(registry)
    assert lock.data["manifest_digest"] == "sha256:manifest"
    assert (lock.data["fingerprint"], lock.data["tokenizer"]) == ("sha256:data", "sha256:tokenizer")
    assert lock.data["splits"]["train"] == {
        "documents": 20, "tokens": 640, "supervised": 620, "rows": 10, "bytes": 2000,
    }  # fmt: skip
    assert lock.components["model"] == {"id": "codex-core/ngram", "version": "1.0.0", "options": {"order": 3}}
    assert lock.plugins and lock.environment == {"python": "3"} and lock.vocab_size == 258
    assert "store/" not in json.dumps(lock.as_dict())


def test_a_lock_survives_its_file(registry):
    """What `lock.json` holds is the lock, with the same digest."""
    lock = settled(registry, **SLOW_NET)
    again = Lock.from_dict(json.loads(json.dumps(lock.as_dict())))
    assert again.digest() == lock.digest()


def test_memory_and_disk_are_worked_out_where_a_component_tells(registry):
    """The model's estimate gives memory; disk is what retention keeps and the one being verified."""
    lock = settled(registry, **SLOW_NET, checkpoint={"keep_last": 3, "keep_best": 2})
    assert lock.memory == Memory(parameters=258_000, moments=500)
    assert lock.disk_bytes == 6 * 258_500
    assert lock.notes == ()


@pytest.mark.parametrize(("every", "is_noted"), [("2 steps", True), ("3 steps", False), ("1 steps", False)])
def test_a_best_that_cannot_be_told_is_noted(registry, every, is_noted):
    """Saves that never meet an evaluation before the end: keep_best has little to rank, and the plan says so."""
    lock = settled(registry, evaluation={"every": "3 steps"}, checkpoint={"every": every})
    assert lock.steps == 5
    assert any("keep_best ranks the last checkpoint only" in note for note in lock.notes) == is_noted


def test_what_cannot_be_worked_out_is_noted(registry):
    """No estimate, or one that fails, leaves memory out and says so; training need not know."""
    rows = [attrs.evolve(row, estimate=None) if row.name == "net" else row for row in registry.rows]
    silent = settled(FakeRegistry(tuple(rows)), **SLOW_NET)
    assert (silent.memory, silent.disk_bytes) == (None, None)
    assert "unknown" in silent.notes[0] and "memory                 unknown" in plan.describe_lock(silent)

    rows = [
        attrs.evolve(row, estimate=f"{__name__}:failing_memory") if row.name == "net" else row for row in rows
    ]
    failing = settled(FakeRegistry(tuple(rows)), **SLOW_NET)
    assert failing.memory is None
    assert failing.notes[0] == "the memory estimate of codex-net/net failed: ZeroDivisionError: of course"


def test_a_phase_in_other_units_is_compared_in_steps(registry):
    """A warm-up in epochs that is longer than a training in steps shows only with the data."""
    trainer = {"name": "slow", "duration": "2 steps", "warmup": "2 epochs"}
    with pytest.raises(
        ConfigError, match=r"warmup \(2 epochs = 3 steps\) is longer than the training"
    ) as caught:
        settled(registry, model="net", trainer=trainer)

    assert caught.value.where == "run.yaml, trainer.warmup"


def test_a_split_without_documents_is_refused_where_it_is_needed(registry):
    """Evaluation during training needs documents in its split; without evaluation they are not missed."""
    empty = FakePrepared(documents=0)
    with pytest.raises(InputError, match="validation holds no documents"):
        settled(registry, empty)
    assert settled(registry, empty, evaluation={"every": 0}).evaluate_every == 0
    with pytest.raises(InputError, match="train holds no documents"):
        settled(registry, FakePrepared(rows=0))


# ---- texts


def test_the_text_of_a_plan_tells_origins_and_derivations(registry):
    """Each value stands with where it came from; what is derived stands with what it is derived from."""
    text = plan.describe_plan(planned(registry))
    line = {part.split()[0]: part for part in text.splitlines()}
    assert line["seed"].split() == ["seed", "5", "run.yaml"]
    assert "4 rows of 64 tokens = 256 tokens a step" in line["batch"]
    assert line["order"].split() == ["order", "3", "run.yaml"]
    assert "off: a test" in line["safety"]
    assert line["checkpoint.every"].split()[-1] == "default"


def test_the_text_of_a_lock_tells_steps_tokens_and_epochs(registry):
    """One line per fact, readable without the configuration beside it."""
    text = plan.describe_lock(settled(registry, **SLOW_NET))
    assert "20 steps = 10,240 tokens = 16 epochs of 10 rows" in text
    assert "every 500 steps" in text and "trainer.warmup         10 steps" in text
    assert "parameters 258 kB" in text and "codex-net/net 1.0.0" in text
