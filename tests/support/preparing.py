"""Preparing small data in a store of its own."""

from __future__ import annotations

import json

from codex_core.data.prepare import prepare
from tests.support.data_plans import RoomRegistry, make_places

REGISTRY = RoomRegistry()

#: What progress says of a stage that was there already.
FOUND = "found in the store"


def write_rows(folder):
    """Sixty rows of JSON Lines in a file of `folder`, some twice, one blank."""
    texts = [f"This is text number {number}, äöü." for number in range(60)]
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in [*texts, *texts[:7], "  \n"]))
    return path


def run(tmp_path, plan, *, events=None, **options):
    """Prepare a plan in the store of `tmp_path`."""
    on_event = (lambda event: None) if events is None else events.append
    options = {"registry": REGISTRY, **options}
    return prepare(plan, places=make_places(tmp_path), on_event=on_event, **options)


def files_below(folder):
    """Relative names and bytes of everything that is stored, without lock files."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }
