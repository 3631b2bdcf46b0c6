"""What the conformance suites try the datasets of this room with."""

from __future__ import annotations

import gzip
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_ROWS = b'{"text": "first"}\n{"text": "second, \xc3\xa9"}\n'


def examples(folder: Path) -> dict[str, dict[str, Any]]:
    """Examples by `kind/name`; their files are written into the empty `folder`."""
    (folder / "tree" / "b").mkdir(parents=True)
    for name, content in {
        "plain.txt": "first\n\nsecond, é\n".encode(),
        "latin-1.txt": "Übermut\n".encode("latin-1"),
        "rows.jsonl": _ROWS,
        "cut.jsonl": b'{"text": "first"}\n{"text": "sec',
        "cut.jsonl.gz": gzip.compress(_ROWS)[:-9],
        "rows.csv": b'text,n\n"first, or\nnot",1\nsecond,2\n',
        "uneven.csv": b"text,n\nfirst,1,2\n",
        "tree/a.txt": b"first\n",
        "tree/b/c.py": b"pass\n",
        "tree/.hidden": b"\0",
    }.items():
        (folder / name).write_bytes(content)
    return {
        "datasets/pydoc": {"options": {"docstrings": False}, "most": 60},
        "datasets/text": _example(folder, "plain.txt", "latin-1.txt", document="paragraph"),
        "datasets/jsonl": _example(folder, "rows.jsonl", "cut.jsonl", "cut.jsonl.gz"),
        "datasets/csv": _example(folder, "rows.csv", "uneven.csv"),
        "datasets/directory": {
            "options": {"path": str(folder / "tree")},
            "refused": [{"path": str(folder / "tree"), "exclude": ["*.txt"]}],
        },
        **(_arrow_examples(folder) if find_spec("pyarrow") else {}),
    }


def _example(folder: Path, good: str, *bad: str, **options: Any) -> dict[str, Any]:
    return {
        "options": {"path": str(folder / good), **options},
        "refused": [{"path": str(folder / name), **options} for name in bad],
    }


def _arrow_examples(folder: Path) -> dict[str, dict[str, Any]]:
    import pyarrow  # optional, and asked for only where it is
    import pyarrow.parquet as pq

    saved = folder / "saved"
    saved.mkdir()
    for name, texts in (("rows", ["first", "second, é"]), ("null", ["first", None])):
        table = pyarrow.table({"text": pyarrow.array(texts, pyarrow.string())})
        pq.write_table(table, folder / f"{name}.parquet")
        with pyarrow.ipc.new_stream(str(saved / f"{name}.arrow"), table.schema) as stream:
            stream.write_table(table)
    (saved / "state.json").write_text('{"_data_files": [{"filename": "rows.arrow"}]}')
    (folder / "lost").mkdir()
    (folder / "lost" / "state.json").write_text('{"_data_files": [{"filename": "none.arrow"}]}')
    return {
        "datasets/parquet": _example(folder, "rows.parquet", "null.parquet", "plain.txt"),
        "datasets/hf-saved": _example(folder, "saved", "lost"),
    }
