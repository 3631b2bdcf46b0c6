"""Folders of installed distributions to measure with: each offers one tokenizer, and weighs next to nothing.

Decision: metadata, modules and byte code lie there as after an installation; nothing is installed.
"""

from __future__ import annotations

import compileall
from pathlib import Path

PLUGIN = """
from codex_core import Component, hookimpl

CODEX_API = (1, 0)


@hookimpl
def codex_tokenizers():
    return [Component("tok-{n:04}", target="bench_{n:04}.tokenizer:Tokenizer", summary="number {n} of many")]
"""

TOKENIZER = '''
class Tokenizer:
    """Looks like a tokenizer."""

    @classmethod
    def train(cls, texts, options, *, seed):
        return cls()

    @classmethod
    def load(cls, folder):
        return cls()
'''

RECORD = """bench_{n:04}/__init__.py,,
bench_{n:04}/plugin.py,,
bench_{n:04}/tokenizer.py,,
"""


def install(folder: Path, count: int) -> Path:
    """Write `count` distributions into the new folder `folder`; returns it."""
    for n in range(count):
        package = folder / f"bench_{n:04}"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "plugin.py").write_text(PLUGIN.format(n=n))
        (package / "tokenizer.py").write_text(TOKENIZER)
        metadata = folder / f"bench_{n:04}-1.0.dist-info"
        metadata.mkdir()
        headers = f"Metadata-Version: 2.1\nName: bench-{n:04}\nVersion: 1.0\nRequires-Dist: codex-core>=1.0\n"
        (metadata / "METADATA").write_text(headers)
        (metadata / "entry_points.txt").write_text(f"[codex.plugins]\nplugin = bench_{n:04}.plugin\n")
        (metadata / "RECORD").write_text(RECORD.format(n=n))
    compileall.compile_dir(folder, quiet=1)
    return folder
