"""The project's journal and the scrubber ahead of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codex_core.errors import InputError
from codex_core.places import Places
from codex_core.running import project_journal
from codex_core.scrub import REDACTED, Scrubber

#: Put together, so that a scan of this repository does not take it for a real one.
SECRET = "-".join(["s3cr3t", "value", "1"])


def places_at(folder: Path) -> Places:
    """A project in a folder."""
    return Places(root=folder, home=folder / "home", store=folder / "store")


def test_rows_are_appended_scrubbed(tmp_path: Path) -> None:
    """Each row has time and kind; secrets of the environment do not reach the file."""
    places = places_at(tmp_path)
    scrub = Scrubber.of({"MY_API_KEY": SECRET, "LANG": "harmless"})

    assert project_journal.append(places, "session", {"note": f"used {SECRET}"}, scrub=scrub)
    assert project_journal.append(places, "session", {"note": "harmless"}, scrub=scrub)

    first, second = project_journal.rows(places)
    assert first["note"] == f"used {REDACTED}" and second["note"] == "harmless" and first["kind"] == "session"


def test_failure_is_noted_once(tmp_path: Path) -> None:
    """An error that passes several levels makes one row, with its code and exit code."""
    places = places_at(tmp_path)
    error = InputError(code="RUN-001", what="it exists")

    assert project_journal.note_failure(places, error, command="train", run="x")
    assert project_journal.note_failure(places, error, command="codex")
    assert project_journal.note_failure(places, ZeroDivisionError("oh"), command="train")

    first, second = project_journal.rows(places)
    assert (first["code"], first["exit_code"], first["run"]) == ("RUN-001", 4, "x")
    assert second["what"] == "ZeroDivisionError: oh"


def test_journal_that_cannot_be_written_stays_quiet(tmp_path: Path) -> None:
    """It tells of failures and never causes one: a file in the folder's place gives False."""
    (tmp_path / ".codex").write_text("in the way")

    assert project_journal.append(places_at(tmp_path), "failure", {}) is False
    assert list(project_journal.rows(places_at(tmp_path))) == []


def test_torn_and_foreign_lines_are_passed_over(tmp_path: Path) -> None:
    """What cannot be read does not hide the rows around it."""
    places = places_at(tmp_path)
    project_journal.append(places, "one", {})
    with places.journal.open("a") as file:
        file.write('[1]\n{"torn": \n')
    project_journal.append(places, "two", {"value": Path("x")})

    assert [row["kind"] for row in project_journal.rows(places)] == ["one", "two"]


def test_secrets_are_known_by_the_names_of_variables() -> None:
    """Values of secret-like variables are replaced wherever they stand, longest first; short words are left alone."""
    environ = {
        "HF_TOKEN": "hf_abcdefgh",
        "DB_PASSWORD": "hf_abcdefgh-and-more",
        "TOKENIZERS_PARALLELISM": "falsefalse",
        "AUTH": "short",
        "AUTHOR": "somebody-else",
        "PWD": "/folder/somebody-else",
        "DB_PWD": "another-secret",
    }
    scrub = Scrubber.of(environ)

    assert scrub({"a": ["hf_abcdefgh-and-more", ("hf_abcdefgh",)], "hf_abcdefgh": 1}) == {
        "a": [REDACTED, [REDACTED]],
        REDACTED: 1,
    }
    assert scrub("falsefalse short /folder/somebody-else") == "falsefalse short /folder/somebody-else"
    assert scrub("another-secret") == REDACTED


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (["--api-key", "abc", "x"], ["--api-key", REDACTED, "x"]),
        (["--password=abc"], [f"--password={REDACTED}"]),
        (["writers.0.auth_token=abc"], [f"writers.0.auth_token={REDACTED}"]),
        (["data.max_tokens=40", "--tokens-per-step"], ["data.max_tokens=40", "--tokens-per-step"]),
        (["https://me:pw@host/x"], [f"https://{REDACTED}@host/x"]),
        (["--token", "--verbose"], ["--token", "--verbose"]),
    ],
)
def test_command_lines_lose_their_secrets(given: list[str], shown: list[str]) -> None:
    """Values of secret-like options and user information in URLs are replaced; counts of tokens stay."""
    assert Scrubber().command(given) == shown


def test_numbers_and_names_that_only_look_secret_stay() -> None:
    """Keys are never judged: `tokens: 40` and a tokenizer's name are data."""
    record = {"tokens": 40, "tokenizer": "bpe", "token_count": 1.5, "none": None, "flag": True}

    assert json.dumps(Scrubber()(record)) == json.dumps(record)
