"""How fast text becomes ids: ours beside the library, on one and on two workers, with the ids compared.

    python bench/tokenizer_encode.py                        8 MB, 8,192 ids, five rounds
    python bench/tokenizer_encode.py --mb 1 --rounds 1      a quick look

Decisions: one process per sample, cases in turns; reading, learning and loading are not timed. The library encodes
with `encode_batch_fast` on so many threads; ours with `encode_many_flat` in so many processes, as preparing data
does, from the word to start until the last one has its array. `library` has its own pattern and vocabulary, `library
on our file` ours, whose ids must be those of `codex`.

The bar: on two workers at least 2.2 times the library, by either measure. The exit code is 0 when it holds.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

BENCH = Path(__file__).resolve().parent
sys.path.insert(0, str(BENCH))

import tokenizer_corpus as corpus  # noqa: E402 - the folder of this file
from alternating import Case, measure, report, summarise  # noqa: E402 - the folder of this file

BAR = 2.2
WORKERS = (1, 2)


def library(folder: Path, texts: list[str], *, own_file: bool) -> dict[str, float | str]:
    """The library on all threads that RAYON_NUM_THREADS gives it."""
    from tokenizers import Tokenizer

    path = folder / "ours" / "tokenizer.json" if own_file else folder / "library.json"
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.encode_special_tokens = True
    tokenizer.encode_batch_fast(texts[:50], add_special_tokens=False)
    began = time.perf_counter()
    found = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    seconds = time.perf_counter() - began
    return _told(texts, seconds, [one.ids for one in found])


def codex(folder: Path, texts: list[str], *, workers: int, backend: str) -> dict[str, float | str]:
    """Ours in so many processes, each with its share of the documents."""
    context = multiprocessing.get_context("spawn")
    pipes = []
    for number in range(workers):
        ours, theirs = context.Pipe()
        share = texts[number * len(texts) // workers : (number + 1) * len(texts) // workers]
        process = context.Process(target=_work, args=(theirs, folder, share, backend), daemon=True)
        process.start()
        pipes.append(ours)
    for pipe in pipes:
        pipe.recv()
    began = time.perf_counter()
    for pipe in pipes:
        pipe.send("start")
    for pipe in pipes:
        pipe.recv()
    seconds = time.perf_counter() - began
    rows = [row for pipe in pipes for row in pipe.recv()]
    return _told(texts, seconds, rows)


def _work(pipe: Connection, folder: Path, texts: list[str], backend: str) -> None:
    from codex_tokenizers.bpe import BPE

    tokenizer = BPE.load(folder / "ours", backend=backend)
    tokenizer.encode_many_flat(texts[:50])
    pipe.send("ready")
    pipe.recv()
    ids, lengths = tokenizer.encode_many_flat(texts)
    pipe.send("done")
    ends = lengths.cumsum().tolist()
    pipe.send([ids[start:end].tolist() for start, end in zip([0, *ends], ends, strict=False)])


def _told(texts: list[str], seconds: float, rows: list[list[int]]) -> dict[str, float | str]:
    size = corpus.megabytes(texts)
    return {
        "mb_per_s": size / seconds,
        "bytes_per_token": size * 1e6 / sum(map(len, rows)),
        "ids": corpus.ids_digest(rows),
    }


def child(arguments: argparse.Namespace) -> None:
    """Measure one case and print its numbers."""
    folder, texts = Path(arguments.folder), corpus.documents(arguments.mb, skip_mb=arguments.train_mb)
    kind, _, backend = arguments.child.partition(":")
    if kind == "codex":
        found = codex(folder, texts, workers=arguments.workers, backend=backend)
    else:
        found = library(folder, texts, own_file=kind == "ours")
    print(json.dumps(found))


def cases(arguments: argparse.Namespace, folder: str) -> list[Case]:
    """Every case on one and on two workers."""
    found = []
    for workers in WORKERS:
        for name, kind in (
            ("library", "library"),
            ("library on our file", "ours"),
            ("codex", "codex:auto"),
            ("codex without tiktoken", "codex:hf"),
        ):
            command = [
                sys.executable,
                __file__,
                "--child",
                kind,
                "--folder",
                folder,
                "--workers",
                str(workers),
            ]
            command += ["--mb", str(arguments.mb), "--train-mb", str(arguments.train_mb)]
            threads = {"RAYON_NUM_THREADS": str(workers if kind in ("library", "ours") else 1)}
            environ = {**threads, "TOKENIZERS_PARALLELISM": "true", "OMP_NUM_THREADS": "1"}
            found.append(Case(f"{name}, {workers}", command, environ))
    return found


def main() -> int:
    """Measure, print the table, and tell whether the bar holds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mb", type=float, default=8.0)
    parser.add_argument("--train-mb", type=float, default=50.0)
    parser.add_argument("--vocab-size", type=int, default=8192)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=int, default=1, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        corpus.make_tokenizers(Path(folder), vocab_size=arguments.vocab_size, num_mb=arguments.train_mb)
        found = measure(cases(arguments, folder), rounds=arguments.rounds)
    rates = {name: summarise(samples, "mb_per_s") for name, samples in found.items()}
    ids = {name: {sample.numbers["ids"] for sample in samples} for name, samples in found.items()}
    ours = [name for name in ids if not name.startswith("library,")]
    same = len(set.union(*(ids[name] for name in ours))) == 1
    lines = [
        "| case, workers | MB/s | x library | x library on our file | bytes/token |",
        "|---|---|---|---|---|",
    ]
    for name, rate in rates.items():
        workers = name.rpartition(" ")[2]
        ratios = [
            rate.median / rates[f"{peer}, {workers}"].median for peer in ("library", "library on our file")
        ]
        density = found[name][0].numbers["bytes_per_token"]
        lines.append(f"| {name} | {rate} | {ratios[0]:.2f} | {ratios[1]:.2f} | {density:.2f} |")
    peers = max(rates["library, 2"].median, rates["library on our file, 2"].median)
    holds = same and rates["codex, 2"].median >= BAR * peers
    lines += ["", f"ids of ours and of the library on our file are {'identical' if same else 'DIFFERENT'}"]
    lines.append(
        f"bar: codex on 2 workers at least {BAR} x the faster library: {'holds' if holds else 'MISSED'}"
    )
    texts = corpus.documents(arguments.mb, skip_mb=arguments.train_mb)
    facts = {
        "corpus": f"{len(texts)} documents, {corpus.megabytes(texts):.1f} MB, sha256 {corpus.digest(texts)}..."
    }
    text = report("Encoding", argv=sys.argv, lines=lines, facts=facts)
    print(text)
    if arguments.output:
        arguments.output.write_text(text)
    return 0 if holds else 1


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    raise SystemExit(main())
