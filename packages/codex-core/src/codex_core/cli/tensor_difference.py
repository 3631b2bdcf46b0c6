"""How two tensor files differ, bit by bit, read without torch.

Decisions: equal means equal bytes, so NaN equals the same NaN and 0.0 differs from -0.0; the size of a difference is
told for numbers, in double precision; tensors are compared a piece at a time, so files may be larger than memory.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

_PIECE_VALUES = 1 << 22

_DTYPES: Mapping[str, Any] = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": np.uint16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U64": np.uint64,
    "U32": np.uint32,
    "U16": np.uint16,
    "U8": np.uint8,
    "BOOL": np.uint8,
}


@attrs.frozen(kw_only=True)
class TensorDifference:
    """A tensor that differs: why, how many of its values do, and by how much at most (None when not comparable)."""

    file: str
    name: str
    why: str
    num_different: int | None = None
    num_values: int | None = None
    largest: float | None = None


def compare_files(file: str, first: Path, second: Path) -> tuple[int, list[TensorDifference]]:
    """How many tensors two files hold in all, and those that differ, by name."""
    one, other = _header(first), _header(second)
    names = sorted(one.keys() | other.keys())
    found = [_compare(file, name, (first, one), (second, other)) for name in names]
    return len(names), [difference for difference in found if difference is not None]


_File = tuple[Path, dict[str, Any]]


def _compare(file: str, name: str, first: _File, second: _File) -> TensorDifference | None:
    held, other = first[1].get(name), second[1].get(name)
    if held is None or other is None:
        return TensorDifference(
            file=file, name=name, why=f"only in the {'second' if held is None else 'first'}"
        )
    for key in ("dtype", "shape"):
        if held[key] != other[key]:
            why = f"{key} {_shown(held[key])} and {_shown(other[key])}"
            return TensorDifference(file=file, name=name, why=why)
    num_different, largest = 0, 0.0
    for one, two in zip(_pieces(first[0], held), _pieces(second[0], other), strict=True):
        if np.array_equal(one, two):
            continue
        values = [_values(piece, held["dtype"]) for piece in (one, two)]
        num_different += int(np.count_nonzero(_bits(one, held["dtype"]) != _bits(two, held["dtype"])))
        largest = _larger(largest, *values)
    if not num_different:
        return None
    return TensorDifference(
        file=file,
        name=name,
        why="values",
        num_different=num_different,
        num_values=math.prod(held["shape"]),
        largest=largest,
    )


def _header(path: Path) -> dict[str, Any]:
    """Names with dtype, shape and bytes; the file has verified, so its header is what was written."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header: dict[str, Any] = json.loads(file.read(size))
    header.pop("__metadata__", None)
    return {name: {**held, "start": 8 + size + held["data_offsets"][0]} for name, held in header.items()}


def _pieces(path: Path, held: Mapping[str, Any]) -> Iterator[NDArray[np.uint8]]:
    start, length = held["start"], held["data_offsets"][1] - held["data_offsets"][0]
    if not length:
        return
    data = np.memmap(path, dtype=np.uint8, mode="r", offset=start, shape=(length,))
    step = _PIECE_VALUES * np.dtype(_DTYPES.get(held["dtype"], np.uint8)).itemsize
    for at in range(0, length, step):
        yield data[at : at + step]


def _bits(piece: NDArray[np.uint8], dtype: str) -> NDArray[Any]:
    """Values as whole numbers of the same width, which are equal exactly when the bits are."""
    width = np.dtype(_DTYPES.get(dtype, np.uint8)).itemsize
    return np.ascontiguousarray(piece).view(f"u{width}")


def _values(piece: NDArray[np.uint8], dtype: str) -> NDArray[np.float64]:
    raw = np.ascontiguousarray(piece).view(_DTYPES.get(dtype, np.uint8))
    if dtype == "BF16":
        raw = (raw.astype(np.uint32) << 16).view(np.float32)
    values: NDArray[np.float64] = raw.astype(np.float64)
    return values


def _larger(largest: float, one: NDArray[np.float64], two: NDArray[np.float64]) -> float:
    with np.errstate(invalid="ignore"):
        distances = np.abs(one - two)
    finite = distances[np.isfinite(distances)]
    return max(largest, float(finite.max())) if len(finite) else largest


def _shown(value: Any) -> str:
    return "x".join(map(str, value)) or "scalar" if isinstance(value, list) else str(value)
