"""What must not depend on the process: fingerprints on threads and hash seeds, encoding on forks."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

LEARN = """
import pydoc_data.topics
from codex_tokenizers.bpe import BPE
from codex_tokenizers.options import BPEOptions
texts = [pydoc_data.topics.topics[name] for name in sorted(pydoc_data.topics.topics)[:30]]
print(BPE.train(texts, BPEOptions(vocab_size=1500), seed=0).fingerprint())
"""

#: Learns each kind from files, whole or split in two and in another order of documents, and prints its files' digests.
KINDS = """
import pydoc_data.topics, sys, tempfile
from pathlib import Path
from codex_core.canonical import file_digest
from codex_tokenizers.corpus import Corpus
from codex_tokenizers.options import BPEOptions, SentencePieceOptions, WhitespaceOptions
from codex_tokenizers.bpe import BPE
from codex_tokenizers.whitespace import Whitespace
kinds = [(BPE, BPEOptions(vocab_size=900)), (Whitespace, WhitespaceOptions(vocab_size=900))]
try:
    from codex_tokenizers.sentencepieces import SentencePiece
    kinds += [(SentencePiece, SentencePieceOptions(vocab_size=700, model=model)) for model in ("unigram", "bpe")]
except ModuleNotFoundError:
    pass
lines = "".join(pydoc_data.topics.topics[name] for name in sorted(pydoc_data.topics.topics)[:20]).splitlines(True)
if not lines[-1].endswith("\\n"):
    lines[-1] += "\\n"
folder = Path(tempfile.mkdtemp())
cuts = [0, *map(int, sys.argv[1:]), len(lines)]
paths = []
for number, (start, end) in enumerate(zip(cuts, cuts[1:])):
    paths.append((str(number), folder / f"{number}.txt"))
    paths[-1][1].write_text("".join(lines[start:end]))
for cls, options in kinds:
    out = folder / f"out-{cls.__name__}-{getattr(options, 'model', '')}"
    out.mkdir()
    cls.train(iter(Corpus(paths, chunk_bytes=len(cuts) * 999)), options, seed=0).save(out)
    print(cls.__name__, *(f"{path.name}={file_digest(path)}" for path in sorted(out.iterdir())))
"""

FORK = """
import os
from codex_tokenizers.bpe import BPE
from codex_tokenizers.options import BPEOptions
bpe = BPE.train(["some text to fork with " * 50] * 200, BPEOptions(vocab_size=280), seed=0)
expected = bpe.encode_many(["some text"] * 200)
before = os.environ["TOKENIZERS_PARALLELISM"]
child = os.fork()
if child == 0:
    os._exit(0 if bpe.encode_many(["some text"] * 200) == expected else 1)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(status, before == os.environ["TOKENIZERS_PARALLELISM"])
"""


def run(code: str, *arguments: str, **environment: str) -> str:
    """Run code in a fresh interpreter; a hang of a minute fails."""
    completed = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return completed.stdout.strip()


def test_learning_is_equal_on_any_threads_and_hash_seed():
    """Two processes with other hash seeds and other thread counts learn the same tokenizer."""
    one = run(LEARN, PYTHONHASHSEED="1", RAYON_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")
    many = run(LEARN, PYTHONHASHSEED="2", RAYON_NUM_THREADS="4", TOKENIZERS_PARALLELISM="true")

    assert one == many
    assert one.startswith("sha256:")


@pytest.mark.slow
def test_every_kind_learns_the_same_bytes_whatever_the_process(tmp_path):
    """Threads, hash seed, locale, reading size and the split into files change no byte of any kind's artefact."""
    one = run(
        KINDS, PYTHONHASHSEED="1", RAYON_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", OMP_NUM_THREADS="1"
    )
    many = run(
        KINDS, "7", "8", "300", PYTHONHASHSEED="2", RAYON_NUM_THREADS="4", TOKENIZERS_PARALLELISM="true",
        OMP_NUM_THREADS="4",
    )  # fmt: skip

    assert one == many
    assert one.count("codex-tokenizer.json=sha256:") >= 2


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="runs on Linux only")
def test_a_forked_child_encodes_even_when_threads_are_forced():
    """A child has none of its parent's threads; told to use them it must not wait for ever."""
    assert run(FORK, TOKENIZERS_PARALLELISM="true") == "0 True"


def test_import_touches_neither_environment_nor_threads():
    """Loading the tokenizer changes no variable and starts no thread; describing it does not load the library."""
    code = """
import os, sys, threading
before = dict(os.environ)
import codex_tokenizers.plugin
assert "tokenizers" not in sys.modules
import codex_tokenizers.bpe
print(before == dict(os.environ), threading.active_count())
"""
    assert run(code) == "True 1"
