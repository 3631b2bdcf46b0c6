"""A tiny corpus for the tests of plugins, with files that a strict reader must refuse."""

from __future__ import annotations

import json
from pathlib import Path

#: Documents with what readers stumble over: no line end, wide characters, quotes, a look-alike of a special token.
TEXTS = (
    "The quick brown fox jumps over the lazy dog.",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich.",
    'A "quoted", comma-separated, \ttabbed line with \\ and </s>',
    "日本語 and العربية, \U0001f469\u200d\U0001f680",
    "x = {'a': 1}\nfor key in x:\n    print(key)",
)

#: Name -> bytes that are no valid file of its suffix.
BAD: dict[str, bytes] = {
    "latin-1.txt": "Übermut\n".encode("latin-1"),
    "cut-character.txt": "fine\nÜber".encode()[:-3],
    "cut-row.jsonl": b'{"text": "fine"}\n{"text": "cu',
    "no-object.jsonl": b'{"text": "fine"}\n["not", "an", "object"]\n',
    "surrogate.jsonl": b'{"text": "\\ud800"}\n',
}


def write(folder: Path) -> None:
    """Make `folder`: `plain.txt` with blank lines between documents, `rows.jsonl`, and the files of `BAD` in `bad/`."""
    bad = folder / "bad"
    bad.mkdir(parents=True)
    (folder / "plain.txt").write_text("\n\n".join(TEXTS) + "\n", encoding="utf-8")
    rows = [json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in TEXTS]
    (folder / "rows.jsonl").write_text("".join(rows), encoding="utf-8")
    for name, content in BAD.items():
        (bad / name).write_bytes(content)
