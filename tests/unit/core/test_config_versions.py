"""Versions of the configuration format: older files are read with a warning or rewritten, newer ones refused."""

from __future__ import annotations

import pytest

from codex_core import config
from codex_core.cli.main import main
from codex_core.errors import ConfigError
from codex_core.planning.versions import migrate

OLD = """\
# a run of long ago
schema: "codex-run/0"   # the version
data:
  # how long a row is
  sequence_length: 0x40   # tokens
  sources:
  - pydoc
tokenizer: bytes
model: ngram
trainer: {name: ngram, 'steps': 30}  # short
safety: {name: none, reason: a test}
"""

NEW = (
    OLD.replace('"codex-run/0"', "codex-run/1")
    .replace("sequence_length", "seq_len")
    .replace("'steps'", "duration")
)


@pytest.fixture
def old(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.yaml").write_text(OLD)
    (tmp_path / "new.yaml").write_text(NEW)
    return tmp_path


def test_an_older_file_means_what_its_new_form_means(old):
    """Renamed keys are read under their new names, with their lines, and the author is told how to rewrite."""
    loaded = config.load(old / "old.yaml")
    assert loaded.hash() == config.load(old / "new.yaml").hash()
    assert loaded.origins["data.seq_len"] == f"{old / 'old.yaml'}:5"
    assert "data.sequence_length is data.seq_len now" in loaded.notices[0]
    assert f"codex config migrate {old / 'old.yaml'} --write" in loaded.notices[0]
    assert config.load(old / "new.yaml").notices == ()


def test_each_file_has_its_own_version(old):
    """A new file over an old base is read, and the warning names the base; so is an old file over a new base."""
    (old / "above.yaml").write_text("extends: old.yaml\nrun: {seed: 3}\n")
    (old / "aged.yaml").write_text("schema: codex-run/0\nextends: new.yaml\ndata: {sequence_length: 32}\n")
    above, aged = config.load(old / "above.yaml"), config.load(old / "aged.yaml")
    assert (above.data.seq_len, aged.data.seq_len) == (64, 32)
    assert "old.yaml is written in codex-run/0" in above.notices[0] and len(above.notices) == 1
    assert "aged.yaml" in aged.notices[0] and len(aged.notices) == 1


def test_the_command_line_warns_of_an_older_file(old, capsys):
    """The warning goes to stderr, the result to stdout."""
    assert main(["config", "show", "old.yaml"]) == 0
    out, err = capsys.readouterr()
    assert "seq_len: 64" in out and err.startswith("warning: old.yaml is written in codex-run/0")


def test_a_migrated_file_differs_in_names_only(old, capsys):
    """Comments, order, indentation and the spelling of values are those of the old file."""
    assert main(["config", "migrate", "old.yaml"]) == 0
    out, err = capsys.readouterr()
    assert out == NEW and (old / "old.yaml").read_text() == OLD
    assert "old.yaml: data.sequence_length -> data.seq_len" in err

    assert main(["config", "migrate", "old.yaml", "--write"]) == 0
    assert (old / "old.yaml").read_text() == NEW
    assert main(["config", "migrate", "old.yaml", "--write"]) == 0
    assert "nothing to do" in capsys.readouterr().err and (old / "old.yaml").read_text() == NEW


def test_line_ends_of_another_system_stay(old):
    """A file whose lines end with CR LF keeps them, and text beyond the first plane does not shift an edit."""
    (old / "old.yaml").write_bytes(OLD.replace("long ago", "long ago 🙂 ü").replace("\n", "\r\n").encode())
    assert main(["config", "migrate", "old.yaml", "--write"]) == 0
    wanted = NEW.replace("long ago", "long ago 🙂 ü").replace("\n", "\r\n")
    assert (old / "old.yaml").read_bytes() == wanted.encode()


REFUSED = {
    "schema: codex-run/2\nmodel: x\n": ("run.yaml:1, schema", "upgrade codex-core"),
    "schema: other\n": ("run.yaml:1, schema", "upgrade codex-core"),
    "schema: codex-run/0\ndata: {seq_len: 1,\n  sequence_length: 2}\n": ("run.yaml:3", "keep one of the two"),
}


@pytest.mark.parametrize("text", REFUSED)
def test_a_version_that_cannot_be_read_is_refused_with_its_place(text, tmp_path):
    """A newer or unknown version, and a mixture of two, are CFG-014 in loading and in migrating."""
    path = tmp_path / "run.yaml"
    path.write_text(text)
    place, fix = REFUSED[text]
    for read in (lambda: config.load(path), lambda: migrate(text, source=str(path))):
        with pytest.raises(ConfigError) as caught:
            read()
        assert (caught.value.code, caught.value.where) == ("CFG-014", f"{tmp_path}/{place}")
        assert fix in (caught.value.fix or "")


def test_a_file_without_a_version_cannot_be_migrated(tmp_path):
    """What a file was written for is not guessed; a key that only an older version had is named."""
    for text, fix in {
        "model: x\n": "schema: codex-run/1",
        "data: {sequence_length: 3}\n": "schema: codex-run/0",
    }.items():
        with pytest.raises(ConfigError) as caught:
            migrate(text, source="run.yaml")
        assert caught.value.code == "CFG-014" and fix in (caught.value.fix or "")


def test_validating_tells_that_a_file_names_no_version(old, capsys):
    """It is read as the present version, and whoever checks the file learns that."""
    (old / "bare.yaml").write_text(NEW.replace("schema: codex-run/1", ""))
    for name, is_told in {"bare.yaml": True, "new.yaml": False}.items():
        assert main(["config", "validate", name]) == 0
        assert ("does not say its version" in capsys.readouterr().err) == is_told


def test_an_old_key_in_a_present_file_is_refused_with_the_way_to_migrate(old):
    """An unknown key that an older version had names its successor and the command."""
    (old / "mixed.yaml").write_text(NEW.replace("seq_len", "sequence_length"))
    with pytest.raises(ConfigError) as caught:
        config.load(old / "mixed.yaml")
    assert caught.value.code == "CFG-004" and "since codex-run/1 it is data.seq_len" in (
        caught.value.why or ""
    )
    assert "codex config migrate" in (caught.value.fix or "")


def test_hostile_text_is_refused_before_it_is_migrated(tmp_path):
    """The limits of reading hold for the migration, too."""
    with pytest.raises(ConfigError, match="an anchor or alias"):
        migrate("schema: codex-run/0\na: &a [x]\nb: *a\n", source="run.yaml")
