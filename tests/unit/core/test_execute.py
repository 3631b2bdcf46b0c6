"""A run from plan to result: everything is recorded, and nothing that is told is invented."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import attrs
import pytest

from codex_core import checkpoints, execute, journal
from codex_core.contracts import Loaded
from codex_core.events import (
    PluginFailed,
    StepDone,
    WriterDisabled,
)
from codex_core.lock import Lock
from codex_core.runs import RunDir
from codex_core.scrub import Scrubber
from codex_core.testing.shell import SmallRows
from codex_core.testing.trainers import check_trainer
from tests.support.list_writer import ListWriter
from tests.support.small_runs import essence, fail_at, start
from tests.support.small_training import (
    DOCUMENTS,
    VOCAB,
    CountingModel,
    CountingModelClass,
    CountingTrainer,
    SmallWork,
    TrainerOptions,
    settle_small,
)


@pytest.fixture
def work(tmp_path: Path) -> SmallWork:
    """A project with everything a small run needs."""
    return SmallWork(tmp_path)


def test_fake_trainer_keeps_the_contract(tmp_path: Path) -> None:
    """The trainer that these tests stand on passes the conformance suite of trainers."""
    data = SmallRows(documents=DOCUMENTS, seq_len=8)
    lock = attrs.evolve(
        settle_small(
            SmallWork(tmp_path).plan(), SmallWork(tmp_path).prepare(None), registry=None, environment={}
        ),
        log_every=1,
    )
    model = Loaded(id="small/model", target=CountingModelClass, options=None)
    check_trainer(
        lambda options: CountingTrainer(options),
        TrainerOptions(),
        model=model,
        data=data,
        lock=lock,
        folder=tmp_path,
    )


def test_run_directory_is_complete_when_a_run_ends(work: SmallWork) -> None:
    """Every file of the layout is there, the record says finished, and the result says where things are."""
    result = start(work)

    names = {path.name for path in result.run.path.iterdir()}
    assert names == {
        "run.json",
        "config.yaml",
        "lock.json",
        "environment.json",
        "data.json",
        "journal",
        "metrics.ndjson",
        "metrics.csv",
        "checkpoints",
        "run.lock",
    }
    record = result.run.record()
    assert (record["status"], record["step"], record["exit_code"], record["attempt"]) == ("finished", 6, 0, 1)
    assert record["checkpoint"]["manifest"] == "checkpoints/step-00000006/MANIFEST.json"
    assert (result.status, result.exit_code, result.steps) == ("finished", 0, 6)
    assert result.checkpoint == result.run.checkpoints / "step-00000006"
    assert list(checkpoints.committed(result.run.checkpoints)) == [6, 4]
    assert work.evaluated() == [2, 4, 6]


def test_lock_is_written_before_the_first_step_and_read_back_equal(work: SmallWork) -> None:
    """At step 1 the lock, the configuration, the data record and the environment are on disk."""
    seen: dict[str, Any] = {}

    def on_step(step: int) -> None:
        if step == 1:
            (folder,) = work.places.runs.iterdir()
            seen.update({path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()})

    work.on_step = on_step
    result = start(work)

    assert {"lock.json", "config.yaml", "data.json", "environment.json"} <= seen.keys()
    lock = Lock.from_dict(json.loads(seen["lock.json"]))
    assert lock.digest() == result.run.record()["lock_digest"] == result.run.lock().digest()
    assert (
        json.loads(seen["environment.json"])["python"] == "3" and lock.config["checkpoint"]["keep_last"] == 2
    )


def test_journal_tells_the_whole_story(work: SmallWork) -> None:
    """Start, steps, evaluations, saves and the end stand in the journal in order; progress does not."""
    result = start(work)

    history = journal.verify(result.run.journal)
    kinds = [record.kind for record in history.records]
    assert kinds[0] == "run_started" and kinds[-1] == "run_finished"
    assert kinds.count("step") == 6 and kinds.count("evaluation") == 3 and "progress" not in kinds
    saved = [record.fields["step"] for record in history.records if record.kind == "checkpoint_saved"]
    assert saved == [2, 4, 6]


def test_same_seed_gives_the_same_rows_and_another_seed_does_not(work: SmallWork, tmp_path: Path) -> None:
    """Two runs of one plan are equal to the byte; seed 0 is a seed like any other."""
    first, second = (start(SmallWork(tmp_path / name), run_dir=None) for name in "ab")
    plan = work.plan(seed=1)
    other = execute.run(plan, around=work.around(), prepare=work.prepare)

    assert essence(first.run) == essence(second.run)
    assert essence(other.run)["metrics.ndjson"] != essence(first.run)["metrics.ndjson"]


def test_rows_are_recomputed_from_weights_and_batch(work: SmallWork) -> None:
    """No number is invented: each loss follows from the model before the step and the rows of the step."""
    result = start(work)
    data = SmallRows(documents=DOCUMENTS, seq_len=8)
    counts = [0] * VOCAB
    expected = []
    for step in range(6):
        batch = data.rows(step * 2, 2)
        targets = [int(token) for token in batch.targets[batch.loss_mask]]

        logs = CountingModel(counts).loglikelihood([[0, *targets]])[0]
        expected.append(-sum(logs) / len(logs))
        for token in targets:
            counts[token] += 1

    rows = [json.loads(line) for line in (result.run.path / "metrics.ndjson").read_text().splitlines()]
    assert [row["loss"] for row in rows if row["split"] == "train"] == pytest.approx(expected, rel=1e-12)


def test_directory_holds_no_absolute_path_and_moves(work: SmallWork) -> None:
    """No file names the place; a moved run is found, resumed checks included."""
    result = start(work)
    for path in result.run.path.rglob("*"):
        if path.is_file() and path.name != "run.lock":
            assert str(work.folder).encode() not in path.read_bytes(), path
    moved = work.folder / "moved"
    shutil.move(result.run.path, moved)

    assert checkpoints.find(moved).step == 6 and RunDir.open(moved).status().name == "finished"


def test_plugins_are_told_at_start_save_and_end(work: SmallWork) -> None:
    """Event hooks get frozen contexts with real paths; the end is told when the files are complete."""
    seen: dict[str, str] = {}

    def finished(context: Any) -> None:
        seen["status"] = RunDir(context.run_dir).record()["status"]
        seen["last"] = journal.read(context.run_dir / "journal").records[-1].kind

    work.registry.hooks["codex_run_finished"] = finished
    start(work)

    hooks = [hook for hook, _ in work.registry.fired]
    assert hooks == ["codex_run_started", *["codex_checkpoint_saved"] * 3, "codex_run_finished"]
    assert [
        context.path.name for hook, context in work.registry.fired if hook == "codex_checkpoint_saved"
    ] == [
        "step-00000002",
        "step-00000004",
        "step-00000006",
    ]
    assert (
        work.registry.fired[3][1].path.is_dir()
        and work.registry.fired[0][1].telemetry["system_metrics"] == "off"
    )
    assert seen == {"status": "finished", "last": "run_finished"}


def test_failing_hook_and_display_do_not_stop_a_run(work: SmallWork) -> None:
    """A plugin's hook that raises is told once; a display that raises is switched off and told."""

    def broken(context: Any) -> None:
        raise RuntimeError("plugin trouble")

    work.registry.hooks["codex_checkpoint_saved"] = broken

    def display(event: Any) -> None:
        work.events.append(event)
        if isinstance(event, StepDone):
            raise RuntimeError("no terminal")

    result = start(work, on_event=display)

    records = journal.read(result.run.journal).records
    assert result.status == "finished"
    assert [record.kind for record in records].count(PluginFailed.kind) == 1
    assert [record.fields["code"] for record in records if record.kind == "warning"] == ["RUN-015"]


