"""Text of this machine for the tokenizer benchmarks, and two tokenizers learned from it: ours, and the library's own.

Decisions: Python sources, notes and licences of the installation, sorted by name, at most 64 KiB of each, in documents
of about 4 KiB; it depends on what is installed, so results quote its digest. What is encoded was not learned from.
"""

from __future__ import annotations

import hashlib
import json
import sysconfig
from collections.abc import Iterator
from pathlib import Path

SUFFIXES = {".py", ".txt", ".md", ".rst", ".pyi", ".h", ".json"}
MAX_FILE_BYTES = 64 << 10
DOCUMENT_CHARACTERS = 4096


def documents(num_mb: float, *, skip_mb: float = 0.0) -> list[str]:
    """Documents of so many MB in all, behind the first `skip_mb`."""
    found, size, skipped = [], 0, 0
    for text in _cut(_texts()):
        length = len(text.encode())
        if skipped < skip_mb * 1e6:
            skipped += length
            continue
        found.append(text)
        size += length
        if size >= num_mb * 1e6:
            break
    return found


def megabytes(texts: list[str]) -> float:
    """Their size in MB of UTF-8."""
    return sum(len(text.encode()) for text in texts) / 1e6


def digest(texts: list[str]) -> str:
    """What tells one corpus from another, shortened."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def make_tokenizers(folder: Path, *, vocab_size: int, num_mb: float) -> None:
    """Write `ours` (a folder) and `library.json` (the library's own pattern), learned from the same documents."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    from codex_tokenizers.bpe import BPE
    from codex_tokenizers.options import BPEOptions

    texts = documents(num_mb)
    (folder / "ours").mkdir()
    BPE.train(texts, BPEOptions(vocab_size=vocab_size), seed=0).save(folder / "ours")
    library = Tokenizer(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    library.train_from_iterator(texts, trainer)
    library.save(str(folder / "library.json"))


def ids_digest(rows: list[list[int]]) -> str:
    """What tells whether two encoders gave the same ids, shortened."""
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]


def _texts() -> Iterator[str]:
    paths = sysconfig.get_paths()
    for root in dict.fromkeys((paths["stdlib"], paths["purelib"])):
        for path in sorted(Path(root).rglob("*")):
            if path.suffix in SUFFIXES and path.is_file():
                yield path.read_bytes()[:MAX_FILE_BYTES].decode("utf-8", errors="ignore")


def _cut(texts: Iterator[str]) -> Iterator[str]:
    for text in texts:
        for start in range(0, len(text), DOCUMENT_CHARACTERS):
            yield text[start : start + DOCUMENT_CHARACTERS]
