"""A prepared set, opened and verified: what trainers and evaluation read.

Decisions: opening checks every byte of the set, of the texts and of the tokenizer it was made from; they are
found beside it in the same store, so a store can be moved or copied as a whole.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs

from codex_core.contracts import PreparedText
from codex_core.data import texts as texts_stage
from codex_core.data import tokenizer_store, tokens
from codex_core.data.documents import TextShard
from codex_core.data.leaving_out import RowsWithout, learned_documents, numbers_of
from codex_core.data.mixture import Mixture
from codex_core.data.packing import ShuffledRows, TokenColumns
from codex_core.data.splits import SPLITS
from codex_core.data.store import Stored, damaged, hold, verify
from codex_core.errors import InputError


@attrs.frozen(kw_only=True)
class Prepared:
    """See `contracts.PreparedData`."""

    path: Path
    fingerprint: str
    manifest: Mapping[str, Any]
    manifest_digest: str
    tokenizer_path: Path
    texts_path: Path
    texts_manifest: Mapping[str, Any] = attrs.field(repr=False)
    was_there: bool = attrs.field(default=True, eq=False)

    def packed(
        self,
        split: str,
        *,
        seed: int,
        without: Mapping[str, int] = MappingProxyType({}),
        weights: Sequence[int] | None = None,
    ) -> ShuffledRows | RowsWithout:
        """The packed rows of `split`, shuffled by `seed`; raises `InputError` for a split without rows.

        `without` are documents of which nothing is learned from a global position on, `weights` the rows of each
        source in turn, for a set that was prepared to be mixed.
        """
        rows = self._packed(split, seed=seed, weights=weights)
        if not without:
            return rows
        numbers = numbers_of(without, self.document_ids(split))
        return RowsWithout(rows, {number: without[id] for id, number in numbers.items()})

    def document_ids(self, split: str) -> Iterator[str]:
        """The ids of the documents of `split`, in stored order."""
        self._counts(split)
        return (record.id for record in texts_stage.open_shard(self.texts_path, self.texts_manifest, split))

    def documents_at(
        self, split: str, *, seed: int, positions: Sequence[int], weights: Sequence[int] | None = None
    ) -> tuple[str, ...]:
        """The ids of the documents of which something is learned in the rows at these global positions."""
        numbers = set(learned_documents(self._packed(split, seed=seed, weights=weights), positions))
        return tuple(id for number, id in enumerate(self.document_ids(split)) if number in numbers)

    def _packed(self, split: str, *, seed: int, weights: Sequence[int] | None) -> ShuffledRows:
        counts = self._counts(split)
        if counts["rows"] == 0:
            raise InputError(
                code="DAT-007",
                what=f"the split {split!r} has no rows",
                where=str(self.path),
                why=", ".join(f"{name} has {self._counts(name)['rows']}" for name in SPLITS),
                fix="add documents, or change data.split or data.split_seed",
            )
        plan, supervised = tokens.open_rows(self.path, split, seq_len=self.manifest["seq_len"])
        columns = self._tokens(split)
        ids = partial(self.document_ids, split)
        mixture = None if weights is None else self._mixture(split, weights)
        return ShuffledRows(
            plan=plan, tokens=columns, supervised=supervised, seed=seed, ids=ids, mixture=mixture
        )

    def _mixture(self, split: str, weights: Sequence[int]) -> Mixture:
        rows = self._counts(split).get("rows_of_sources")
        if rows is None or len(rows) != len(weights) or 0 in rows:
            raise InputError(
                code="DAT-050",
                what=f"the sources of this set cannot be mixed {':'.join(map(str, weights))}",
                where=str(self.path),
                why=f"its sources have {rows} rows in {split}" if rows else "their rows were packed together",
                fix="give every source documents and one weight, and prepare again: codex data prepare FILE",
            )
        return Mixture(weights=weights, rows=rows)

    def texts(self, split: str) -> Iterator[PreparedText]:
        """The documents of `split`, in stored order."""
        self._counts(split)
        shard = texts_stage.open_shard(self.texts_path, self.texts_manifest, split)
        ids = (
            tuple(columns.ids[int(columns.offsets[number]) : int(columns.offsets[number + 1])].tolist())
            for columns in self._tokens(split)
            for number in range(columns.num_documents)
        )
        for record, of_record in zip(shard, ids, strict=True):
            text = record.text
            yield PreparedText(id=record.id, text=text, ids=of_record, num_bytes=len(text.encode()))

    def documents(self, split: str) -> TextShard:
        """The stored documents of `split` with their sources: dataset, file, and row (in text files the line)."""
        self._counts(split)
        return texts_stage.open_shard(self.texts_path, self.texts_manifest, split)

    def _tokens(self, split: str) -> list[TokenColumns]:
        shards = [shard for shard in self.manifest["shards"] if shard["split"] == split]
        return tokens.open_tokens(self.path, shards, dtype=self.manifest["dtype"])

    def summary(self) -> str:
        """Sources, rows kept and dropped, safety, splits, tokenizer and digests, a line each."""
        manifest = self.manifest
        corpus, rows, safety, held = (manifest[key] for key in ("corpus", "rows", "safety", "tokenizer"))
        python = f", Python {corpus['python']}" if corpus["python"] else ""
        sources = ", ".join(source["id"] for source in manifest["sources"])
        dropped = ", ".join(f"{count:,} {reason}" for reason, count in rows["dropped"].items()) or "none"
        skipped = ", ".join(f"{count:,} {reason}" for reason, count in rows.get("skipped", {}).items())
        lines = [
            f"sources    {sources}{python}",
            f"corpus     {corpus['documents']:,} documents, {corpus['bytes']:,} bytes, {corpus['digest']}",
            f"rows       {rows['read']:,} read = {rows['kept']:,} kept + "
            f"{sum(rows['dropped'].values()):,} dropped ({dropped})"
            + (f" + {sum(rows['skipped'].values()):,} skipped ({skipped})" if skipped else ""),
            f"safety     {_safety_line(safety)}",
        ]
        for split in SPLITS:
            counts = manifest["splits"][split]
            lines.append(
                f"{split:<10} {counts['documents']:,} documents, {counts['bytes']:,} bytes, "
                f"{counts['tokens']:,} tokens, {counts['rows']:,} rows of {manifest['seq_len']}"
                f"{_filled(counts)}"
            )
        if "leaks" in manifest:
            lines.append(f"leaks      {manifest['leaks']['texts']:,} texts stand in more than one split")
        lines.append(f"tokenizer  {held['id']}, {held['vocab_size']:,} ids, {held['fingerprint']}")
        lines.append(f"prepared   {self.fingerprint}")
        return "\n".join(lines)

    def _counts(self, split: str) -> Mapping[str, Any]:
        counts: Mapping[str, Any] | None = self.manifest["splits"].get(split)
        if counts is None:
            raise InputError(
                code="DAT-007",
                what=f"there is no split {split!r}",
                where=str(self.path),
                fix=f"choose one of {', '.join(SPLITS)}",
            )
        return counts


def open_prepared(path: Path) -> Prepared:
    """Open and verify the prepared set at `path` (`<store>/tokens/<key>`).

    Raises `InputError` when there is nothing at `path`, `ArtefactError` when it is something else or damaged, or
    when its texts or its tokenizer are missing.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(
            code="DAT-018",
            what="there is no prepared data at this place",
            where=str(path),
            why="the folder does not exist",
            fix="name a folder under .codex/store/tokens, or: codex data prepare FILE",
        )
    stored = verify(path, format=tokens.FORMAT)
    store = path.absolute().parent.parent
    texts = _part(stored, store / "texts", "texts", format=texts_stage.FORMAT)
    tokenizer = _part(stored, store / "tokenizers", "tokenizer", format=tokenizer_store.FORMAT)
    return assemble(stored, texts=texts, tokenizer_path=tokenizer.path / tokenizer_store.ARTEFACT)


