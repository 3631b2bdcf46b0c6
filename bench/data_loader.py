"""Random batches of prepared rows, read back: tokens per second, against `litdata` and `datasets`.

    python bench/data_loader.py --work FOLDER --peer PEER_PYTHON --rounds 5 --output bench/results/data-loader.md

FOLDER is that of `data_prepare.py`, which makes what is missing there. Batches of 8 rows of 512, 300 of them, the best
of three passes per process; opening, and with it the first batch, does not count. The peers give ids; ours gives ids,
targets, loss masks, positions and document numbers. `bare gather` is what NumPy alone does with a flat file of ids.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import corpus
from alternating import Case, measure, report, summarise
from data_prepare import BENCH, measured_peers

LENGTH, BATCH, BATCHES = 512, 8, 300
LEAST_SPEED = 4.0


def rate(batch: Callable[[int], Any]) -> float:
    """Tokens per second of the best of three passes."""
    best = 0.0
    for number in range(3):
        start = time.perf_counter()
        for place in range(BATCHES):
            batch(number * BATCHES + place)
        best = max(best, BATCHES * BATCH * LENGTH / (time.perf_counter() - start))
    return best


def sample(name: str, folder: Path) -> None:
    """Measure ours or the bare gather once, as JSON."""
    import numpy as np

    from codex_core.data.prepare import open_prepared

    (path,) = (folder / "out" / ".codex" / "store" / "tokens").glob("[!.]*")
    prepared = open_prepared(path)
    if name == "ours":
        rows = prepared.packed("train", seed=1)
        rows.rows(0, BATCH)
        found = rate(lambda number: rows.rows(BATCH * number, BATCH))
    else:
        ids = np.asarray(np.memmap(path / "train.tok", dtype=np.uint16, mode="r"))
        chance, places = np.random.default_rng(0), np.arange(LENGTH + 1)

        def gather(number: int) -> Any:
            starts = chance.integers(0, len(ids) - LENGTH - 1, BATCH)
            return ids[starts[:, None] + places].astype(np.int64)

        found = rate(gather)
    print(json.dumps({"tokens_per_s": found}))


def prepare(folder: Path, peer: str, peers: list[str]) -> None:
    """Make what there is to read, where it is missing."""
    wanted = {"ours": folder / "out" / ".codex" / "store" / "tokens"} | {
        name: folder / name for name in peers
    }
    for name, path in wanted.items():
        if not path.exists():
            command = [
                sys.executable,
                str(BENCH / "data_prepare.py"),
                "--work",
                str(folder),
                "--sample",
                name,
            ]
            subprocess.run(
                [*command, *(["--peer", peer] if peer else [])], check=True, stdout=subprocess.DEVNULL
            )


def main() -> int:
    """Measure all cases in turn, print the table, and say whether the bar holds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--peer", default="", help="the Python of the environment `peer-data`")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mb", type=float, default=100.0)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--sample", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.sample:
        sample(asked.sample, asked.work)
        return 0
    facts = corpus.obtain(asked.work / "corpus", mb=asked.mb)
    peers, absent = measured_peers(asked.peer or None)
    prepare(asked.work, asked.peer, peers)
    again = [sys.executable, __file__, "--work", str(asked.work), "--sample"]
    cases = [Case(name, [*again, name], dict(os.environ)) for name in ("ours", "bare gather")]
    for name in peers:
        command = [
            asked.peer,
            str(BENCH / "peer_data.py"),
            f"load-{name}",
            "--corpus",
            str(asked.work / "corpus"),
        ]
        cases.append(Case(name, [*command, "--out", str(asked.work / name)], dict(os.environ)))
    found = {
        name: summarise(samples, "tokens_per_s")
        for name, samples in measure(cases, rounds=asked.rounds).items()
    }
    lines = ["| loader | tokens/s | of litdata |", "|---|---|---|"]
    for name, one in found.items():
        ratio = f"{one.median / found['litdata'].median:.2f}" if "litdata" in found else "-"
        lines.append(f"| {name} | {one} | {ratio} |")
    lines += [line.rstrip(" |") + " |  |" if line.count("|") > 4 else line for line in absent]
    holds = "litdata" not in found or found["ours"].median >= LEAST_SPEED * found["litdata"].median
    lines += ["", f"- {'holds' if holds else 'MISSED'}: at least {LEAST_SPEED} times litdata"]
    text = report("Loading rows in random order", argv=sys.argv, lines=lines, facts=facts)
    print(text)
    if asked.output:
        asked.output.write_text(text)
        asked.output.with_suffix(".json").write_text(
            json.dumps({name: one._asdict() for name, one in found.items()}, indent=1) + "\n"
        )
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
