"""What reading holds at a time."""

from __future__ import annotations

import gzip
import json
import tracemalloc

import pytest

from codex_core.data.csv_rows import CsvDataset
from codex_core.data.jsonl import JsonlDataset
from codex_core.data.options import CsvOptions, JsonlOptions, TextOptions
from codex_core.data.text import TextDataset

WORDS = "some words that make a row of about a hundred bytes, so that there are many of them in a file "


@pytest.mark.slow
@pytest.mark.parametrize("reader", ["jsonl", "packed", "csv", "paragraph", "line"])
def test_reading_holds_rows_and_no_file(tmp_path, reader):
    """A file of 8 MB in rows of 1 kB is read within 2 MB: buffers and a row, whatever the size of the file."""
    rows = [f"{number} " + WORDS * 10 for number in range(8000)]
    path = tmp_path / "rows"
    if reader in ("jsonl", "packed"):
        data = "\n".join(json.dumps({"text": row}) for row in rows).encode()
        path.write_bytes(gzip.compress(data, 1) if reader == "packed" else data)
        dataset = JsonlDataset(JsonlOptions(path=str(path)))
    elif reader == "csv":
        path.write_text("text\n" + "\n".join(f'"{row}"' for row in rows))
        dataset = CsvDataset(CsvOptions(path=str(path)))
    else:
        path.write_text("\n\n".join(rows))
        dataset = TextDataset(TextOptions(path=str(path), document=reader))

    tracemalloc.start()
    try:
        count = sum(1 for _ in dataset.records())
        parts = dataset.parts(1 << 20)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert count == 8000 and parts
    assert peak < 2_000_000, f"{peak:,} bytes"
