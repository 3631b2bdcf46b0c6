"""Stage three of preparing: documents rendered, encoded and packed into columns that training maps.

Decisions: ids are uint16 when the vocabulary fits, else uint32; one loss-mask byte per token; a split is cut into
shards at borders of documents; rows are planned block by block, so memory does not grow with the corpus.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from codex_core.canonical import digest_of, readable_json
from codex_core.contracts import Emit
from codex_core.data.audit import Audit
from codex_core.data.columns import U64, ColumnWriter, TextColumn, read_column, writing
from codex_core.data.filling import Filling
from codex_core.data.order import ALGORITHM
from codex_core.data.packing import (
    WINDOW_DOCUMENTS,
    RowPlan,
    TokenColumns,
    count_supervised,
    packing_of,
    windows_of,
)
from codex_core.data.shards import SHARD_BYTES, ShardWriter
from codex_core.data.splits import SPLITS
from codex_core.data.store import Stored
from codex_core.data.texts import open_shard
from codex_core.data.token_parts import Batch
from codex_core.data.tokenizer_store import StoredTokenizer
from codex_core.events import ProgressMade
from codex_core.files import OS_FILES, Files

FORMAT = "codex-tokens/1"

#: Raised by hand whenever this stage would give other bytes for the same identity.
STAGE_VERSION = 3


@attrs.frozen(kw_only=True)
class TokensPlan:
    """Everything stage three depends on."""

    texts: Stored
    tokenizer: StoredTokenizer
    seq_len: int
    packing: str
    shard_bytes: int = SHARD_BYTES
    apart: bool = False

    def identity(self) -> dict[str, Any]:
        """Canonical JSON of what decides the stored bytes.

        Whether rows of sources are kept `apart`, to be mixed by weights, decides them; the weights do not.
        """
        return {
            "stage": f"tokens/{STAGE_VERSION}",
            "texts": self.texts.manifest["fingerprint"],
            "tokenizer": self.tokenizer.tokenizer.fingerprint(),
            "tokenizer_folder": self.tokenizer.stored.manifest["fingerprint"],
            "template": None,
            "seq_len": self.seq_len,
            "packing": self.packing,
            "shard_bytes": self.shard_bytes,
            **({"apart": True} if self.apart else {}),
        }

    def fingerprint(self) -> str:
        """`sha256:<hex>` of the identity: the one fingerprint of the prepared set."""
        return digest_of(self.identity())

    @property
    def dtype(self) -> str:
        """The type of stored ids."""
        return self.tokenizer.dtype


def write_tokens(
    folder: Path,
    plan: TokensPlan,
    batches: Mapping[str, Iterable[Batch]],
    *,
    on_event: Emit,
    files: Files = OS_FILES,
) -> dict[str, Any]:
    """Fill an empty folder with the tokens and rows of all splits and `report.json`; returns the manifest.

    `batches` gives the encoded documents of each split, all of them, in their order.
    """
    texts = plan.texts.manifest
    audit = Audit.of(plan.tokenizer.tokenizer)
    splits, shards = {}, []
    done, total = 0, sum(texts["splits"][split]["documents"] for split in SPLITS)
    for split in SPLITS:
        ids = open_shard(plan.texts.path, texts, split).ids
        with ShardWriter(folder, split, most_bytes=plan.shard_bytes, dtype=plan.dtype, files=files) as writer:
            for batch in batches[split]:
                offsets = np.concatenate(([0], np.cumsum(batch.lengths)))
                of_batch = partial(_name, ids, writer.num_documents)
                audit.add_block(of_batch, batch.ids, batch.loss_mask, offsets)
                writer.append(batch)
        assert writer.num_documents == len(ids), "every document has its tokens"
        shards += writer.shards
        documents = _documents_of_sources(plan, split) if plan.apart else (writer.num_documents,)
        rows, filling = _write_rows(folder, split, plan, writer.shards, documents, files=files)
        done += writer.num_documents
        on_event(ProgressMade(phase="pack", done=done, total=total, detail=split))
        splits[split] = {
            **texts["splits"][split],
            **{key: sum(shard[key] for shard in writer.shards) for key in ("tokens", "supervised")},
            "rows": sum(rows),
            "filling": filling.report(),
            **({"rows_of_sources": rows} if plan.apart else {}),
            "digest": digest_of([shard["digest"] for shard in writer.shards]),
        }
    audit.refuse()
    report = {"rows": texts["rows"], "safety": texts["safety"], "splits": splits}
    if "leaks" in texts:
        report["leaks"] = texts["leaks"]
    supervision = audit.report(decode=plan.tokenizer.tokenizer.decode)
    with writing(folder):
        files.write(folder / "report.json", readable_json(report | {"supervision": supervision}).encode())
    return report | _description(plan, shards)


def _name(ids: TextColumn, first: int, number: int) -> str:
    """The id of document `number` of a batch whose first document has the number `first`."""
    return ids[first + number]


def _description(plan: TokensPlan, shards: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    texts, held = plan.texts.manifest, plan.tokenizer
    return {
        "identity": plan.identity(),
        "corpus": texts["corpus"],
        "sources": texts["identity"]["sources"],
        "dedup": texts["identity"]["dedup"],
        "split": texts["identity"]["split"],
        "texts": {"folder": plan.texts.path.name, "manifest": plan.texts.digest},
        "tokenizer": {
            "id": held.id,
            "fingerprint": held.tokenizer.fingerprint(),
            "vocab_size": held.tokenizer.vocab_size,
            "special_ids": dict(held.tokenizer.special_ids),
            "lossless": held.tokenizer.lossless,
            "folder": held.stored.path.name,
            "manifest": held.stored.digest,
        },
        "seq_len": plan.seq_len,
        "packing": plan.packing,
        "order": ALGORITHM,
        "dtype": plan.dtype,
        "shards": list(shards),
    }


def _documents_of_sources(plan: TokensPlan, split: str) -> tuple[int, ...]:
    """How many documents of a split come from each dataset; they lie in the order of the datasets."""
    texts = plan.texts.manifest
    shard = open_shard(plan.texts.path, texts, split)
    dataset = np.array([number for number, _ in shard.names], dtype=np.int64)
    counts = np.zeros(len(texts["identity"]["sources"]), dtype=np.int64)
    last = 0
    for first in range(0, len(shard), WINDOW_DOCUMENTS):
        found = dataset[np.asarray(shard.source[first : first + WINDOW_DOCUMENTS, 0]).astype(np.int64)]
        assert last <= found[0] and (np.diff(found) >= 0).all(), (
            "documents lie in the order of their datasets"
        )
        last = int(found[-1])
        counts += np.bincount(found, minlength=len(counts))
    return tuple(counts.tolist())


def _write_rows(
    folder: Path,
    split: str,
    plan: TokensPlan,
    shards: Sequence[Mapping[str, Any]],
    documents: Sequence[int],
    *,
    files: Files,
) -> tuple[list[int], Filling]:
    """Plan the rows of a split block by block and write their columns; returns how many rows each part has.

    `documents` tells how many documents each part has; no row holds documents of two parts.
    """
    tokens = open_tokens(folder, shards, dtype=plan.dtype)
    rows, filling, first = [0] * len(documents), Filling(seq_len=plan.seq_len), 0
    with ExitStack() as stack:
        column = {
            name: stack.enter_context(ColumnWriter(folder / f"{split}.rows.{name}", files=files))
            for name in ("idx", "document", "start", "length", "supervised")
        }
        for part, num_documents in enumerate(documents):
            windows = windows_of(tokens, first, first + num_documents)
            for planned in packing_of(plan.packing)(windows, seq_len=plan.seq_len):
                block = attrs.evolve(planned, document=planned.document + first)
                column["idx"].append_array(block.first_piece[:-1] + filling.pieces)
                column["document"].append_array(block.document)
                column["start"].append_array(block.start)
                column["length"].append_array(block.length, "u4")
                column["supervised"].append_array(count_supervised(block, tokens), "u4")
                rows[part] += block.num_rows
                filling.add(block)
            first += num_documents
        column["idx"].append_number(filling.pieces)
    return rows, filling


def open_tokens(folder: Path, shards: Iterable[Mapping[str, Any]], *, dtype: str) -> list[TokenColumns]:
    """The token columns of shards as the manifest lists them, mapped."""
    return [
        TokenColumns(
            ids=read_column(folder / f"{shard['name']}.tok", dtype),
            loss_mask=read_column(folder / f"{shard['name']}.msk", np.uint8),
            offsets=read_column(folder / f"{shard['name']}.idx", U64),
        )
        for shard in shards
    ]


def open_rows(folder: Path, split: str, *, seq_len: int) -> tuple[RowPlan, Any]:
    """The planned rows of a split and their supervised counts, mapped."""

    def column(name: str, dtype: str) -> Any:
        return read_column(folder / f"{split}.rows.{name}", dtype)

    plan = RowPlan(
        seq_len=seq_len,
        first_piece=column("idx", "u8"),
        document=column("document", "u8"),
        start=column("start", "u8"),
        length=column("length", "u4"),
    )
    return plan, column("supervised", "u4")
