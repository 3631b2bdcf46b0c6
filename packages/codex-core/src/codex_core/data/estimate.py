"""What preparing a plan would give, without storing anything.

Decisions: documents and bytes are counted exactly, after duplicates and safety; tokens and rows are estimated from
the documents with the smallest text hashes, a sample that does not depend on the order of rows. A tokenizer that
would be learned is learned from one half of the sample and measured on the other. Every estimated field is named.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from codex_core.contracts import Emit, Tokenizer
from codex_core.data.components import Components, Found, find
from codex_core.data.intake import Intake
from codex_core.data.prepare import ignore, texts_plan
from codex_core.data.splits import SPLITS
from codex_core.data.tokenizer_store import taken
from codex_core.duration import Duration
from codex_core.errors import UsageError
from codex_core.lock import Plan
from codex_core.records import Record


@attrs.frozen(kw_only=True)
class SplitEstimate:
    """A split: documents and bytes as counted, tokens and rows as estimated."""

    documents: int
    bytes: int
    tokens: int
    rows: int


@attrs.frozen(kw_only=True)
class DataEstimate:
    """The splits, how many documents the estimated fields were derived from, and which fields those are."""

    splits: Mapping[str, SplitEstimate]
    vocab_size: int
    num_sampled: int
    estimated: tuple[str, ...] = ("tokens", "rows", "vocab_size")


@attrs.frozen(kw_only=True)
class EstimatedData:
    """An estimate in the shape of prepared data, as far as a plan is settled on it; there is nothing to read."""

    manifest: Mapping[str, Any]
    num_sampled: int
    path: Path = Path("not-prepared")
    fingerprint: str = "not prepared"
    manifest_digest: str = "not prepared"

    @classmethod
    def of(cls, found: DataEstimate) -> EstimatedData:
        """What the manifest of the prepared set would say of the numbers that a lock is made of."""
        splits = {name: attrs.asdict(split) for name, split in found.splits.items()}
        tokenizer = {"vocab_size": found.vocab_size, "fingerprint": "not prepared"}
        return cls(manifest={"splits": splits, "tokenizer": tokenizer}, num_sampled=found.num_sampled)

    def estimated(self, durations: Mapping[str, Duration]) -> tuple[str, ...]:
        """The numbers of a lock that follow from a sample: those that depend on how many rows or ids there are."""
        of_rows = sorted(name for name, duration in durations.items() if duration.unit == "epochs")
        steps = ("steps", "tokens") if "trainer.duration" in of_rows else ()
        return (
            *("splits.*.tokens", "splits.*.rows", "epochs"),
            *steps,
            *of_rows,
            *("vocab_size", "memory", "disk_bytes"),
        )

    def summary(self) -> str:
        """Documents and bytes as counted, tokens and rows as estimated, a line per split."""
        lines = [
            f"{name:<10} {counts['documents']:,} documents, {counts['bytes']:,} bytes, "
            f"about {counts['tokens']:,} tokens, about {counts['rows']:,} rows"
            for name, counts in self.manifest["splits"].items()
        ]
        lines.append(
            f"estimated  tokens, rows and vocabulary, from {self.num_sampled:,} documents; nothing was stored"
        )
        return "\n".join(lines)


def estimate(
    plan: Plan, *, registry: Components, num_sampled: int = 400, on_event: Emit = ignore
) -> DataEstimate:
    """Count the documents of a plan and estimate its tokens; raises what `prepare` raises for bad inputs."""
    _refuse_mixtures(plan)
    found = find(plan.choices["tokenizer"], plan, registry=registry)
    intake = Intake(texts_plan(plan, registry=registry))
    num_bytes: Counter[str] = Counter()
    sample: list[tuple[bytes, int, Record]] = []
    for _, split, record in intake.admitted(on_event):
        num_bytes[split] += _size(record)
        _keep(sample, record, number=intake.account.read, most=num_sampled)
    records = [record for _, _, record in sorted(sample, key=lambda kept: kept[:2])]
    tokenizer, measured = _measure(found, records, seed=plan.seeds["tokenizer"])
    lengths = [len(tokenizer.render(record).ids) for record in measured]
    per_byte = sum(lengths) / sum(map(_size, measured))
    splits = {}
    for split in SPLITS:
        documents, tokens = intake.account.kept[split], round(num_bytes[split] * per_byte)
        rows = -(-max(0, tokens - documents) // plan.seq_len)  # a document of n ids gives n - 1 pairs
        if plan.config["data"]["packing"] == "none":
            rows = round(documents * sum(-(-(n - 1) // plan.seq_len) for n in lengths) / len(lengths))
        splits[split] = SplitEstimate(documents=documents, bytes=num_bytes[split], tokens=tokens, rows=rows)
    return DataEstimate(splits=splits, vocab_size=tokenizer.vocab_size, num_sampled=len(measured))


def _refuse_mixtures(plan: Plan) -> None:
    if plan.config["data"].get("weights") is not None:
        raise UsageError(
            code="DAT-035",
            what="a mixture of sources cannot be estimated",
            where="data.weights",
            why="an epoch of it ends with its longest source, and a sample does not tell how long each is",
            fix="codex plan FILE  prepares the data and counts",
        )


def _keep(sample: list[tuple[bytes, int, Record]], record: Record, *, number: int, most: int) -> None:
    """Keep the `most` records with the smallest hashes, as a heap of the largest (hashes are inverted)."""
    digest = hashlib.sha256(record.text.encode()).digest()
    heapq.heappush(sample, (bytes(255 - byte for byte in digest), number, record))
    if len(sample) > most:
        heapq.heappop(sample)


def _measure(found: Found, sample: Sequence[Record], *, seed: int) -> tuple[Tokenizer, Sequence[Record]]:
    """A tokenizer, and the records to measure it on: not those that it was learned from, if others exist."""
    folder = getattr(found.options, "path", None)
    if folder is not None:
        return taken(found, Path(folder)), sample
    texts = [turn.text for record in sample[::2] for turn in record.turns]
    return found.target.train(texts, found.options, seed=seed), sample[1::2] or sample


def _size(record: Record) -> int:
    return sum(len(turn.text.encode()) for turn in record.turns)
