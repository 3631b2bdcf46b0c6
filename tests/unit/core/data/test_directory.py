"""Trees of text files."""

from __future__ import annotations

import pytest

from codex_core.data.directory import DirectoryDataset, pattern_of
from codex_core.data.options import DirectoryOptions
from codex_core.errors import InputError


@pytest.fixture
def tree(tmp_path):
    """Sources, a hidden folder, a binary file and a link to the top."""
    for name, data in {
        "b.txt": b"\xef\xbb\xbffirst\n",
        "a/x.py": "é\r\n".encode(),
        "a-b/y.py": b"pass\n",
        ".git/config": b"hidden\n",
        "a/picture.png": b"\x89PNG\r\n\x1a\n\0\0",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    (tmp_path / "a" / "top").symlink_to(tmp_path)
    return tmp_path


def read(tree, **options):
    """Names and texts of the documents."""
    records = DirectoryDataset(DirectoryOptions(path=str(tree), **options)).records()
    return [(record.id, record.text) for record in records]


def test_files_come_sorted_without_what_is_hidden(tree):
    """Every visible file is one document; links to folders are not followed."""
    assert read(tree, exclude=[*DirectoryOptions(path="").exclude, "**/*.png"]) == [
        ("a/x.py", "é\r\n"),
        ("a-b/y.py", "pass\n"),
        ("b.txt", "first\n"),
    ]


def test_include_chooses(tree):
    """Only what an include pattern matches is read."""
    assert [name for name, _ in read(tree, include=["*.txt", "a-?/**"])] == ["a-b/y.py", "b.txt"]


def test_binary_files_are_refused_or_skipped_by_rule(tree):
    """A zero byte makes a file binary: it ends the reading, or is counted."""
    with pytest.raises(InputError) as caught:
        read(tree)
    assert caught.value.code == "DAT-024"
    assert caught.value.where == f"{tree / 'a/picture.png'}:1"

    dataset = DirectoryDataset(DirectoryOptions(path=str(tree), binary="skip"))
    assert len(list(dataset.records())) == 3
    assert dataset.skipped() == {"binary": 1}


def test_other_bytes_and_long_files_are_refused_or_skipped(tree):
    """Bytes that are no UTF-8 are told with their line; a file beyond the limit is told with it."""
    (tree / "latin.txt").write_bytes(b"fine\n\xff")
    with pytest.raises(InputError, match="UTF-8") as caught:
        read(tree, include=["latin.txt"])
    assert caught.value.where.endswith("latin.txt:2")
    with pytest.raises(InputError, match="at most 3 bytes"):
        read(tree, include=["b.txt"], max_file_bytes=3)

    options = DirectoryOptions(path=str(tree), include=["*.txt"], on_error="skip", max_file_bytes=9)
    dataset = DirectoryDataset(options)
    assert [record.id for record in dataset.records()] == ["b.txt"]
    assert dataset.skipped() == {"not-utf-8": 1}


@pytest.mark.parametrize("path", ["missing", "b.txt"])
def test_what_is_no_folder_is_refused(tree, path):
    """A missing path and a file are input errors."""
    with pytest.raises(InputError) as caught:
        read(tree / path)

    assert caught.value.code == "DAT-001"


def test_a_tree_without_matches_is_refused(tree):
    """No included file is an input error naming the patterns."""
    with pytest.raises(InputError, match="no file of the folder is included") as caught:
        read(tree, include=["*.md"])

    assert "*.md" in str(caught.value)


@pytest.mark.parametrize(
    ("glob", "name", "matches"),
    [
        ("**", "a/b", True),
        ("**/*.py", "x.py", True),
        ("**/*.py", "a/b/x.py", True),
        ("*.py", "a/x.py", False),
        ("a/**", "a/b/c", True),
        ("a/**", "ab/c", False),
        ("?.txt", "b.txt", True),
        ("[a].txt", "a.txt", False),
    ],
)
def test_patterns(glob, name, matches):
    """`**` is any folders, `*` and `?` stay within a name, everything else is itself."""
    assert bool(pattern_of(glob).fullmatch(name)) == matches
