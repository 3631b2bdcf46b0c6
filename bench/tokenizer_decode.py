"""How fast ids become text: ours beside the library and tiktoken, over the same ids, with the texts compared.

    python bench/tokenizer_decode.py                        8 MB, 8,192 ids, five rounds
    python bench/tokenizer_decode.py --mb 1 --rounds 1      a quick look

Decisions: one process per sample, cases in turns; loading and encoding are not timed; the library decodes with
`decode_batch` on two threads and, beside it, text by text on one.

The bar: ours, on one thread, at least 2 times the library's batch. The exit code is 0 when it holds.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

BENCH = Path(__file__).resolve().parent
sys.path.insert(0, str(BENCH))

import tokenizer_corpus as corpus  # noqa: E402 - the folder of this file
from alternating import Case, measure, report, summarise  # noqa: E402 - the folder of this file

BAR = 2.0
NAMES = ("library, batch", "library, one by one", "tiktoken", "codex")


def child(arguments: argparse.Namespace) -> None:
    """Measure one case and print its numbers."""
    from codex_tokenizers.bpe import BPE

    folder, texts = Path(arguments.folder), corpus.documents(arguments.mb, skip_mb=arguments.train_mb)
    ours = BPE.load(folder / "ours")
    rows = ours.encode_many(texts)
    decode = _decoder(arguments.child, folder, ours)
    decode(rows[:20])
    began = time.perf_counter()
    found = decode(rows)
    seconds = time.perf_counter() - began
    print(json.dumps({"mb_per_s": corpus.megabytes(texts) / seconds, "same": found == texts}))


def _decoder(name: str, folder: Path, ours: object) -> Callable[[list[list[int]]], list[str]]:
    if name == "codex":
        return lambda rows: [ours.decode(row) for row in rows]  # type: ignore[attr-defined]
    if name == "tiktoken":
        encoding = ours._engine._library  # type: ignore[attr-defined] - the same ids over the same library
        return lambda rows: [encoding.decode(row) for row in rows]
    from tokenizers import Tokenizer

    library = Tokenizer.from_file(str(folder / "ours" / "tokenizer.json"))
    if name == "library, batch":
        return lambda rows: list(library.decode_batch(rows))
    return lambda rows: [library.decode(row) for row in rows]


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
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments)
        return 0
    environ = {"RAYON_NUM_THREADS": "2", "TOKENIZERS_PARALLELISM": "true"}
    with tempfile.TemporaryDirectory() as folder:
        corpus.make_tokenizers(Path(folder), vocab_size=arguments.vocab_size, num_mb=arguments.train_mb)
        sizes = ["--mb", str(arguments.mb), "--train-mb", str(arguments.train_mb), "--folder", folder]
        commands = {name: [sys.executable, __file__, "--child", name, *sizes] for name in NAMES}
        cases = [Case(name, command, environ) for name, command in commands.items()]
        found = measure(cases, rounds=arguments.rounds)
    rates = {name: summarise(samples, "mb_per_s") for name, samples in found.items()}
    same = all(sample.numbers["same"] for samples in found.values() for sample in samples)
    peer = rates["library, batch"].median
    lines = ["| case | MB/s | x library |", "|---|---|---|"]
    lines += [f"| {name} | {rate} | {rate.median / peer:.2f} |" for name, rate in rates.items()]
    holds = same and rates["codex"].median >= BAR * peer
    lines += [
        "",
        f"texts of all cases are {'those that were encoded' if same else 'NOT those that were encoded'}",
    ]
    lines.append(f"bar: codex at least {BAR} x the library: {'holds' if holds else 'MISSED'}")
    texts = corpus.documents(arguments.mb, skip_mb=arguments.train_mb)
    facts = {
        "corpus": f"{len(texts)} documents, {corpus.megabytes(texts):.1f} MB, sha256 {corpus.digest(texts)}..."
    }
    text = report("Decoding", argv=sys.argv, lines=lines, facts=facts)
    print(text)
    if arguments.output:
        arguments.output.write_text(text)
    return 0 if holds else 1


if __name__ == "__main__":
    raise SystemExit(main())
