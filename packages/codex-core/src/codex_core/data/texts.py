"""Stage one of preparing: the kept documents of a plan, stored by split, put together from the lots that were read.

Decisions: redaction happens before anything is stored: the store never holds what the policy took out; parts are
copied run by run, so memory does not grow with the corpus.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from codex_core.canonical import readable_json
from codex_core.contracts import Emit
from codex_core.data.columns import writing
from codex_core.data.documents import DocumentWriter, TextShard, TurnTexts
from codex_core.data.intake import TextsPlan
from codex_core.data.selection import Selection
from codex_core.data.sources import Source
from codex_core.data.splits import SPLITS
from codex_core.data.text_parts import TextPart
from codex_core.events import ProgressMade
from codex_core.files import OS_FILES, Files

__all__ = ["FORMAT", "TextShard", "TurnTexts", "open_shard", "write_texts"]

FORMAT = "codex-texts/1"


def write_texts(
    folder: Path, plan: TextsPlan, selection: Selection, *, on_event: Emit, files: Files = OS_FILES
) -> dict[str, Any]:
    """Fill an empty folder with the kept documents of all splits and `report.json`; returns the manifest.

    Raises `InputError` when nothing was kept, or nothing in the training split.
    """
    account = selection.account()
    account.refuse_empty(plan)
    names = _names(selection.parts)
    roles: dict[str, int] = {}
    corpus = hashlib.sha256()
    with ExitStack() as stack:
        writers = {
            split: stack.enter_context(DocumentWriter(folder, split, roles=roles, files=files))
            for split in SPLITS
        }
        for number, part in enumerate(selection.parts):
            for role in part.manifest["roles"]:
                roles.setdefault(role, len(roles))
            shards = {split: part.shard(split) for split in SPLITS}
            for split, writer in writers.items():
                for run in selection.runs(number, split):
                    writer.append_run(shards[run.split], run.first, run.last, names=names)
            _digest(corpus, part, selection.fates[number].tolist(), shards)
    splits = {
        split: {"documents": writer.num_documents, "bytes": writer.num_bytes}
        for split, writer in writers.items()
    }
    on_event(ProgressMade(phase="read", done=account.read, total=account.read))
    report = {"rows": account.rows(), "safety": account.safety(plan.policy), "splits": splits}
    if plan.splitter.by_index:
        report["leaks"] = {"texts": selection.leaks}
    with writing(folder):
        files.write(folder / "report.json", readable_json(report).encode())
        files.write(folder / "names.json", readable_json([list(key) for key in names]).encode())
    return report | {
        "identity": plan.identity(),
        "roles": list(roles),
        "corpus": {
            "digest": "sha256:" + corpus.hexdigest(),
            "bytes": sum(writer.num_bytes for writer in writers.values()),
            "documents": account.kept.total(),
            "python": _python(plan.sources),
        },
    }


def _names(parts: Sequence[TextPart]) -> dict[tuple[int, str], int]:
    """Numbers of source files: number of the dataset and relative name, in reading order."""
    names: dict[tuple[int, str], int] = {}
    for part in parts:
        for name in part.manifest["names"]:
            names.setdefault((part.manifest["source"], name), len(names))
    return names


def _digest(corpus: Any, part: TextPart, fates: Sequence[int], shards: Mapping[str, TextShard]) -> None:
    """Feed the kept turns of a part to the digest, in reading order."""
    stored = {
        number: (iter(shard.first_turns.tolist()), shard.text.offsets.tolist(), shard.text.data.data)
        for number, shard in enumerate(shards.values())
    }
    first_turn = {number: next(first_turns) for number, (first_turns, _, _) in stored.items()}
    for outcome, fate in zip(part.outcomes.tolist(), fates, strict=True):
        if outcome >= len(SPLITS):
            continue
        first_turns, offsets, data = stored[outcome]
        begin, end = first_turn[outcome], next(first_turns)
        first_turn[outcome] = end
        if fate >= len(SPLITS):
            continue
        for turn in range(begin, end):
            text = data[offsets[turn] : offsets[turn + 1]]
            corpus.update(len(text).to_bytes(8, "big"))
            corpus.update(text)


def _python(sources: Sequence[Source]) -> str | None:
    """The Python version that a source's rows depend on, if any does."""
    return next((str(source.identity["python"]) for source in sources if "python" in source.identity), None)


def open_shard(folder: Path, manifest: Mapping[str, Any], split: str) -> TextShard:
    """The documents of `split` in a verified folder of texts."""
    names = [(int(key[0]), str(key[1])) for key in json.loads((folder / "names.json").read_bytes())]
    return TextShard(folder, split, roles=manifest["roles"], names=names)
