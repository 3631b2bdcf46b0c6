"""Lineage over what has gone: the journal's word, also where a process died before it could say what it saved."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from codex_core import checkpoints
from codex_core.running.lineage import lineage
from tests.support.checkpoint_stores import save, store_in


def digests(folder: Path, steps: list[int]) -> dict[int, str]:
    """Save steps one after another; the digest of each."""
    store = store_in(folder)
    found = {}
    for step in steps:
        save(store, step)
        found[step] = checkpoints.newest(store.root).digest
    return found


def saved(step: int, digest: str) -> tuple[str, dict[str, object]]:
    return "checkpoint_saved", {
        "step": step,
        "path": f"checkpoints/step-{step:08}",
        "manifest_digest": digest,
    }


def resumed(step: int, digest: str) -> tuple[str, dict[str, object]]:
    return "run_resumed", {"step": step, "parent": "", "parent_digest": digest, "changes": {}, "summary": ""}


def write_journal(folder: Path, attempts: list[list[tuple[str, dict[str, object]]]]) -> None:
    (folder / "journal").mkdir()
    sequence = 0
    for number, records in enumerate(attempts, start=1):
        lines = []
        for kind, fields in [("run_started", {}), *records]:
            sequence += 1
            row = {"sequence": sequence, "time": f"t{sequence}", "attempt": number, "kind": kind}
            lines.append(json.dumps({**row, "fields": fields, "prev": None}))
        (folder / "journal" / f"r0-a{number}-000001.ndjson").write_text("\n".join(lines) + "\n")


def remove(folder: Path, *steps: int) -> None:
    for step in steps:
        shutil.rmtree(folder / "checkpoints" / f"step-{step:08}")


def way(folder: Path, step: int) -> list[tuple[int, str, int | None]]:
    found = lineage(folder / "checkpoints" / f"step-{step:08}")
    assert found.problem is None
    return [(one.step, one.state, one.attempt) for one in found.ancestors]


def test_checkpoint_that_was_never_told_is_named_by_the_attempt_that_went_on_from_it(tmp_path: Path) -> None:
    """Step 20 was committed and its process died before it said so; later it was pruned. The way goes through it."""
    found = digests(tmp_path, [10, 20, 30])
    write_journal(tmp_path, [[saved(10, found[10])], [resumed(20, found[20]), saved(30, found[30])]])
    remove(tmp_path, 10, 20)

    assert way(tmp_path, 30) == [(30, "here", 1), (20, "gone", None), (10, "gone", 1)]


def test_attempt_that_began_anew_ends_the_way_at_step_zero(tmp_path: Path) -> None:
    """An attempt without a checkpoint to go on from starts at step 0, whatever came before."""
    found = digests(tmp_path, [10, 20])
    write_journal(tmp_path, [[], [resumed(0, ""), saved(10, found[10]), saved(20, found[20])]])

    assert [step for step, _, _ in way(tmp_path, 20)] == [20, 10]
    remove(tmp_path, 10)
    assert [step for step, _, _ in way(tmp_path, 20)] == [20, 10]


def test_parent_in_quarantine_or_aside_is_found_by_its_digest(tmp_path: Path) -> None:
    """What was moved away is still known by its own manifest, wherever it lies."""
    found = digests(tmp_path, [10, 20, 30])
    write_journal(tmp_path, [[saved(step, found[step]) for step in (10, 20, 30)]])
    root = tmp_path / "checkpoints"
    (root / "quarantine").mkdir()
    (root / "step-00000020").rename(root / "quarantine" / "step-00000020-1f")
    (root / "step-00000010").rename(root / "step-00000010.aside-2e")

    told = lineage(root / "step-00000030")

    assert [(one.state, one.path) for one in told.ancestors] == [
        ("here", "step-00000030"),
        ("moved", "quarantine/step-00000020-1f"),
        ("moved", "step-00000010.aside-2e"),
    ]


def test_way_that_nobody_knows_ends_with_a_reason(tmp_path: Path) -> None:
    """A parent that has gone and is in no journal ends the way aloud."""
    digests(tmp_path, [10, 20])
    remove(tmp_path, 10)

    told = lineage(tmp_path / "checkpoints/step-00000020")

    assert [one.step for one in told.ancestors] == [20, 10] and told.problem is not None
    assert "step 10" in told.problem and "no journal" in told.problem