def test_writers_get_the_rows_of_the_views(work: SmallWork) -> None:
    """A writer receives what the metric files hold; one that fails is told and changes nothing."""
    good, bad = ListWriter(), ListWriter(problem="not here")
    work.registry.targets |= {"small/good": lambda options: good, "small/bad": lambda options: bad}
    plan = work.plan()
    one = plan.choices["model"]
    writers = {
        f"writers[{n}]": attrs.evolve(one, id=f"small/{name}") for n, name in enumerate(("good", "bad"))
    }
    plan = attrs.evolve(plan, choices=plan.choices | writers)

    result = execute.run(plan, around=work.around(), prepare=work.prepare)

    rows = [json.loads(line) for line in (result.run.path / "metrics.ndjson").read_text().splitlines()]
    assert [dict(row) for _, row in good.rows] == rows and good.calls[-1] == "close"
    assert [event.name for event in work.seen(WriterDisabled)] == ["small/bad"]


def test_secrets_reach_no_file_of_the_run(work: SmallWork) -> None:
    """A secret in configuration, environment, warnings and errors is replaced before anything is written."""
    secret = "-".join(["s3cr3t", "value", "123"])
    plan = work.plan()
    plan = attrs.evolve(plan, config=dict(plan.config) | {"note": f"https://u:{secret}@host {secret}"})
    fail_at(work, 5, RuntimeError(f"cannot reach {secret}"))
    around = work.around(
        scrub=Scrubber.of({"API_KEY": secret}), environment={"command": [secret], "python": "3"}
    )

    with pytest.raises(RuntimeError):
        execute.run(plan, around=around, prepare=work.prepare)

    for path in work.places.runs.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path
