"""The texts of a Jupyter notebook, cell by cell, outputs and metadata included.

Decision: every string of the file belongs to some part, so that nothing in it goes unsearched; the strings of a
list are one text, which is how notebooks hold lines.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

#: A notebook is read whole; larger ones are reported as not searched.
NOTEBOOK_LIMIT_BYTES = 256 << 20


def parts_of(data: bytes) -> Iterator[tuple[str, str]]:
    """Names (`cell-3`, `cell-3-output`, `cell-3-metadata`, `metadata`) and texts; `ValueError` for other files."""
    try:
        notebook = json.loads(data)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        raise ValueError("it has no cells")
    for number, cell in enumerate(notebook["cells"], start=1):
        if not isinstance(cell, dict):
            raise ValueError(f"cell {number} is no object")
        rest = {key: value for key, value in cell.items() if key not in ("source", "outputs")}
        for name, value in (("", cell.get("source")), ("-output", cell.get("outputs")), ("-metadata", rest)):
            yield from ((f"cell-{number}{name}", text) for text in _texts(value))
    rest = {key: value for key, value in notebook.items() if key != "cells"}
    yield from (("metadata", text) for text in _texts(rest))


def _texts(value: Any) -> Iterator[str]:
    """All strings below a value, those of one list of strings joined; members of an object as `key: value`."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        if value and all(isinstance(item, str) for item in value):
            yield "".join(value)
        else:
            for item in value:
                yield from _texts(item)
    elif isinstance(value, dict):
        for key, held in value.items():
            if isinstance(held, str):
                yield f'"{key}": "{held}"'
            else:
                yield key
                yield from _texts(held)
