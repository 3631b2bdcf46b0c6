"""What no tracked text file may hold: conflict marks, stray blanks, foreign line ends, private keys, local paths.

    python tools/hygiene.py [FILE ...]      (all tracked files without arguments)

Decisions: names of package indexes and absolute paths of one machine make a clone depend on where it was written,
so they count as mistakes like a stray blank does; the only forgiving place is a licence text.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LARGEST_KB = 500

#: Pattern and what is wrong with it; written so that this file does not hold what it looks for.
RULES: tuple[tuple[str, str], ...] = (
    (r"^(<{7}|>{7}|\|{7})( |$)", "conflict mark"),
    (r"[ \t]+$", "blank at the end of the line"),
    (r"\r", "foreign line end"),
    (r"BEGIN [A-Z ]*PRIVATE KEY-{5}$", "private key"),
    (r"\b(pypi\.o" r"rg|pythonhos" r"ted|pytorch\.o" r"rg/whl)", "name of a package index"),
    (
        r"(?<![\w.$}>~-])/(home|root|Users|work)/(?!(me|someone|user|you)\b)[\w.]",
        "absolute path of one machine",
    ),
    (r"\bindex-url\s*=?\s*https?:", "address of a package index"),
)
#: Files that are data of tests, word for word, or foreign texts.
FORGIVEN = re.compile(r"^(LICENSE$|tests/golden/)")


def tracked() -> list[str]:
    """The files that git knows."""
    command = ["git", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.split("\0") if name]


def complaints(name: str, data: bytes) -> Iterator[str]:
    """What is wrong with a file, one line each, `file:line: what`."""
    if len(data) > LARGEST_KB * 1024:
        yield f"{name}: larger than {LARGEST_KB} kB"
    if FORGIVEN.search(name) or b"\0" in data:
        return
    text = data.decode("utf-8", "replace")
    if text and not text.endswith("\n"):
        yield f"{name}: no line end at the end of the file"
    if text.endswith("\n\n"):
        yield f"{name}: empty lines at the end of the file"
    for number, line in enumerate(text.split("\n"), start=1):
        for pattern, what in RULES:
            if re.search(pattern, line):
                yield f"{name}:{number}: {what}"


def main(names: list[str]) -> int:
    """Check the named files, or all tracked ones; 1 when something is wrong."""
    found = []
    for name in names or tracked():
        path = ROOT / name
        if path.is_file() and not path.is_symlink():
            found += complaints(name, path.read_bytes())
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
