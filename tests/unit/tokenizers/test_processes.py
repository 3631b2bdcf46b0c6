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


def run(code: str, **environment: str) -> str:
    """Run code in a fresh interpreter; a hang of a minute fails."""
    completed = subprocess.run(
        [sys.executable, "-c", code],
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
