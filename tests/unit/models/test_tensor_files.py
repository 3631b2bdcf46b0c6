"""Tensor files: the library's bytes, without its copies, with a digest; and back into the same memory."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save

from codex_core.canonical import file_digest
from codex_core.errors import ArtefactError
from codex_models.staging import HostCopies, fits, free_bytes, staging_bytes
from codex_models.tensor_files import places, read_into, write_tensors

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64, torch.int64, torch.int32, torch.int16,
          torch.int8, torch.uint8, torch.bool]  # fmt: skip


def tensor(shape, dtype, seed=0):
    """Values of any bit pattern."""
    generator = torch.Generator().manual_seed(seed)
    num_bytes = int(torch.Size(shape).numel()) * torch.empty(0, dtype=dtype).element_size()
    raw = torch.randint(0, 2 if dtype == torch.bool else 256, (num_bytes,), generator=generator)
    return raw.to(torch.uint8).view(dtype).reshape(shape) if num_bytes else torch.empty(shape, dtype=dtype)


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=12),
        st.tuples(st.lists(st.integers(0, 4), max_size=3), st.sampled_from(DTYPES)),
        max_size=6,
    )
)
def test_bytes_are_those_of_the_library(tmp_path_factory, shapes):
    """For any names, shapes and dtypes the file equals what safetensors writes, and the digest is the file's."""
    held = {name: tensor(shape, dtype) for name, (shape, dtype) in shapes.items()}
    path = tmp_path_factory.mktemp("tensors") / "held.safetensors"

    digest = write_tensors(path, held)

    assert path.read_bytes() == save(held, metadata={"format": "pt"})
    assert digest == file_digest(path, "blake3")


def test_what_was_written_comes_back_into_the_same_memory(tmp_path):
    """Reading fills the given tensors, views of other layouts included, and gives every bit back."""
    path = tmp_path / "held.safetensors"
    held = {"a": tensor((300, 700), torch.float32), "b": tensor((5,), torch.bfloat16, 1)}
    write_tensors(path, held)
    target = {"a": torch.zeros(700, 300).t(), "b": torch.zeros(5, dtype=torch.bfloat16)}
    addresses = {name: value.data_ptr() for name, value in target.items()}

    read_into(path, target)

    assert {name: value.data_ptr() for name, value in target.items()} == addresses
    assert torch.equal(target["a"].contiguous().view(torch.int32), held["a"].view(torch.int32))
    assert torch.equal(target["b"].view(torch.int16), held["b"].view(torch.int16))


def test_a_view_is_written_as_its_values(tmp_path):
    """A transposed or sliced tensor is stored by its own values, not by the memory behind it."""
    path, whole = tmp_path / "held.safetensors", torch.arange(12.0).reshape(3, 4)

    write_tensors(path, {"turned": whole.t(), "part": whole[1:, :2]})

    found = load_file(path)
    assert torch.equal(found["turned"], whole.t()) and torch.equal(found["part"], whole[1:, :2])


def test_unknown_dtypes_are_refused_before_a_byte_is_written(tmp_path):
    """What the reader would not know is no file."""
    path = tmp_path / "held.safetensors"

    with pytest.raises(ValueError, match="complex64"):
        write_tensors(path, {"a": torch.zeros(2, dtype=torch.complex64)})

    assert not path.exists()


@pytest.mark.parametrize("harm", ["missing", "empty", "cut", "longer", "header"])
def test_damaged_files_are_refused(tmp_path, harm):
    """A file that is missing, cut, longer or has another header is an artefact error that names it."""
    path = tmp_path / "held.safetensors"
    write_tensors(path, {"a": torch.arange(6.0)})
    data = path.read_bytes()
    if harm == "missing":
        path.unlink()
    else:
        spoiled = {"empty": b"", "cut": data[:-1], "longer": data + b"x", "header": b"\xff" * 8 + data[8:]}
        path.write_bytes(spoiled[harm])

    with pytest.raises(ArtefactError) as raised:
        places(path)

    assert raised.value.code == "MOD-001" and str(path) == raised.value.where


def test_copies_stay_when_the_training_goes_on():
    """A copy keeps the values of its moment; the next one is taken into the same memory."""
    copies, weight = HostCopies(), torch.zeros(3, requires_grad=True)
    taken = copies.take({"weight": weight}, "weights")
    with torch.no_grad():
        weight += 1

    assert taken["weight"].tolist() == [0, 0, 0] and not taken["weight"].requires_grad
    again = copies.take({"weight": weight}, "weights")
    assert again["weight"].data_ptr() == taken["weight"].data_ptr() and again["weight"].tolist() == [1, 1, 1]


def test_copies_need_room(tmp_path):
    """Half of the free memory may be taken; where nobody tells how much is free, the copies are tried."""
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9 kB\nMemAvailable:       8 kB\n")

    assert free_bytes(meminfo) == 8192
    assert fits(4096, meminfo=meminfo) and not fits(4097, meminfo=meminfo)
    assert fits(1 << 60, meminfo=tmp_path / "none")
    assert staging_bytes([torch.zeros(10)], has_average=True) == 160
