"""A corpus of English and code out of the files of this machine, and a tokenizer of 8,192 ids learned from it.

    python bench/corpus.py --out FOLDER --mb 100

Text files below the documentation and the Python installation, in sorted order: valid UTF-8 only, at most 64 KiB of
each, no file twice, cut at line ends into documents of at most 8 KiB, shuffled by a fixed seed, cut at `--mb`. What
comes out depends on what is installed: quote the digest that is printed. FOLDER then has `corpus.jsonl` (`{"text":
...}`) and `tokenizer/`, whose `tokenizer.json` the peers read, so that all encode alike.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import random
import sysconfig
from collections.abc import Iterator
from pathlib import Path

SUFFIXES = {"", ".gz", ".html", ".md", ".pm", ".pod", ".py", ".rst", ".txt"}
FILE_CHARACTERS, DOCUMENT_CHARACTERS = 64 << 10, 8 << 10
LEARNED_BYTES = 20_000_000


def roots() -> list[Path]:
    """Where this machine has text."""
    paths = sysconfig.get_paths()
    places = ["/usr/share/doc", "/usr/share/man", "/usr/share/common-licenses", "/usr/share/perl"]
    return [Path(place) for place in (*places, paths["stdlib"], paths["purelib"])]


def texts() -> Iterator[str]:
    """The texts of all files, each once."""
    seen = set()
    for root in roots():
        for path in sorted(root.rglob("*")):
            if path.suffix not in SUFFIXES or path.is_symlink() or not path.is_file():
                continue
            try:
                with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
                    data = file.read(4_000_000)
                text = data.decode()
            except (OSError, EOFError, UnicodeDecodeError):
                continue
            digest = hashlib.sha256(data).digest()
            if 200 <= len(text) <= 2_000_000 and "\0" not in text and digest not in seen:
                seen.add(digest)
                yield text[:FILE_CHARACTERS]


def documents(text: str) -> Iterator[str]:
    """Pieces of at most 8 KiB that end at line ends."""
    held: list[str] = []
    for line in text.splitlines(keepends=True):
        if held and sum(map(len, held)) + len(line) > DOCUMENT_CHARACTERS:
            yield "".join(held)
            held = []
        held.append(line[:4096])
    if held:
        yield "".join(held)


def write(folder: Path, num_bytes: int) -> dict[str, object]:
    """Write `corpus.jsonl`; returns what there is to quote."""
    found = [document for text in texts() for document in documents(text) if len(document) > 100]
    random.Random(1234).shuffle(found)
    digest, total, count = hashlib.sha256(), 0, 0
    with (folder / "corpus.jsonl").open("wb") as file:
        for document in found:
            line = json.dumps({"text": document}, ensure_ascii=False).encode() + b"\n"
            if total + len(document.encode()) > num_bytes:
                break
            file.write(line)
            digest.update(line)
            total += len(document.encode())
            count += 1
    size = (folder / "corpus.jsonl").stat().st_size
    return {"documents": count, "bytes": total, "jsonl_bytes": size, "sha256": digest.hexdigest()}


def learn(folder: Path) -> None:
    """Learn the tokenizer from the first documents."""
    from codex_tokenizers.bpe import BPE
    from codex_tokenizers.options import BPEOptions

    held, size = [], 0
    with (folder / "corpus.jsonl").open(encoding="utf-8") as file:
        for line in file:
            held.append(json.loads(line)["text"])
            size += len(held[-1])
            if size > LEARNED_BYTES:
                break
    (folder / "tokenizer").mkdir()
    BPE.train(held, BPEOptions(vocab_size=8192), seed=0).save(folder / "tokenizer")


def obtain(folder: Path, *, mb: float) -> dict[str, object]:
    """The corpus in `folder`, made if it is not there."""
    facts = folder / "facts.json"
    if not facts.exists():
        folder.mkdir(parents=True, exist_ok=True)
        made = write(folder, int(mb * 1e6))
        learn(folder)
        facts.write_text(json.dumps(made))
    found: dict[str, object] = json.loads(facts.read_text())
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--mb", type=float, default=100.0)
    asked = parser.parse_args()
    print(json.dumps(obtain(asked.out, mb=asked.mb)))
