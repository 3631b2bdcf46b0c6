"""Preparing a corpus: JSON Lines in, tokenised, packed, shuffled and split rows on disk; time and memory.

    python bench/data_prepare.py --work FOLDER --peer PEER_PYTHON --rounds 5 --output bench/results/data-prepare.md

Two processes each, the same tokenizer file, rows of 512 ids, one per cent for validation. A sample is one process
that prepares from nothing, watched with everything below it. The peers look for no secrets, so ours is measured
without a safety policy; a line with the policy `secrets` stands beside it. `datasets` and `litdata` run in an
environment of their own (`hatch env create peer-data`); a peer that cannot be imported there is not measured.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import corpus
from alternating import Case, measure, report, summarise
from process_tree import watch

BENCH = Path(__file__).resolve().parent
PEERS = ("datasets", "litdata")
LEAST_SPEED, MOST_MEMORY = 3.0, 0.2

CONFIG = """\
schema: codex-run/1
run: {{name: bench}}
data:
  sources: [{{name: jsonl, path: {jsonl}}}]
  split: [0.99, 0.01, 0]
  seq_len: 512
tokenizer: {{name: bpe, path: {tokenizer}}}
model: {{name: ngram, order: 2}}
trainer: {{name: ngram, duration: 1 epoch, batch_rows: 8}}
safety: {safety}
"""

SAFETY = {"ours": "{name: none, reason: benchmark}", "ours, secrets redacted": "{name: secrets}"}


def sample(name: str, folder: Path, peer: str) -> None:
    """Prepare once from nothing and print seconds, MB/s and peaks as JSON."""
    data, out = folder / "corpus", folder / "out"
    if name in SAFETY:
        shutil.rmtree(out, ignore_errors=True)
        (out / ".codex").mkdir(parents=True)
        values = {"jsonl": data / "corpus.jsonl", "tokenizer": data / "tokenizer", "safety": SAFETY[name]}
        (out / "run.yaml").write_text(CONFIG.format(**values))
        command = [sys.executable, "-m", "codex_core", "data", "prepare", "run.yaml", "--workers", "2"]
        watched = watch([*command, *(["--bypass-safety", "benchmark"] if name == "ours" else [])], cwd=out)
    else:
        command = [peer, str(BENCH / "peer_data.py"), f"prepare-{name}"]
        watched = watch([*command, "--corpus", str(data), "--out", str(folder / name)])
    if watched.code:
        raise SystemExit(f"{name} ended with {watched.code}:\n{watched.said}")
    size = (data / "corpus.jsonl").stat().st_size
    numbers = {
        "seconds": watched.wall_s,
        "mb_per_s": size / 1e6 / watched.wall_s,
        "pss_mb": watched.peak_pss / 1e6,
        "rss_mb": watched.peak_rss / 1e6,
    }
    print(json.dumps(numbers))


def measured_peers(peer: str | None) -> tuple[list[str], list[str]]:
    """Peers that can be imported, and a line for each that cannot."""
    found, absent = [], []
    for name in PEERS:
        ended = peer and subprocess.run([peer, "-c", f"import {name}"], capture_output=True, check=False)
        if ended and ended.returncode == 0:
            found.append(name)
        else:
            absent.append(
                f"| {name} | not measured: it cannot be imported by {peer or 'any --peer'} |  |  |  |"
            )
    return found, absent


def main() -> int:
    """Measure all cases in turn, print the table, and say whether the bars hold."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--peer", help="the Python of the environment `peer-data`")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mb", type=float, default=100.0)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--sample", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.sample:
        sample(asked.sample, asked.work, asked.peer or "")
        return 0
    facts = corpus.obtain(asked.work / "corpus", mb=asked.mb)
    peers, absent = measured_peers(asked.peer)
    again = [
        sys.executable,
        __file__,
        "--work",
        str(asked.work),
        *(["--peer", asked.peer] if asked.peer else []),
    ]
    cases = [Case(name, [*again, "--sample", name], dict(os.environ)) for name in (*peers, *SAFETY)]
    found = measure(cases, rounds=asked.rounds)
    rates = {name: summarise(samples, "mb_per_s") for name, samples in found.items()}
    peaks = {name: max(one.numbers["pss_mb"] for one in samples) for name, samples in found.items()}
    resident = {name: max(one.numbers["rss_mb"] for one in samples) for name, samples in found.items()}
    lines = [
        "| pipeline | MB/s of JSON Lines | of the best peer | peak PSS, MB | peak RSS, MB |",
        "|---|---|---|---|---|",
    ]
    best = max((rates[name].median for name in peers), default=None)
    for name in found:
        ratio = f"{rates[name].median / best:.2f}" if best else "-"
        lines.append(f"| {name} | {rates[name]} | {ratio} | {peaks[name]:.0f} | {resident[name]:.0f} |")
    lines += absent
    verdicts = []
    if best:
        verdicts.append(
            (f"at least {LEAST_SPEED} times the best peer", rates["ours"].median / best >= LEAST_SPEED)
        )
    if "datasets" in peaks:
        share = peaks["ours"] / peaks["datasets"]
        verdicts.append(
            (f"at most {MOST_MEMORY} of the memory of datasets ({share:.3f})", share <= MOST_MEMORY)
        )
    lines += ["", *(f"- {'holds' if holds else 'MISSED'}: {what}" for what, holds in verdicts)]
    text = report("Preparing data", argv=sys.argv, lines=lines, facts=facts)
    print(text)
    if asked.output:
        asked.output.write_text(text)
        raw = {
            name: [dict(one.numbers) | {"foreign": one.foreign} for one in samples]
            for name, samples in found.items()
        }
        asked.output.with_suffix(".json").write_text(
            json.dumps({"facts": facts, "samples": raw}, indent=1) + "\n"
        )
    return 0 if all(holds for _, holds in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
