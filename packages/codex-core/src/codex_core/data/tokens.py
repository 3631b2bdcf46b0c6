"""Stage three of preparing: documents rendered, encoded and packed into columns that training maps.

Decisions: ids are uint16 when the vocabulary fits, else uint32; one loss-mask byte per token; one shard per split;
every document is checked against the rendering contract (BOS first and not supervised, ids in the vocabulary,
something supervised), because a training run on wrong masks looks healthy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from codex_core.canonical import digest_of, readable_json
from codex_core.contracts import Emit, Tokenizer
from codex_core.data.columns import U64, ColumnWriter, read_column, write_column, writing
from codex_core.data.order import ALGORITHM
from codex_core.data.packing import RowPlan, TokenColumns, count_supervised, plan_rows
from codex_core.data.splits import SPLITS
from codex_core.data.store import Stored
from codex_core.data.texts import TextShard, open_shard
from codex_core.data.tokenizer_store import StoredTokenizer
from codex_core.errors import InputError
from codex_core.events import ProgressMade
from codex_core.files import OS_FILES, Files
from codex_core.records import Encoded, Record

FORMAT = "codex-tokens/1"

#: Raised by hand whenever this stage would give other bytes for the same identity.
STAGE_VERSION = 1

_PROGRESS_DOCUMENTS = 500


@attrs.frozen(kw_only=True)
class TokensPlan:
    """Everything stage three depends on."""

    texts: Stored
    tokenizer: StoredTokenizer
    seq_len: int
    packing: str

    def identity(self) -> dict[str, Any]:
        """Canonical JSON of what decides the stored bytes."""
        return {
            "stage": f"tokens/{STAGE_VERSION}",
            "texts": self.texts.manifest["fingerprint"],
            "tokenizer": self.tokenizer.tokenizer.fingerprint(),
            "tokenizer_folder": self.tokenizer.stored.manifest["fingerprint"],
            "template": None,
            "seq_len": self.seq_len,
            "packing": self.packing,
        }

    def fingerprint(self) -> str:
        """`sha256:<hex>` of the identity: the one fingerprint of the prepared set."""
        return digest_of(self.identity())

    @property
    def dtype(self) -> str:
        """The type of stored ids."""
        return "uint16" if self.tokenizer.tokenizer.vocab_size <= 1 << 16 else "uint32"


def write_tokens(
    folder: Path, plan: TokensPlan, *, on_event: Emit, files: Files = OS_FILES
) -> dict[str, Any]:
    """Fill an empty folder with the tokens and rows of all splits and `report.json`; returns the manifest."""
    texts = plan.texts.manifest
    total = sum(texts["splits"][split]["documents"] for split in SPLITS)
    done = 0
    splits = {}
    for split in SPLITS:
        shard = open_shard(plan.texts.path, texts, split)
        counts = _write_split(
            folder, split, shard, plan, done=done, total=total, on_event=on_event, files=files
        )
        done += len(shard)
        on_event(ProgressMade(phase="pack", done=done, total=total, detail=split))
        splits[split] = {**texts["splits"][split], **counts}
    report = {"rows": texts["rows"], "safety": texts["safety"], "splits": splits}
    with writing(folder):
        files.write(folder / "report.json", readable_json(report).encode())
    return report | _description(plan, splits)


def _description(plan: TokensPlan, splits: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
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
        "shards": [
            {
                "name": split,
                "split": split,
                **{key: counts[key] for key in ("documents", "tokens", "supervised")},
            }
            for split, counts in splits.items()
        ],
    }


def _write_split(
    folder: Path,
    split: str,
    shard: TextShard,
    plan: TokensPlan,
    *,
    done: int,
    total: int,
    on_event: Emit,
    files: Files,
) -> dict[str, int]:
    """Write the columns of one split; returns tokens, supervised targets and rows."""
    supervised = 0
    with (
        ColumnWriter(folder / f"{split}.tok", files=files) as ids,
        ColumnWriter(folder / f"{split}.msk", files=files) as loss_mask,
        ColumnWriter(folder / f"{split}.idx", files=files) as offsets,
    ):
        offsets.append_number(0)
        little_endian = np.dtype(plan.dtype).newbyteorder("<")
        for number, (record, encoded) in enumerate(_rendered(shard, plan.tokenizer.tokenizer), start=1):
            _check(encoded, record, plan.tokenizer)
            ids.append(np.array(encoded.ids, dtype=little_endian).tobytes())
            loss_mask.append(bytes(encoded.loss_mask))
            offsets.append_number(loss_mask.num_bytes)
            supervised += sum(encoded.loss_mask)
            if number % _PROGRESS_DOCUMENTS == 0:
                on_event(ProgressMade(phase="tokenize", done=done + number, total=total, detail=split))
    rows = _write_rows(folder, split, plan, files=files)
    return {"tokens": loss_mask.num_bytes, "supervised": supervised, "rows": rows.num_rows}


def _rendered(shard: Iterable[Record], tokenizer: Tokenizer) -> Iterable[tuple[Record, Encoded]]:
    return ((record, tokenizer.render(record)) for record in shard)


def _check(encoded: Encoded, record: Record, held: StoredTokenizer) -> None:
    """Raise `InputError` for a rendering that cannot be trained on."""
    tokenizer = held.tokenizer
    ids, mask = encoded.ids, encoded.loss_mask
    if len(ids) < 2 or ids[0] != tokenizer.special_ids["bos"] or mask[0]:
        why = "it does not start with BOS, unsupervised, and something after it"
    elif not 0 <= min(ids) <= max(ids) < tokenizer.vocab_size:
        why = f"an id is outside the vocabulary of {tokenizer.vocab_size}"
    elif not any(mask):
        why = "no token of it is supervised"
    else:
        return
    raise InputError(
        code="DAT-014",
        what=f"{held.id} rendered a document into something that cannot be trained on",
        where="{}:{} ({})".format(*record.source, record.id),
        why=why,
        fix="choose another tokenizer, or report this to the distribution that ships it",
    )


def _write_rows(folder: Path, split: str, plan: TokensPlan, *, files: Files) -> RowPlan:
    tokens = open_tokens(folder, split, dtype=plan.dtype)
    rows = plan_rows(tokens.offsets, seq_len=plan.seq_len, packing=plan.packing)
    columns = {
        "idx": (rows.first_piece, "u8"),
        "document": (rows.document, "u8"),
        "start": (rows.start, "u8"),
        "length": (rows.length, "u4"),
        "supervised": (count_supervised(rows, tokens), "u4"),
    }
    for name, (values, dtype) in columns.items():
        write_column(folder / f"{split}.rows.{name}", values, dtype=dtype, files=files)
    return rows


def open_tokens(folder: Path, split: str, *, dtype: str) -> TokenColumns:
    """The token columns of a split, mapped."""
    return TokenColumns(
        ids=read_column(folder / f"{split}.tok", dtype),
        loss_mask=read_column(folder / f"{split}.msk", np.uint8),
        offsets=read_column(folder / f"{split}.idx", U64),
    )


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
