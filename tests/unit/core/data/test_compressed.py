"""Compressed inputs."""

from __future__ import annotations

import gzip
import json
import sys
from itertools import pairwise

import pytest

from codex_core.data.compressed import compression_of, opened
from codex_core.data.jsonl import JsonlDataset
from codex_core.data.options import JsonlOptions
from codex_core.errors import InputError, MissingDependency

ROWS = b"".join(json.dumps({"text": f"row number {i} {i * i}"}).encode() + b"\n" for i in range(3000))


def zstd(data: bytes) -> bytes:
    return pytest.importorskip("zstandard").ZstdCompressor(write_checksum=True).compress(data)


PACKERS = {"gzip": gzip.compress, "zstd": zstd}


def texts(path, **options):
    """The texts of a file, whatever its name says."""
    return [record.text for record in JsonlDataset(JsonlOptions(path=str(path), **options)).records()]


@pytest.mark.parametrize("kind", PACKERS)
@pytest.mark.parametrize("pieces", [1, 3])
def test_compressed_rows_are_those_of_the_plain_file(tmp_path, kind, pieces):
    """The first bytes decide; several streams in one file follow each other."""
    (tmp_path / "plain").write_bytes(ROWS)
    cuts = [len(ROWS) * i // pieces for i in range(pieces + 1)]
    packed = b"".join(PACKERS[kind](ROWS[a:b]) for a, b in pairwise(cuts))
    (tmp_path / "rows.jsonl").write_bytes(packed)

    assert compression_of(tmp_path / "rows.jsonl") == kind
    assert texts(tmp_path / "rows.jsonl") == texts(tmp_path / "plain")


@pytest.mark.parametrize("kind", PACKERS)
@pytest.mark.parametrize("lost", [1, 9, 2000])
@pytest.mark.parametrize("on_error", ["fail", "skip"])
def test_a_stream_that_is_cut_short_is_refused(tmp_path, kind, lost, on_error):
    """However many bytes are missing at the end, and whether or not rows are skipped: an error of the file."""
    (tmp_path / "rows").write_bytes(PACKERS[kind](ROWS)[:-lost])

    with pytest.raises(InputError) as caught:
        texts(tmp_path / "rows", on_error=on_error)

    assert (caught.value.code, caught.value.where) == ("DAT-019", str(tmp_path / "rows"))


@pytest.mark.parametrize("kind", PACKERS)
def test_a_changed_byte_is_found(tmp_path, kind):
    """Damage within the stream is an error of the file, or of the checksum at its end."""
    packed = bytearray(PACKERS[kind](ROWS))
    packed[-3] ^= 1
    (tmp_path / "rows").write_bytes(packed)

    with pytest.raises(InputError) as caught:
        texts(tmp_path / "rows")

    assert caught.value.code == "DAT-019"


@pytest.mark.parametrize("kind", PACKERS)
def test_expansion_is_bounded(tmp_path, kind):
    """A file of little that expands to much ends early; a higher limit lets it through."""
    (tmp_path / "rows").write_bytes(PACKERS[kind](b" " * 8_000_000))

    read = 0
    with pytest.raises(InputError) as caught, opened(tmp_path / "rows", max_expansion=100) as stream:
        while block := stream.read(1 << 16):
            read += len(block)
    assert caught.value.code == "DAT-020"
    assert read < 3_000_000, "the limit is met long before the end"
    with opened(tmp_path / "rows", max_expansion=1 << 40) as stream:
        assert sum(map(len, iter(lambda: stream.read(1 << 16), b""))) == 8_000_000


def test_zstd_without_its_library_names_the_extra(tmp_path, monkeypatch):
    """A file that needs zstandard is exit 3 with the line that installs it."""
    (tmp_path / "rows").write_bytes(b"\x28\xb5\x2f\xfd")
    monkeypatch.setitem(sys.modules, "zstandard", None)

    with pytest.raises(MissingDependency) as caught:
        texts(tmp_path / "rows")

    assert (caught.value.code, caught.value.fix) == ("DAT-023", "pip install 'codex-core[zstd]'")
