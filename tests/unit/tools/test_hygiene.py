"""The hygiene hook finds each mistake that it names, with its line, and nothing else."""

from __future__ import annotations

import hygiene
import pytest


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("<" * 7 + " HEAD", "conflict mark"),
        (">" * 7 + " branch", "conflict mark"),
        ("a ", "blank at the end of the line"),
        ("a\t", "blank at the end of the line"),
        ("a\r", "foreign line end"),
        ("-----BEGIN RSA PRIVATE " + "KEY-----", "private key"),
        ("see pypi." + "org/simple", "name of a package index"),
        ("files.python" + "hosted.org", "name of a package index"),
        ("index-url = " + "https://mirror", "address of a package index"),
        ('"/ho' + 'me/anna/x"', "absolute path of one machine"),
        ("cd /wo" + "rk/main", "absolute path of one machine"),
    ],
)
def test_mistake_is_found_with_its_line(line: str, what: str) -> None:
    """A planted mistake on the second line is reported there."""
    found = list(hygiene.complaints("a.txt", f"first\n{line}\nlast\n".encode()))

    assert f"a.txt:2: {what}" in found


@pytest.mark.parametrize(
    "line",
    [
        "a = b",
        "src/work/x",
        "$HOME/home/x",
        "https://example.org/home/x",
        "=======",
        "~/root/x",
        "x/home/y",
        "/home/me/x",
    ],
)
def test_innocent_lines_pass(line: str) -> None:
    """Relative paths, addresses of other things and headings are no mistakes."""
    assert list(hygiene.complaints("a.txt", f"{line}\n".encode())) == []


def test_ends_of_files_are_checked() -> None:
    """A file ends with exactly one line end; an empty file is fine."""
    assert list(hygiene.complaints("a.txt", b"a")) == ["a.txt: no line end at the end of the file"]
    assert list(hygiene.complaints("a.txt", b"a\n\n")) == ["a.txt: empty lines at the end of the file"]
    assert list(hygiene.complaints("a.txt", b"")) == []


def test_binary_and_foreign_files_are_left_alone() -> None:
    """Binary data, golden files and the licence are taken as they are; only their size counts."""
    assert list(hygiene.complaints("a.bin", b"\0 \r\n")) == []
    assert list(hygiene.complaints("tests/golden/a.txt", b"a ")) == []
    assert list(hygiene.complaints("a.bin", b"\0" * 600_000)) == ["a.bin: larger than 500 kB"]
