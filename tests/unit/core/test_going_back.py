"""A run that goes back to a checkpoint and leaves documents out: by hand, and by the policy of its trainer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType

import attrs
import numpy as np
import pytest

from codex_core import checkpoints, execute
from codex_core import journal as journals
from codex_core.data.leaving_out import RowsWithout, learned_documents, numbers_of
from codex_core.data.packing import ShuffledRows, TokenColumns, count_supervised, plan_rows
from codex_core.errors import CodexError, RollBack
from codex_core.events import ReproductionStarted, RunFinished, RunResumed
from codex_core.running import reference, reproducing
from codex_core.running.comparing import Comparison
from tests.support.small_runs import essence, go_on, start, the_run
from tests.support.small_training import CountingTrainer, SmallPrepared, SmallWork, prepared_at

POISON = 6
PLANTED = 5
LEARNED = [[0, *(1 + (i * i + j) % 5 for j in range(4 + i % 3)), 0] for i in range(10)]


def names():
    return [f"notes/{number}.txt" for number in range(len(LEARNED))]


@attrs.frozen(kw_only=True)
class Corpus(SmallPrepared):
    """Ten documents, one of which may hold a poisoned token, in packed rows of eight."""

    poisoned: tuple[int, ...] = (PLANTED,)

    def packed(self, split, *, seed, without: Mapping[str, int] = MappingProxyType({})):
        rows = self.rows(seed)
        numbers = numbers_of(without, names())
        return RowsWithout(rows, {number: without[id] for id, number in numbers.items()}) if without else rows

    def document_ids(self, split):
        return iter(names())

    def documents_at(self, split, *, seed, positions):
        return tuple(names()[number] for number in learned_documents(self.rows(seed), positions))

    def rows(self, seed):
        documents = [
            [*ids[:2], POISON, *ids[3:]] if number in self.poisoned else ids
            for number, ids in enumerate(LEARNED)
        ]
        ids = np.concatenate(documents)
        offsets = np.cumsum([0, *map(len, documents)])
        mask = np.ones(len(ids), dtype=np.uint8)
        mask[offsets[:-1]] = 0
        tokens = TokenColumns(ids=ids, loss_mask=mask, offsets=offsets)
        plan = plan_rows(offsets, seq_len=8, packing="concat")
        return ShuffledRows(plan=plan, tokens=tokens, supervised=count_supervised(plan, tokens), seed=seed)


class Sensitive:
    """Rows that cannot be trained on while a poisoned token is supervised in them."""

    def __init__(self, rows):
        self.inner = rows
        self.num_rows, self.seq_len, self.num_supervised = rows.num_rows, rows.seq_len, rows.num_supervised

    def rows(self, start, count):
        batch = self.inner.rows(start, count)
        if (batch.targets[batch.loss_mask] == POISON).any():
            step = start // 2 + 1
            raise RollBack(
                step=step,
                positions=range(start, start + count),
                code="TRN-008",
                what=f"step {step}: the loss is nan",
            )
        return batch


class SensitiveTrainer(CountingTrainer):
    """Counts, and goes back when the loss of a step would be no number."""

    def fit(self, lock, data, **given):
        return super().fit(lock, Sensitive(data), **given)


class HopelessTrainer(CountingTrainer):
    """Goes back at its second step, whatever was left out."""

    def fit(self, lock, data, **given):
        raise RollBack(step=2, positions=(2, 3), code="TRN-008", what="step 2: the loss is nan")


class CorpusWork(SmallWork):
    """A small work over the corpus, some of whose documents may be poisoned."""

    poisoned: tuple[int, ...] = ()

    def prepare(self, plan):
        path = self.folder / "prepared"
        return Corpus(path=path, tokenizer_path=prepared_at(path).tokenizer_path, poisoned=self.poisoned)

    def open_data(self, lock):
        return self.prepare(None)


def work_over(folder, *poisoned):
    work = CorpusWork(folder)
    work.poisoned = poisoned
    work.registry.targets["small/trainer"] = lambda options: SensitiveTrainer(options, work.on_step)
    return work


def kinds(run, kind):
    return [record for record in journals.read(run.journal).records if record.kind == kind]


def test_policy_goes_back_and_leaves_the_documents_of_the_rows_out(tmp_path):
    """The attempt ends as rolled back, the next one continues from the newest checkpoint and ends well."""
    work = work_over(tmp_path, PLANTED)

    result = start(work, steps=10)

    run = the_run(work)
    first, second = (event for event in work.seen(RunFinished))
    assert (first.status, second.status, result.exit_code) == ("rolled back", "finished", 0)
    (resumed,) = work.seen(RunResumed)
    without = run.lock().data["without"]
    assert names()[PLANTED] in without
    assert set(without.values()) == {2 * resumed.step}
    assert resumed.step == first.step - first.step % 2, "each second step is saved"
    assert resumed.changes == {"data.without": ([], sorted(without))}
    assert [record.fields["status"] for record in kinds(run, "run_finished")] == ["rolled back", "finished"]
    assert json.loads((run.path / "lock.a1.json").read_text())["data"].get("without") is None


def test_going_back_by_hand_gives_what_the_policy_gave(tmp_path):
    """The same documents, left out from the same checkpoint on, lead to the same bytes."""
    for folder in ("policy", "hand"):
        (tmp_path / folder).mkdir()
    policy = work_over(tmp_path / "policy", PLANTED)
    start(policy, steps=10)
    (resumed,) = policy.seen(RunResumed)
    without = the_run(policy).lock().data["without"]

    hand = work_over(tmp_path / "hand", PLANTED)
    with pytest.raises(RollBack):
        start_going_back(hand, 0)
    run = the_run(hand)
    parent = None if resumed.step == 0 else run.checkpoints / f"step-{resumed.step:08d}"
    go_on(hand, run, checkpoint=parent, without=list(without))

    assert run.lock().data["without"] == without
    assert essence(run) == essence(the_run(policy))


def start_going_back(work, times):
    """Start a run whose configuration says how often it may go back."""
    plan = work.plan(steps=10)
    config = {**plan.config, "run": {**plan.config["run"], "max_rollbacks": times}}
    return execute.run(attrs.evolve(plan, config=config), around=work.around(), prepare=work.prepare)


def test_run_that_went_back_is_repeated_without_going_back(tmp_path):
    """The newest lock says from which row on the documents are out, so one part gives the numbers of both attempts."""
    work = work_over(tmp_path, PLANTED)
    start(work, steps=10)
    run = the_run(work)
    told = reference.read(run, reproducing.require_untouched(run))
    comparison = Comparison(reference=told, total=told.last)

    result = execute.reexecute(
        told.parts,
        around=work.around(),
        prepared=work.prepare(None),
        started=ReproductionStarted(run_id="first", lock_digest="sha256:0"),
        comparison=comparison,
    )

    assert len(told.parts) == 1 and comparison.difference is None
    assert comparison.compared == set(range(1, 11))
    assert len(kinds(result.run, "run_started")) == 1


def test_it_goes_back_as_often_as_it_may_and_no_further(tmp_path):
    """With every document poisoned there is always another one to leave out, until the limit."""
    work = work_over(tmp_path, *range(len(LEARNED)))

    with pytest.raises(CodexError) as raised:
        start_going_back(work, 1)

    run = the_run(work)
    assert (raised.value.code, int(raised.value.exit_code)) == ("RUN-023", 1)
    assert "went back 1 time and failed again" in raised.value.what
    assert len(kinds(run, "run_started")) == 2
    assert run.status().name == "rolled back" and not run.status().is_over


def test_rows_with_nothing_left_to_leave_out_end_the_run(tmp_path):
    """When a step fails for another reason than its documents, going back again and again is no answer."""
    work = work_over(tmp_path, PLANTED)
    work.registry.targets["small/trainer"] = lambda options: HopelessTrainer(options, work.on_step)

    with pytest.raises(CodexError, match="nothing of its rows can be left out any more") as raised:
        start_going_back(work, 9)

    assert raised.value.code == "RUN-023"
    assert len(kinds(the_run(work), "run_started")) == 2


def test_what_was_left_out_stays_out(tmp_path):
    """A further resume with a configuration keeps it, and more can be left out."""
    work = work_over(tmp_path)
    start(work, steps=4)
    run = the_run(work)
    go_on(work, run, checkpoint=run.checkpoints / "step-00000002", without=[names()[1]])
    go_on(work, run, asked=work.plan(steps=8))
    go_on(work, run, checkpoint=run.checkpoints / "step-00000006", without=[names()[2], names()[1]])

    assert run.lock().data["without"] == {names()[1]: 4, names()[2]: 12}
    assert run.status().name == "finished"
    assert checkpoints.newest(run.checkpoints).step == 8


@pytest.mark.parametrize(("named", "told"), [("notes/55.txt", "notes/5.txt"), ("zzz", "holds 10 documents")])
def test_unknown_document_is_refused_with_near_names(tmp_path, named, told):
    """Exit 4, before an attempt begins."""
    work = work_over(tmp_path)
    start(work, steps=4)
    run = the_run(work)

    with pytest.raises(CodexError) as raised:
        go_on(work, run, checkpoint=run.checkpoints / "step-00000002", without=[named])

    assert (raised.value.code, int(raised.value.exit_code)) == ("RUN-022", 4)
    assert told in raised.value.why
    assert len(kinds(run, "run_started")) == 1


def test_data_that_cannot_leave_documents_out_says_so(tmp_path):
    """A prepared set of another kind is refused, not trained on as if it could."""
    work = SmallWork(tmp_path)
    start(work, steps=4)
    run = the_run(work)

    with pytest.raises(CodexError, match="cannot leave documents out"):
        go_on(work, run, checkpoint=run.checkpoints / "step-00000002", without=["a"])
