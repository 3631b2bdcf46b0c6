"""What a training reads, traced from lock and prepared set."""

from __future__ import annotations

from collections import defaultdict

import attrs
import numpy as np
import pytest

from codex_core.data.trace import Trace, digest_of_rows
from codex_core.errors import InputError, UsageError
from codex_core.lock import Lock
from codex_core.running.leaving_out import rows_of
from tests.support.data_plans import make_plan
from tests.support.preparing import run, write_rows

BATCH_ROWS = 5
SEED = 11


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A place with sixty short documents."""
    made = tmp_path_factory.mktemp("traced")
    write_rows(made)
    return made


@pytest.fixture(scope="module", params=["concat", "fit", "none"])
def prepared(folder, request):
    """The documents, most of them in the training split, packed in each way."""
    source = ("jsonl", {"path": str(folder / "rows.jsonl")})
    return run(folder, make_plan(source, packing=request.param))


def lock_of(prepared, *, epochs=2, **data):
    """A lock that reads the prepared set so many times, and a little more."""
    num_rows = prepared.manifest["splits"]["train"]["rows"]
    return Lock(
        name="traced",
        config_hash="sha256:0",
        seed=0,
        exactness="L1",
        threads=1,
        components={},
        seeds={"data.order": SEED},
        steps=epochs * num_rows // BATCH_ROWS + 1,
        batch_rows=BATCH_ROWS,
        seq_len=16,
        vocab_size=257,
        log_every=1,
        evaluate_every=0,
        save_every=0,
        durations={},
        epochs=float(epochs),
        tokens=0,
        data={"fingerprint": prepared.fingerprint, **data},
        environment={},
    )


def test_every_document_is_read_once_per_epoch(prepared):
    """The pieces of each whole epoch are all pairs of all documents of the training split, each once."""
    lock = lock_of(prepared)
    pairs = defaultdict(list)
    for step in Trace(prepared, lock).between(1, lock.steps):
        for row in step.rows:
            for piece in row.pieces:
                pairs[row.epoch, piece.place.document] += range(piece.first, piece.first + piece.tokens)

    documents = {text.id: len(text.ids) - 1 for text in prepared.texts("train")}
    for epoch in (0, 1):
        assert {id for number, id in pairs if number == epoch} == set(documents)
        for id, num_pairs in documents.items():
            assert sorted(pairs[epoch, id]) == list(range(num_pairs))


def test_trace_is_what_the_trainer_is_given(prepared):
    """Digests are those of the very batches, supervised tokens their masks, ids those of the documents."""
    lock = lock_of(prepared)
    rows = rows_of(prepared, lock)
    ids = {text.id: text.ids for text in prepared.texts("train")}
    for step in Trace(prepared, lock).between(1, lock.steps):
        start = (step.step - 1) * BATCH_ROWS
        batch = rows.rows(start, BATCH_ROWS)
        numbers = rows.numbers(start, BATCH_ROWS)
        assert step.digest == f"sha256:{digest_of_rows(start, numbers, batch)}"
        assert step.supervised == rows.num_supervised(start, BATCH_ROWS)
        for row, inputs, targets in zip(step.rows, batch.inputs, batch.targets, strict=True):
            assert row.position == start + step.rows.index(row)
            spans = [ids[one.place.document][one.first : one.first + one.tokens + 1] for one in row.pieces]
            found = [id for span in spans for id in span[:-1]]
            wanted = [id for span in spans for id in span[1:]]
            assert inputs[: len(found)].tolist() == found and targets[: len(wanted)].tolist() == wanted


def test_places_are_those_of_the_input(prepared, folder):
    """File and line of every document are where its text stands."""
    lines = (folder / "rows.jsonl").read_text(encoding="utf-8").splitlines()
    texts = {text.id: text.text for text in prepared.texts("train")}
    (step,) = Trace(prepared, lock_of(prepared)).between(2, 2)
    for row in step.rows:
        for piece in row.pieces:
            assert (piece.place.source, piece.place.file) == (0, "rows.jsonl")
            assert texts[piece.place.document] in lines[piece.place.line - 1].encode().decode(
                "unicode-escape"
            )


def test_a_document_is_seen_by_exactly_the_steps_that_read_it(prepared):
    """For every document of the training split `sightings` gives what going through all steps gives."""
    lock = lock_of(prepared)
    trace = Trace(prepared, lock)
    seen = defaultdict(list)
    for step in trace.between(1, lock.steps):
        for row in step.rows:
            for piece in row.pieces:
                seen[piece.place.document].append((step.step, row.position, row.epoch, row.row, piece))

    for id in prepared.document_ids("train"):
        (place,), found = trace.sightings(id)
        assert (place.document, place.split) == (id, "train")
        assert [(one.step, one.position, one.epoch, one.row, one.piece) for one in found] == seen[id]


def test_a_document_that_is_left_out_is_read_and_not_learned(prepared):
    """From its position on its supervised tokens count as left out; before, and of others, nothing changes."""
    id = next(iter(prepared.document_ids("train")))
    lock = lock_of(prepared)
    _, before = Trace(prepared, lock).sightings(id)
    since = before[len(before) // 2].position
    _, after = Trace(prepared, lock_of(prepared, without={id: since})).sightings(id)

    for was, now in zip(before, after, strict=True):
        assert (was.position, was.piece.first, was.piece.tokens) == (
            now.position,
            now.piece.first,
            now.piece.tokens,
        )
        gone = was.piece.supervised if was.position >= since else 0
        assert (now.piece.supervised, now.piece.left_out) == (was.piece.supervised - gone, gone)
    assert {one.piece.left_out > 0 for one in after} == {True, False}


def test_documents_of_other_splits_are_never_read(prepared):
    """A document of the test split is found there, in no step; an unknown one is refused with near ids."""
    trace = Trace(prepared, lock_of(prepared))
    id = next(iter(prepared.document_ids("test")))

    (place,), seen = trace.sightings(id)
    assert (place.split, seen) == ("test", [])
    with pytest.raises(InputError, match="holds no document") as caught:
        trace.sightings("rows.jsonl:999999")
    assert caught.value.code == "DAT-061" and "did you mean" in str(caught.value.why)


@pytest.mark.parametrize(("first", "last"), [(0, 1), (2, 1), (1, 10_000)])
def test_only_steps_of_the_run_are_traced(prepared, first, last):
    """Anything but 1 <= first <= last <= steps is a usage error."""
    with pytest.raises(UsageError) as caught:
        Trace(prepared, lock_of(prepared)).between(first, last)
    assert caught.value.code == "DAT-060"


def test_digest_of_rows_tells_every_change(prepared):
    """Another position, another row number or one other mask bit is another digest."""
    rows = rows_of(prepared, lock_of(prepared))
    batch, numbers = rows.rows(0, 2), rows.numbers(0, 2)
    digests = {digest_of_rows(0, numbers, batch), digest_of_rows(1, numbers, batch)}
    digests.add(digest_of_rows(0, numbers + np.array([0, 1]), batch))
    batch.loss_mask[1, 0] ^= True
    digests.add(digest_of_rows(0, numbers, batch))
    assert len(digests) == 4


def test_a_mixture_is_traced_by_its_sources(tmp_path):
    """With weights 2:1 each step of six rows reads four of the first source, and a small source again and again."""
    sources = []
    for name, num_rows in (("many", 60), ("few", 9)):
        path = tmp_path / f"{name}.jsonl"
        path.write_text(
            "".join(f'{{"text": "{name} {number:03}: it says little"}}\n' for number in range(num_rows))
        )
        sources.append(("jsonl", {"path": str(path)}))
    prepared = run(tmp_path, make_plan(*sources, weights=[2, 1], split=[1, 0, 0]))
    lock = attrs.evolve(lock_of(prepared), batch_rows=6, steps=20, config={"data": {"weights": [2, 1]}})
    trace = Trace(prepared, lock)
    rows = rows_of(prepared, lock)

    for step in trace.between(1, 20):
        read = [{piece.place.source for piece in row.pieces} for row in step.rows]
        assert sorted(map(sorted, read)) == [[0]] * 4 + [[1]] * 2
        start = (step.step - 1) * 6
        assert step.digest == f"sha256:{digest_of_rows(start, rows.numbers(start, 6), rows.rows(start, 6))}"
    few = next(id for id in prepared.document_ids("train") if id.startswith("few"))
    _, seen = trace.sightings(few)
    firsts = [one.piece.first for one in seen]
    assert max(firsts.count(first) for first in firsts) > 1
