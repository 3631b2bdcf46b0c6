"""What the peers do with the corpus; run by the interpreter of their own environment (`peer-data`).

    python bench/peer_data.py prepare-datasets|prepare-litdata|load-datasets|load-litdata --corpus FOLDER --out FOLDER

The same tokenizer file, two worker processes, rows of 512 ids, one per cent for validation. Loading prints JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

LENGTH, BATCH, BATCHES = 512, 8, 300


def prepare_datasets(corpus: Path, out: Path) -> None:
    """Load, tokenize, pack, shuffle, split and save with `datasets`."""
    import datasets
    from tokenizers import Tokenizer

    datasets.disable_progress_bars()
    tokenizer = Tokenizer.from_file(str(corpus / "tokenizer" / "tokenizer.json"))

    def encode(batch: Any) -> Any:
        return {"ids": [[*found.ids, 1] for found in tokenizer.encode_batch_fast(batch["text"])]}

    def pack(batch: Any) -> Any:
        flat = [id for ids in batch["ids"] for id in ids]
        return {"ids": [flat[i : i + LENGTH] for i in range(0, len(flat) // LENGTH * LENGTH, LENGTH)]}

    rows = datasets.load_dataset(
        "json", data_files=str(corpus / "corpus.jsonl"), split="train", cache_dir=str(out / "cache")
    )
    rows = rows.map(encode, batched=True, num_proc=2, remove_columns=["text"])
    rows = rows.map(pack, batched=True, num_proc=2).shuffle(seed=1).train_test_split(test_size=0.01, seed=1)
    rows.save_to_disk(str(out / "rows"), num_proc=2)


_TOKENIZER: Any = None


def _encode_range(job: tuple[str, str, int, int]) -> Any:
    """The documents of a byte range, for litdata's workers."""
    global _TOKENIZER
    import torch
    from tokenizers import Tokenizer

    path, tokenizer, start, end = job
    if _TOKENIZER is None:
        _TOKENIZER = Tokenizer.from_file(tokenizer)
    with open(path, "rb") as file:
        file.seek(start)
        lines = file.read(end - start).splitlines()
    for found in _TOKENIZER.encode_batch_fast([json.loads(line)["text"] for line in lines]):
        yield torch.tensor([*found.ids, 1], dtype=torch.int32)


def _ranges(path: Path, count: int) -> list[tuple[int, int]]:
    size, cuts = path.stat().st_size, [0]
    with path.open("rb") as file:
        for number in range(1, count):
            file.seek(size * number // count)
            file.readline()
            cuts.append(file.tell())
    cuts.append(size)
    return [(start, end) for start, end in itertools.pairwise(cuts) if end > start]


def prepare_litdata(corpus: Path, out: Path) -> None:
    """Tokenize into litdata's chunks; it shuffles when it reads."""
    import litdata
    from litdata.streaming.item_loader import TokensLoader

    path, tokenizer = corpus / "corpus.jsonl", str(corpus / "tokenizer" / "tokenizer.json")
    litdata.optimize(
        fn=_encode_range,
        inputs=[(str(path), tokenizer, start, end) for start, end in _ranges(path, 64)],
        output_dir=str(out / "chunks"),
        chunk_bytes="64MB",
        num_workers=2,
        item_loader=TokensLoader(block_size=LENGTH + 1),
    )


def _rate(batches: Any) -> None:
    """Tokens per second of the best of three passes over 300 batches, as JSON."""
    best = 0.0
    for _ in range(3):
        held = iter(batches())
        next(held)
        start = time.perf_counter()
        for _ in range(BATCHES):
            next(held)
        best = max(best, BATCHES * BATCH * LENGTH / (time.perf_counter() - start))
    print(json.dumps({"tokens_per_s": best}))


def load_datasets(corpus: Path, out: Path) -> None:
    """Random batches through torch's loader, in this process."""
    import datasets
    import torch

    rows = datasets.load_from_disk(str(out / "rows"))["train"].with_format("torch")
    _rate(lambda: torch.utils.data.DataLoader(rows, batch_size=BATCH, shuffle=True))


def load_litdata(corpus: Path, out: Path) -> None:
    """Random batches through litdata's loader, in this process."""
    import litdata
    from litdata.streaming.item_loader import TokensLoader

    rows = litdata.StreamingDataset(
        str(out / "chunks"), item_loader=TokensLoader(block_size=LENGTH + 1), shuffle=True
    )
    _rate(lambda: litdata.StreamingDataLoader(rows, batch_size=BATCH))


WORK = {
    "prepare-datasets": prepare_datasets,
    "prepare-litdata": prepare_litdata,
    "load-datasets": load_datasets,
    "load-litdata": load_litdata,
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=sorted(WORK))
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    os.environ.update({"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"})
    if asked.what.startswith("prepare"):
        shutil.rmtree(asked.out, ignore_errors=True)
        asked.out.mkdir(parents=True)
    WORK[asked.what](asked.corpus, asked.out)
