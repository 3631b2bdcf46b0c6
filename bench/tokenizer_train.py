"""What learning byte-level BPE costs: ours, by a recipe from files, beside the library from memory or from files.

    python bench/tokenizer_train.py                         50 MB, 8,192 ids, three rounds
    python bench/tokenizer_train.py --mb 4 --rounds 1       a quick look

Decisions: one process per sample, cases in turns; the corpus is text files of about 1 MB, written before; ours reads,
checks, hashes and cuts them, learns, saves and writes the manifest. `library` learns from the same text as a list of
documents in memory, as its users do and as the reference was measured, its reading not timed; the two others learn
from the files, with the library's pattern and with ours, which keeps more words apart. Time is that of the work
without the start of Python, memory the peak of the process.

The bar: at most 1.1 times time and memory of the library. The exit code is 0 when it holds.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

BENCH = Path(__file__).resolve().parent
sys.path.insert(0, str(BENCH))

import tokenizer_corpus as corpus  # noqa: E402 - the folder of this file
from alternating import Case, measure, report, summarise  # noqa: E402 - the folder of this file

BAR = 1.1
NAMES = ("library", "library, from files", "library, from files, our pattern", "codex")
FILE_MB = 1.0


def write_corpus(folder: Path, num_mb: float) -> str:
    """Text files of about 1 MB each; returns the digest of the text."""
    texts = corpus.documents(num_mb)
    held: list[str] = []
    number = 0
    for text in [*texts, None]:
        if text is not None:
            held.append(text if text.endswith("\n") else text + "\n")
        if held and (text is None or sum(map(len, held)) >= FILE_MB * 1e6):
            (folder / f"{number:05}.txt").write_text("".join(held), encoding="utf-8")
            held, number = [], number + 1
    return f"{len(texts)} documents, {corpus.megabytes(texts):.1f} MB, sha256 {corpus.digest(texts)}..."


def codex(folder: Path, out: Path, vocab_size: int) -> None:
    """A recipe over the files, as `codex tokenizer train` works on it."""
    from codex_tokenizers import recipe, training
    from codex_tokenizers.bpe import BPE
    from codex_tokenizers.options import BPEOptions

    options = BPEOptions(vocab_size=vocab_size)
    wanted = recipe.Recipe(
        base=folder,
        out=out,
        patterns=("*.txt",),
        field="text",
        seed=0,
        id="codex-tokenizers/bpe",
        target=BPE,
        options=options,
        written={"vocab_size": vocab_size},
    )
    training.train(wanted)


def library(folder: Path, out: Path, vocab_size: int, *, kind: str) -> float:
    """The library's trainer over the same text; returns when its work began."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    from codex_tokenizers import engines

    tokenizer = engines.pipeline(models.BPE()) if "our" in kind else Tokenizer(models.BPE())
    if "our" not in kind:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, show_progress=False, initial_alphabet=alphabet, min_frequency=2
    )
    paths = sorted(folder.glob("*.txt"))
    if "files" in kind:
        began = time.perf_counter()
        tokenizer.train([str(path) for path in paths], trainer)
    else:
        size = corpus.DOCUMENT_CHARACTERS
        texts = [path.read_text(encoding="utf-8") for path in paths]
        documents = [text[start : start + size] for text in texts for start in range(0, len(text), size)]
        del texts
        began = time.perf_counter()
        tokenizer.train_from_iterator(documents, trainer, length=len(documents))
    tokenizer.save(str(out))
    return began


def child(arguments: argparse.Namespace) -> None:
    """Measure one case and print its numbers."""
    folder = Path(arguments.folder)
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "out"
        began = time.perf_counter()
        if arguments.child == "codex":
            codex(folder, out, arguments.vocab_size)
        else:
            began = library(folder, out, arguments.vocab_size, kind=arguments.child)
        seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "peak_mib": peak}))


def main() -> int:
    """Measure, print the table, and tell whether the bar holds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mb", type=float, default=50.0)
    parser.add_argument("--vocab-size", type=int, default=8192)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments)
        return 0
    environ = {"RAYON_NUM_THREADS": "2", "TOKENIZERS_PARALLELISM": "true"}
    with tempfile.TemporaryDirectory() as folder:
        facts = {"corpus": write_corpus(Path(folder), arguments.mb), "vocabulary": arguments.vocab_size}
        sizes = ["--vocab-size", str(arguments.vocab_size), "--folder", folder]
        commands = {name: [sys.executable, __file__, "--child", name, *sizes] for name in NAMES}
        cases = [Case(name, command, environ) for name, command in commands.items()]
        found = measure(cases, rounds=arguments.rounds)
    numbers = {
        name: [summarise(samples, key, higher_is_better=False) for key in ("seconds", "peak_mib")]
        for name, samples in found.items()
    }
    lines = ["| case | seconds | x library | peak MiB | x library |", "|---|---|---|---|---|"]
    peer = numbers["library"]
    ratios = {
        name: [one.median / other.median for one, other in zip(both, peer, strict=True)]
        for name, both in numbers.items()
    }
    for name, (seconds, peak) in numbers.items():
        lines.append(f"| {name} | {seconds} | {ratios[name][0]:.2f} | {peak} | {ratios[name][1]:.2f} |")
    holds = max(ratios["codex"]) <= BAR
    lines += ["", f"bar: codex at most {BAR} x time and memory: {'holds' if holds else 'MISSED'}"]
    text = report("Learning BPE", argv=sys.argv, lines=lines, facts=facts)
    print(text)
    if arguments.output:
        arguments.output.write_text(text)
    return 0 if holds else 1


if __name__ == "__main__":
    raise SystemExit(main())
