"""`codex safety scan`: file, line and rule of each secret, and nothing passed over silently."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from codex_core.errors import InputError
from codex_safety.cli import safety
from codex_safety.lines import KEPT_CHARACTERS, LineCounter
from codex_safety.scan import scan
from codex_safety.secrets import SecretsPolicy
from tests.unit.safety.planted import drawn, private_key

TOKEN = "gh" + "p_" + drawn(36)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small project with a secret in a module, one in a notebook and one in a key file."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src/app.py").write_text(f"import os\n\nTOKEN = '{TOKEN}'\n")
    (tmp_path / "README.md").write_text("nothing\n")
    (tmp_path / "id_rsa").write_text("\n" + private_key() + "\n")
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n"], "metadata": {}},
        {
            "cell_type": "code",
            "source": ["import x\n", f"x.login('{TOKEN}')\n"],
            "outputs": [{"text": ["logged in with\n", f"{TOKEN}\n"]}],
            "metadata": {"password": "SuperSecret" + "123!"},
        },
    ]
    (tmp_path / "play.ipynb").write_text(json.dumps({"cells": cells, "metadata": {}}))
    return tmp_path


def run(*arguments: str) -> Result:
    """Run `codex safety` as the command line does."""
    return CliRunner().invoke(safety, list(arguments))


def places(path: Path) -> list[tuple[str, str]]:
    """Places and rules of all findings."""
    return [(finding.place(), finding.rule) for finding in scan(path, SecretsPolicy()).findings]


def test_findings_name_file_line_and_rule(tree):
    """Modules, key files and every part of a notebook are searched; lines count from 1."""
    assert places(tree) == [
        ("id_rsa:2", "private-key"),
        ("play.ipynb#cell-2:2", "github-token"),
        ("play.ipynb#cell-2-metadata:1", "assigned-secret"),
        ("play.ipynb#cell-2-output:2", "github-token"),
        ("src/app.py:3", "github-token"),
    ]


def test_the_command_prints_places_and_exits_1(tree):
    """Findings stand on stdout, the sums on stderr, and the secret on neither."""
    result = run("scan", str(tree))

    assert result.exit_code == 1
    assert f"{tree}/src/app.py:3: github-token\n" in result.stdout
    assert "findings: 5; searched: 4 files" in result.stderr
    assert TOKEN[:10] not in result.output


def test_json_holds_the_same_in_an_envelope(tree):
    """Tools get one object with a schema; the secret is not in it."""
    result = run("scan", str(tree), "--json")
    told = json.loads(result.stdout)

    assert result.exit_code == 1
    assert told["schema"] == "codex-safety-scan/1"
    assert (told["files"], told["complete"], len(told["findings"])) == (4, True, 5)
    assert {"path": "src/app.py", "part": "", "line": 3, "rule": "github-token"} in told["findings"]
    assert told["policy"] == SecretsPolicy().fingerprint()
    assert TOKEN[:10] not in result.output


def test_a_clean_tree_exits_0(tmp_path):
    """No finding and nothing unreadable is a yes; one file may be named instead of a folder."""
    (tmp_path / "a.py").write_text("token = tokens[0]\n")

    assert run("scan", str(tmp_path)).exit_code == 0
    assert run("scan", str(tmp_path / "a.py")).exit_code == 0


def test_a_named_file_is_reported_as_it_was_named(tree):
    """What is printed can be opened from where the command ran."""
    assert f"{tree}/src/app.py:3: github-token\n" in run("scan", str(tree / "src/app.py")).stdout


def test_nothing_at_the_path_is_an_input_error(tmp_path):
    """A misspelt path is not a clean one."""
    with pytest.raises(InputError) as caught:
        scan(tmp_path / "nowhere", SecretsPolicy())
    assert caught.value.code == "SAF-002"


def test_what_is_not_searched_is_listed_with_the_reason(tree):
    """Binary files, links, pipes and folders of other tools are skipped aloud."""
    (tree / "image.bin").write_bytes(b"\x89PNG\0" + TOKEN.encode())
    (tree / ".git").mkdir()
    (tree / ".git/config").write_text(TOKEN)
    (tree / "link.py").symlink_to(tree / "src/app.py")
    os.mkfifo(tree / "pipe")
    result = scan(tree, SecretsPolicy())

    assert {(item.path, item.reason) for item in result.skipped} == {
        (".git", "folder of other tools"),
        ("image.bin", "binary"),
        ("link.py", "symbolic link"),
        ("pipe", "no regular file"),
    }
    assert len(result.findings) == 5


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_an_unreadable_file_makes_the_scan_incomplete(tmp_path):
    """What could not be read is neither clean nor dirty: exit 4."""
    (tmp_path / "locked.py").write_text("x = 1\n")
    (tmp_path / "locked.py").chmod(0)
    result = run("scan", str(tmp_path))

    assert result.exit_code == 4
    assert "not searched" in result.stderr


def test_a_file_that_fails_to_be_read_is_reported_and_the_others_searched(tree, monkeypatch):
    """A read error in one file costs that file alone, and the exit code says that something is missing."""
    opened = Path.open

    def failing(self: Path, *arguments, **keywords):
        if self.name == "README.md":
            raise PermissionError(13, "Permission denied")
        return opened(self, *arguments, **keywords)

    monkeypatch.setattr(Path, "open", failing)
    result = scan(tree, SecretsPolicy())

    assert [(item.path, item.reason) for item in result.unreadable] == [("README.md", "Permission denied")]
    assert len(result.findings) == 5
    for name in ("id_rsa", "play.ipynb", "src/app.py"):
        (tree / name).unlink()
    assert run("scan", str(tree)).exit_code == 4


@pytest.mark.parametrize("content", ["{", '{"cells": 3}', '{"cells": ["x"]}', "[" * 100_000])
def test_a_broken_notebook_is_searched_as_text_and_called_incomplete(tmp_path, content):
    """A notebook that cannot be parsed hides nothing, and is not called clean either."""
    (tmp_path / "broken.ipynb").write_text(f"{content}\n{TOKEN}")
    result = scan(tmp_path, SecretsPolicy())

    assert [finding.place() for finding in result.findings] == ["broken.ipynb:2"]
    assert not result.is_complete


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "latin-1"])
def test_other_encodings_are_searched_too(tmp_path, encoding):
    """Files of other systems and of other times are text as well."""
    (tmp_path / "a.txt").write_bytes(f"é\n{TOKEN}\n".encode(encoding))

    assert places(tmp_path) == [("a.txt:2", "github-token")]


def test_large_files_are_searched_in_pieces_with_right_lines(tmp_path):
    """Secrets across the cuts between pieces are found once, on their lines."""
    line = "x" * 70 + "\n"
    count = (2 << 20) // len(line)
    for offset in (0, 3, 11):
        text = line * 114 + TOKEN + "\n" + line * count + " " * offset + private_key(lines=60) + "\n" + line
        (tmp_path / "a.txt").write_text(text)
        assert places(tmp_path) == [("a.txt:115", "github-token"), (f"a.txt:{116 + count}", "private-key")]


def test_names_of_files_neither_leak_nor_move_the_cursor(tmp_path):
    """A secret or an escape sequence in a file name does not reach the terminal."""
    (tmp_path / f"{TOKEN}.txt").write_text(TOKEN)
    (tmp_path / "a\x1b[2J.txt").write_text(TOKEN)
    output = run("scan", str(tmp_path)).output

    assert TOKEN not in output and "\x1b" not in output
    assert "[REDACTED:github-token].txt:1" in output


def test_lines_are_known_for_as_long_as_they_are_asked_for():
    """Line numbers of the recent past are those of the whole text, whatever the pieces."""
    text = "ab\n\nc" * 40_000
    counter = LineCounter()
    for at in range(0, len(text), 30_011):
        counter.add(text[at : at + 30_011])
        end = min(at + 30_011, len(text))
        for position in (max(0, end - KEPT_CHARACTERS), end - 1):
            assert counter.line_at(position) == text.count("\n", 0, position) + 1
