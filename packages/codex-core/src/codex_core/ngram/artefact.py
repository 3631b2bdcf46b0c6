"""The files of an n-gram model.

Decisions: ids are stored in two bytes where they fit and in four otherwise, counts in eight; the JSON file names the
format and repeats what can be checked against the table.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from codex_core.canonical import readable_json
from codex_core.errors import ArtefactError
from codex_core.ngram.counts import Counts

FORMAT = "codex-ngram/1"
DESCRIPTION = "ngram.json"
TABLE = "counts.safetensors"


def files(counts: Counts) -> dict[str, Callable[[Path], None]]:
    """Names and writers of a model's files, as `Checkpoints.save` takes them (names without `model/`)."""
    counts.settle()
    id_type = np.uint16 if counts.vocab_size < 1 << 16 else np.uint32  # the border, vocab_size, must fit too
    table = save({"counts": counts.counts, "ngrams": counts.keys.astype(id_type)})
    description = readable_json(
        {
            "format": FORMAT,
            "order": counts.order,
            "vocab_size": counts.vocab_size,
            "ngrams": len(counts.keys),
            "tokens": counts.num_events,
        }
    )

    def write_table(path: Path) -> None:
        path.write_bytes(table)

    def write_description(path: Path) -> None:
        path.write_text(description, encoding="utf-8")

    return {DESCRIPTION: write_description, TABLE: write_table}


def load(folder: Path) -> Counts:
    """Read what `files` wrote; raises `ArtefactError` for anything else."""
    description = _read_description(folder / DESCRIPTION)
    table_path = folder / TABLE
    try:
        table = load_file(table_path)
        counts = Counts(
            order=description["order"],
            vocab_size=description["vocab_size"],
            keys=table["ngrams"].astype(np.int32),
            counts=table["counts"].astype(np.int64),
        )
    except (OSError, SafetensorError, KeyError) as error:
        raise _corrupt(table_path, f"{type(error).__name__}: {error}") from error
    _check(counts, description, table_path)
    return counts


def _read_description(path: Path) -> Mapping[str, Any]:
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _corrupt(path, f"{type(error).__name__}: {error}") from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise _corrupt(path, f"its format is not {FORMAT}")
    if not all(
        isinstance(description.get(name), int) for name in ("order", "vocab_size", "ngrams", "tokens")
    ):
        raise _corrupt(path, "order, vocab_size, ngrams and tokens must be whole numbers")
    return description


def _check(counts: Counts, description: Mapping[str, Any], path: Path) -> None:
    shape = (description["ngrams"], description["order"])
    if counts.keys.shape != shape or counts.counts.shape != shape[:1]:
        raise _corrupt(
            path, f"{DESCRIPTION} says {shape[0]} n-grams of order {shape[1]}, the table disagrees"
        )
    if len(counts.keys) and (counts.keys.max() > counts.vocab_size or counts.counts.min() < 1):
        raise _corrupt(path, "it holds ids outside the vocabulary, or counts below 1")
    if counts.num_events != description["tokens"]:
        raise _corrupt(path, f"its counts add up to {counts.num_events}, not to {description['tokens']}")


def _corrupt(path: Path, why: str) -> ArtefactError:
    return ArtefactError(
        code="NGM-004",
        what="this is not a whole n-gram model",
        where=str(path),
        why=why,
        fix="codex checkpoint verify CHECKPOINT",
    )
