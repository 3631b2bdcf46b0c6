"""Safetensors files written from memory as it lies, and read into memory as it lies.

Decisions: the bytes are those that the safetensors library writes for the same tensors, and are written without a
second copy of them; the digest is computed piece by piece while a piece is still in the processor's cache; reading
goes straight into the tensors that are to hold the values, after the library has checked the file's header.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import blake3
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from codex_core.errors import ArtefactError

#: Names of dtypes in files, in the order in which tensors lie there; within a dtype by name.
_DTYPES = {
    torch.int64: "I64",
    torch.float64: "F64",
    torch.float32: "F32",
    torch.int32: "I32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}

#: Bytes that are written and hashed in turn: they fit into a core's own cache.
_PIECE_BYTES = 1 << 20

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


@attrs.frozen
class Place:
    """Where a tensor lies in a file: dtype by its name in files, shape, and bytes from the start of the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Write tensors by name; returns the file's digest, `blake3:<hex>`.

    Tensors of another device or layout are fetched one by one. Raises `ValueError` for a dtype that files of ours
    do not hold, `OSError` when the disk does.
    """
    ordered = sorted(tensors.items(), key=lambda item: (_rank(item[1].dtype), item[0]))
    header = _header(ordered)
    hasher = blake3.blake3()
    with path.open("wb", buffering=0) as file:
        _reserve(file, len(header) + sum(tensor.nbytes for _, tensor in ordered))
        _write(file, memoryview(header), hasher)
        for _, tensor in ordered:
            _write(file, bytes_of(tensor), hasher)
    return f"blake3:{hasher.hexdigest()}"


def read_into(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Fill tensors from a file that holds exactly these, by name, dtype and shape (see `places`)."""
    found = places(path)
    with path.open("rb", buffering=0) as file:
        for name, tensor in tensors.items():
            place = found[name]
            file.seek(place.start)
            if tensor.device.type == "cpu" and tensor.is_contiguous():
                _fill(file, bytes_of(tensor), path)
            else:
                held = torch.empty(tensor.shape, dtype=tensor.dtype)
                _fill(file, bytes_of(held), path)
                tensor.copy_(held)


def places(path: Path) -> dict[str, Place]:
    """What a file holds and where; raises `ArtefactError` for one that is missing or no safetensors file."""
    try:
        with safe_open(path, framework="pt"):  # checks the header, the offsets and the length of the file
            pass
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header: dict[str, Any] = json.loads(file.read(size))
    except (OSError, SafetensorError, ValueError) as error:
        raise unreadable(path, str(error)) from error
    header.pop("__metadata__", None)
    return {
        name: Place(
            held["dtype"], tuple(held["shape"]), *(8 + size + offset for offset in held["data_offsets"])
        )
        for name, held in header.items()
    }


def bytes_of(tensor: Tensor) -> memoryview:
    """The bytes of a tensor; those of its own memory when it lies together in main memory, else of a copy."""
    held = tensor.detach().to("cpu").contiguous().reshape(-1).view(torch.uint8)
    array: Any = held.numpy()  # numpy types no buffer before Python 3.12
    return memoryview(array)


def unreadable(path: Path, why: str) -> ArtefactError:
    """The error for a file that cannot be read as tensors."""
    return ArtefactError(
        code="MOD-001",
        what="a tensor file cannot be read",
        where=str(path),
        why=why,
        fix="codex checkpoint list",
    )


def _rank(dtype: torch.dtype) -> int:
    if dtype not in _DTYPES:
        raise ValueError(f"tensors of {dtype} cannot be saved; known are {', '.join(map(str, _DTYPES))}")
    return list(_DTYPES).index(dtype)


def _header(ordered: list[tuple[str, Tensor]]) -> bytes:
    """Length and JSON of what follows, filled with spaces to a multiple of eight."""
    content: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    start = 0
    for name, tensor in ordered:
        end = start + tensor.nbytes
        content[name] = {
            "dtype": _DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
        start = end
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _write(file: Any, data: memoryview, hasher: Any) -> None:
    for start in range(0, len(data), _PIECE_BYTES):
        piece = data[start : start + _PIECE_BYTES]
        hasher.update(piece)
        while piece:
            piece = piece[file.write(piece) :]


def _fill(file: Any, data: memoryview, path: Path) -> None:
    while data:
        read = file.readinto(data)
        if not read:
            raise unreadable(path, "the file ended early")
        data = data[read:]


def _reserve(file: Any, size: int) -> None:
    """Ask for the room at once where the file system can, so that a full disk shows before the first byte."""
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except (AttributeError, OSError) as error:
        if isinstance(error, OSError) and error.errno in _DISK_FULL:
            raise