def _let_go(descriptor: int) -> None:
    with suppress(OSError):
        os.close(descriptor)


def assemble(stored: Stored, *, texts: Stored, tokenizer_path: Path, was_there: bool = True) -> Prepared:
    """A prepared set out of verified folders; housekeeping keeps away from it as long as it is referred to."""
    prepared = Prepared(
        path=stored.path,
        fingerprint=stored.manifest["fingerprint"],
        manifest=stored.manifest,
        manifest_digest=stored.digest,
        tokenizer_path=tokenizer_path,
        texts_path=texts.path,
        texts_manifest=texts.manifest,
        was_there=was_there,
    )
    if (descriptor := hold(stored.path)) is not None:
        weakref.finalize(prepared, _let_go, descriptor)
    return prepared


def _part(stored: Stored, folder: Path, key: str, *, format: str) -> Stored:
    """The folder that the set was made from, verified to be that very one."""
    held = stored.manifest[key]
    part = verify(folder / held["folder"], format=format)
    if part.digest != held["manifest"]:
        raise damaged(part.path / "manifest.json", f"the prepared set was made from {held['manifest']}")
    return part


def _safety_line(safety: Mapping[str, Any]) -> str:
    if safety["policy"] is None:
        return "no policy"
    matches = ", ".join(f"{rule} {count:,}" for rule, count in safety["matches"].items()) or "no match"
    return f"{safety['policy']}: {safety['blocked']:,} blocked, {safety['redacted']:,} redacted ({matches})"


def _filled(counts: Mapping[str, Any]) -> str:
    """How full rows are; sets of earlier versions do not say, and a split without rows has nothing to fill."""
    held = counts.get("filling")
    if held is None or not counts["rows"]:
        return ""
    return f", {float(held['filled']):.1%} filled, {held['cut_documents']:,} documents cut"
