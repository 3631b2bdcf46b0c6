"""Text files."""

from __future__ import annotations

import pytest

from codex_core.data.options import TextOptions
from codex_core.data.text import TextDataset, paragraphs
from codex_core.errors import InputError
from codex_core.testing.datasets import check_dataset


@pytest.fixture
def folder(tmp_path):
    """Three files, one of them below a folder and one that is not text."""
    (tmp_path / "b.txt").write_bytes("\ufeffone\r\ntwo\n\n\u2028three\n".encode())
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "c.txt").write_text("four\n", encoding="utf-8")
    (tmp_path / "d.bin").write_bytes(b"\xff")
    return tmp_path


@pytest.mark.parametrize("document", ["file", "paragraph"])
def test_it_keeps_the_promises_of_a_dataset(folder, document):
    """The conformance suite of datasets passes for both kinds of documents."""
    check_dataset(TextDataset, TextOptions(path=str(folder), document=document))


def test_a_file_is_one_document(folder):
    """Files come in sorted order, whole, without a byte-order mark, with their line ends."""
    records = list(TextDataset(TextOptions(path=str(folder))).records())

    assert [(record.id, record.text) for record in records] == [
        ("a/c.txt", "four\n"),
        ("b.txt", "one\r\ntwo\n\n\u2028three\n"),
    ]


def test_paragraphs_know_their_line(folder):
    """A paragraph is a run of non-blank lines; lines end at byte 0x0A only."""
    records = list(TextDataset(TextOptions(path=str(folder / "b.txt"), document="paragraph")).records())

    assert [(record.source, record.text) for record in records] == [
        (("b.txt", 1), "one\r\ntwo"),
        (("b.txt", 4), "\u2028three"),
    ]
    assert list(paragraphs([(1, ""), (2, " ")])) == []


def test_identity_does_not_change_when_the_folder_moves(folder):
    """The identity holds relative names and digests only."""
    before = TextDataset(TextOptions(path=str(folder))).identity()
    moved = folder.rename(folder.with_name("moved"))

    assert TextDataset(TextOptions(path=str(moved))).identity() == before


def test_identity_changes_with_a_byte(folder):
    """The same size and the same time, another byte: another identity."""
    dataset = TextDataset(TextOptions(path=str(folder)))
    before = dataset.identity()
    (folder / "a" / "c.txt").write_text("five\n", encoding="utf-8")

    assert dataset.identity() != before


def test_bytes_that_are_no_text_are_refused(folder):
    """The error names file, line and byte."""
    (folder / "b.txt").write_bytes(b"fine\nbad \xff\n")

    with pytest.raises(InputError) as caught:
        list(TextDataset(TextOptions(path=str(folder))).records())

    assert caught.value.code == "DAT-003"
    assert caught.value.where == f"{folder / 'b.txt'}:2"
    assert "0xff" in str(caught.value)


@pytest.mark.parametrize("name", ["missing", "b.txt/inside"])
def test_a_missing_path_is_refused(folder, name):
    """A path that does not exist is an input error with exit code 4."""
    with pytest.raises(InputError) as caught:
        TextDataset(TextOptions(path=str(folder / name))).identity()

    assert (caught.value.code, int(caught.value.exit_code)) == ("DAT-001", 4)


def test_a_folder_without_files_is_refused(folder):
    """A pattern that matches nothing is an input error naming the pattern."""
    with pytest.raises(InputError, match=r"\*\.md"):
        TextDataset(TextOptions(path=str(folder), glob="*.md")).identity()


def test_a_pattern_that_leaves_the_folder_is_refused(folder):
    """An absolute pattern is an input error, not a crash."""
    with pytest.raises(InputError):
        TextDataset(TextOptions(path=str(folder), glob="/etc/*")).identity()


ODD = b"one\ntwo\n\nthree \xff\nfour\n\nfive\n" + b"long" * 9 + b"\n\nsix"


@pytest.mark.parametrize(
    ("document", "texts"),
    [("paragraph", ["one\ntwo", "six"]), ("line", ["one", "two", "four", "five", "six"])],
)
def test_what_cannot_be_read_is_skipped_as_a_document(tmp_path, document, texts):
    """A paragraph with an unreadable line is left out whole and counted once; of lines only that line is."""
    (tmp_path / "a.txt").write_bytes(ODD)
    options = {"path": str(tmp_path / "a.txt"), "document": document, "max_line_bytes": 20}
    dataset = TextDataset(TextOptions(**options, on_error="skip"))

    assert [record.text for record in dataset.records()] == texts
    assert dataset.skipped() == {"not-utf-8": 1, "too-long": 1}
    with pytest.raises(InputError) as caught:
        list(TextDataset(TextOptions(**options)).records())
    assert caught.value.where.endswith("a.txt:4")


def test_a_file_that_is_no_text_is_skipped_as_a_document(folder):
    """Where a document is a file, the whole file is left out."""
    (folder / "b.txt").write_bytes(b"fine\n\xff")
    dataset = TextDataset(TextOptions(path=str(folder), on_error="skip"))

    assert [record.id for record in dataset.records()] == ["a/c.txt"]
    assert dataset.skipped() == {"not-utf-8": 1}
