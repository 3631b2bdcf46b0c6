"""What the conformance suites try the datasets of this room with."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def examples(folder: Path) -> dict[str, dict[str, Any]]:
    """Examples by `kind/name`; their files are written into the empty `folder`."""
    for name, content in {
        "plain.txt": "first\n\nsecond, é\n".encode(),
        "latin-1.txt": "Übermut\n".encode("latin-1"),
        "rows.jsonl": '{"text": "first"}\n{"text": "second, é"}\n'.encode(),
        "cut.jsonl": b'{"text": "first"}\n{"text": "sec',
    }.items():
        (folder / name).write_bytes(content)
    return {
        "datasets/pydoc": {"options": {"docstrings": False}, "most": 60},
        "datasets/text": {
            "options": {"path": str(folder / "plain.txt"), "document": "paragraph"},
            "refused": [{"path": str(folder / "latin-1.txt")}],
        },
        "datasets/jsonl": {
            "options": {"path": str(folder / "rows.jsonl")},
            "refused": [{"path": str(folder / "cut.jsonl")}],
        },
    }
