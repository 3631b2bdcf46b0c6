"""Seeking in the order of rows: any position of 10^9 samples, in milliseconds and bytes.

    python bench/data_seek.py --output bench/results/data-seek.md

The order is a function, so a seek computes the rows of one block of places and keeps them. Measured is the slowest of
a hundred seeks to positions all over ten epochs, each in rows that know nothing yet, and the memory that Python and
NumPy hold for it at the peak (`tracemalloc`). Opening a prepared set, which reads all its bytes once, does not count.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
from alternating import machine, report

from codex_core.data.gathering import RowPlan, TokenColumns
from codex_core.data.packing import ShuffledRows

NUM_SAMPLES, NUM_SEEKS = 10**9, 100
MOST_MS, MOST_BYTES = 50.0, 1_000_000


def rows_of(num_rows: int) -> ShuffledRows:
    """Rows that take no memory: row r is the two ids of one document, seen again and again."""
    one = np.zeros(1, dtype=np.uint64)
    tokens = TokenColumns(
        ids=np.zeros(64, dtype=np.uint16),
        loss_mask=np.ones(64, dtype=np.uint8),
        offsets=np.array([0, 64], dtype=np.uint64),
    )
    plan = RowPlan(
        seq_len=8,
        first_piece=np.broadcast_to(one, num_rows + 1),
        document=one,
        start=one,
        length=np.full(1, 8, dtype=np.uint32),
    )
    return ShuffledRows(plan=plan, tokens=tokens, supervised=np.broadcast_to(one, num_rows), seed=11)


def main() -> int:
    """Measure, print, and say whether the bars hold."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path)
    asked = parser.parse_args()
    chance = random.Random(5)
    rows_of(NUM_SAMPLES).numbers(0, 8)
    slowest, peak = 0.0, 0
    for _ in range(NUM_SEEKS):
        position = chance.randrange(10 * NUM_SAMPLES)
        rows = rows_of(NUM_SAMPLES)
        start = time.perf_counter()
        first = rows.numbers(position, 8)
        slowest = max(slowest, 1000 * (time.perf_counter() - start))
        assert len(set(first.tolist())) >= 7, "places of one epoch are distinct rows"
    tracemalloc.start()
    for _ in range(NUM_SEEKS):
        rows = rows_of(NUM_SAMPLES)
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        rows.numbers(chance.randrange(10 * NUM_SAMPLES), 8)
        peak = max(peak, tracemalloc.get_traced_memory()[1] - before)
    holds = slowest <= MOST_MS and peak <= MOST_BYTES
    lines = [
        "| | slowest | bar |",
        "|---|---|---|",
        f"| seek | {slowest:.2f} ms | {MOST_MS:.0f} ms |",
        f"| memory | {peak:,} bytes | {MOST_BYTES:,} bytes |",
        "",
        f"- {'holds' if holds else 'MISSED'}: {NUM_SEEKS} seeks in {NUM_SAMPLES:,} samples",
    ]
    text = report("Seeking in the order of rows", argv=sys.argv, lines=lines, facts={})
    print(text)
    if asked.output:
        asked.output.write_text(text)
        asked.output.with_suffix(".json").write_text(
            json.dumps({"slowest_ms": slowest, "peak_bytes": peak, "machine": machine()}) + "\n"
        )
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
