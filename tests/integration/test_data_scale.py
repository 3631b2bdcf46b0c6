"""Preparing more data than the memory that it takes."""

from __future__ import annotations

import importlib.util
import json
import random
import sys
from pathlib import Path

import pytest

from tests.support.commands import Project, safety_line

ROOT = Path(__file__).resolve().parents[2]

MOST_BYTES = 300_000_000

CONFIG = """\
schema: codex-run/1
run: {name: large, threads: 1}
data:
  sources: [{name: jsonl, path: rows.jsonl}]
  split: [0.98, 0.01, 0.01]
  seq_len: 512
tokenizer: bytes
model: {name: ngram, order: 2}
trainer: {name: ngram, duration: 1 epoch, batch_rows: 4}
"""


def watch_module():
    """The benchmarks' own sampler of a process tree."""
    spec = importlib.util.spec_from_file_location("process_tree", ROOT / "bench" / "process_tree.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["process_tree"] = module
    spec.loader.exec_module(module)
    return module


def write_rows(path, num_bytes):
    """So many bytes of JSON Lines: documents of 1 to 20 kB out of a thousand words, every fiftieth one twice."""
    chance = random.Random(1)
    words = [
        "".join(chance.choices("abcdefghijklmnopqrstuvwxyzäöü", k=chance.randint(2, 11))) for _ in range(1000)
    ]
    paragraphs = [" ".join(chance.choices(words, k=120)) for _ in range(2000)]
    written, number, line = 0, 0, ""
    with path.open("w", encoding="utf-8") as file:
        while written < num_bytes:
            number += 1
            if number % 50:
                text = f"{number} " + "\n".join(chance.choices(paragraphs, k=chance.randint(1, 24)))
                line = json.dumps({"text": text}, ensure_ascii=False) + "\n"
            written += len(line.encode())
            file.write(line)
    return number


@pytest.mark.proof
def test_a_gigabyte_is_prepared_within_300_megabytes(tmp_path):
    """1 GB of JSON Lines, two processes: the peak of the whole process tree is printed and stays below 300 MB."""
    project = Project.make(tmp_path / "project")
    (project.path / "run.yaml").write_text(CONFIG + safety_line())
    num_rows = write_rows(project.path / "rows.jsonl", 1_000_000_000)
    command = [sys.executable, "-m", "codex_core", "data", "prepare", "run.yaml", "--workers", "2"]
    watched = watch_module().watch(command, cwd=project.path)
    assert watched.code == 0, watched.said
    (manifest,) = (project.path / ".codex" / "store" / "tokens").glob("*/manifest.json")
    rows = json.loads(manifest.read_text())["rows"]
    print(
        f"\n1 GB of JSON Lines, {num_rows} rows: {watched.wall_s:.0f} s, "
        f"peak RSS {watched.peak_rss / 1e6:.0f} MB, peak PSS {watched.peak_pss / 1e6:.0f} MB"
    )

    assert rows["read"] == num_rows
    assert rows["dropped"] == {"duplicate": num_rows // 50}
    assert 0 < watched.peak_rss <= MOST_BYTES
