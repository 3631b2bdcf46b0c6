"""What the store holds, what of it is still referred to, and the removal of the rest.

Decisions: a prepared set stays while any run names its fingerprint, readable or not, and takes its texts and its
tokenizer with it; what chunks of several machines refer to stays until they are sealed; a folder that a process uses,
or that changed a short while ago, stays; nothing outside the four folders of the store is ever looked at.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs

from codex_core.data import jobs, texts, tokenizer_store, tokens
from codex_core.data.columns import writing
from codex_core.data.store import MANIFEST, is_held, read_manifest
from codex_core.errors import CodexError
from codex_core.files import OS_FILES, Files

#: The folders of the store, and the format of what each of them holds; parts of unfinished work have none.
KINDS = {
    "tokens": tokens.FORMAT,
    "texts": texts.FORMAT,
    "tokenizers": tokenizer_store.FORMAT,
    jobs.FOLDER: None,
}


@attrs.frozen(kw_only=True)
class Entry:
    """One folder of the store; `kept` tells why it stays, None when nothing refers to it."""

    kind: str
    name: str
    path: Path
    size_bytes: int
    kept: str | None


def index(store: Path) -> list[dict[str, Any]]:
    """Every prepared set of a store: where it is, what it holds, what it takes on disk; nothing is verified."""
    return [_facts(store, path) for path in _folders(store, "tokens") if (path / MANIFEST).exists()]


def _facts(store: Path, path: Path) -> dict[str, Any]:
    manifest, digest = read_manifest(path, format=tokens.FORMAT)
    splits, rows = manifest["splits"], manifest["rows"]

    def total(key: str) -> int:
        return sum(counts[key] for counts in splits.values())

    return {
        "path": path.relative_to(store).as_posix(),
        "fingerprint": manifest["fingerprint"],
        "manifest": digest,
        "sources": [source["id"] for source in manifest["sources"]],
        "tokenizer": manifest["tokenizer"]["id"],
        "seq_len": manifest["seq_len"],
        "packing": manifest["packing"],
        "rows_read": rows["read"],
        "documents": total("documents"),
        "duplicates": rows["dropped"].get("duplicate", 0),
        "tokens": total("tokens"),
        "rows": total("rows"),
        "bytes": _size(path),
        "splits": {split: counts["rows"] for split, counts in splits.items()},
    }


def survey(store: Path, *, references: Iterable[bytes], now_s: float, older_than_s: float) -> list[Entry]:
    """Every folder of the store with the reason to keep it.

    `references` are the bytes of what may name a prepared set: locks of runs, wherever they are.
    """
    blobs = tuple(references)
    named: dict[str, str] = {}
    found = []
    for kind in KINDS:
        for path in _folders(store, kind):
            kept = _in_work(path, now_s - older_than_s) or named.get(f"{kind}/{path.name}")
            if kept is None and kind == "tokens" and any(path.name.encode() in blob for blob in blobs):
                kept = "a run refers to it"
            if kept is None and kind == jobs.FOLDER and jobs.is_shared(path):
                kept = "chunks that are not sealed"
            if kept is not None:
                named |= dict.fromkeys(_needs(path, kind), f"{kind}/{path.name} refers to it")
            found.append(Entry(kind=kind, name=path.name, path=path, size_bytes=_size(path), kept=kept))
    return [
        entry if entry.kept else attrs.evolve(entry, kept=named.get(f"{entry.kind}/{entry.name}"))
        for entry in found
    ]


def remove(entries: Iterable[Entry], *, store: Path, files: Files = OS_FILES) -> int:
    """Remove what nothing refers to; a folder that somebody took into use meanwhile stays. Returns the bytes."""
    freed = 0
    for entry in entries:
        assert entry.path.parent.parent == store, "nothing outside the store is removed"
        if entry.kept is None and entry.path.exists() and not is_held(entry.path):
            with writing(entry.path):
                if (entry.path / MANIFEST).exists():
                    files.remove(entry.path / MANIFEST)  # first: what is half removed is no prepared data
                files.remove(entry.path)
            freed += entry.size_bytes
    return freed


def _folders(store: Path, kind: str) -> list[Path]:
    folder = store / kind
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _in_work(path: Path, since_s: float) -> str | None:
    if is_held(path):
        return "a process uses it"
    newest = max(found.stat().st_mtime for found in (path, *path.glob("*")))
    return "it changed a short while ago" if newest > since_s else None


def _needs(path: Path, kind: str) -> list[str]:
    """What a folder that stays refers to, as `kind/name`."""
    if kind == "tokens":
        try:
            manifest, _ = read_manifest(path, format=tokens.FORMAT)
        except CodexError:
            return []
        return [f"texts/{manifest['texts']['folder']}", f"tokenizers/{manifest['tokenizer']['folder']}"]
    if kind == jobs.FOLDER and jobs.is_shared(path):
        refers: Mapping[str, Any] = json.loads((path / jobs.SHARED).read_bytes())
        texts_name = str(refers["texts"]).partition(":")[2][:32]
        return [
            f"texts/{texts_name}",
            *([f"tokenizers/{refers['tokenizer']}"] if refers["tokenizer"] else []),
        ]
    return []


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
