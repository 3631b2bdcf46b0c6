"""`codex config`: what each command prints and with which code it ends, over the real registry."""

from __future__ import annotations

import json

import pytest

from codex_core import config as configs
from codex_core.cli.main import main

GOOD = """\
run: {name: demo}
data:
  sources: [pydoc]
tokenizer: bytes
model: {name: ngram, order: 4}
trainer: ngram
safety: {name: none, reason: a test}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "run.yaml").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_show_prints_a_file_that_loads_to_the_hash_it_names(folder, capsys):
    """The resolved configuration is a configuration; its first line is the hash."""
    assert main(["config", "show", "run.yaml", "model.order=3"]) == 0
    text = capsys.readouterr().out
    (folder / "shown.yaml").write_text(text)
    assert text.splitlines()[0] == f"# {configs.load(folder / 'shown.yaml').hash()}"
    assert "order: 3" in text and "name: codex-core/ngram" in text


def test_show_tells_origins(folder, capsys):
    """Each key stands with its value and where that came from."""
    assert main(["config", "show", "run.yaml", "model.order=3", "--origin"]) == 0
    lines = {line.split()[0]: line.split(maxsplit=2)[1:] for line in capsys.readouterr().out.splitlines()}
    assert lines["model.order"] == ["3", "override model.order=3"]
    assert lines["run.name"] == ["demo", "run.yaml:1"]
    assert lines["trainer.batch_rows"][1] == "default"


def test_show_as_json_holds_values_origins_and_hash(folder, capsys):
    """The envelope names its schema and holds the configuration as plain values."""
    assert main(["config", "show", "run.yaml", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["schema"] == "codex-config/1" and shown["config"]["model"]["order"] == 4
    assert shown["origins"]["model.order"] == "run.yaml:5"


def test_validate_reports_the_values_it_read(folder, capsys):
    """A valid file is answered with the plan that it describes, exit 0."""
    assert main(["config", "validate", "run.yaml"]) == 0
    out, err = capsys.readouterr()
    assert "codex-core/ngram" in out and "run.yaml is valid" in err


def test_validate_reports_every_mistake_with_its_place(folder, capsys):
    """A wrong file is exit 2, with a place, near names and a fix for each mistake, and no traceback."""
    (folder / "run.yaml").write_text(GOOD.replace("name: demo", "nam: demo").replace("order: 4", "ordr: 4"))
    assert main(["config", "validate", "run.yaml"]) == 2
    err = capsys.readouterr().err
    assert err.count("error[CFG-004]") == 2
    assert "run.yaml:1, run.nam" in err and "did you mean 'order'?" in err and "Traceback" not in err


def test_an_absent_file_is_exit_4(folder, capsys):
    """A file that is not there is an input error."""
    assert main(["config", "show", "absent.yaml"]) == 4
    assert "error[CFG-001]" in capsys.readouterr().err


def test_explain_answers_for_sections_and_for_options_of_components(folder, capsys):
    """Meaning, type, default, bounds and owner of a key; a section gives all its keys."""
    assert main(["config", "explain", "run.seed"]) == 0
    assert "bounds   at least 0" in capsys.readouterr().out
    assert main(["config", "explain", "model.order"]) == 0
    assert "owner    codex-core/ngram" in capsys.readouterr().out
    assert main(["config", "explain", "data.sources[0].path"]) == 0
    assert "owner    codex-core/jsonl" in capsys.readouterr().out
    assert main(["config", "explain", "evaluation"]) == 0
    assert "evaluation.every:" in capsys.readouterr().out
    assert main(["config", "explain"]) == 0
    assert "checkpoint.keep_last" in capsys.readouterr().out


def test_explain_of_no_key_gives_near_names(folder, capsys):
    """A typo is exit 2 with the nearest keys."""
    assert main(["config", "explain", "run.sede"]) == 2
    assert "did you mean 'run.seed'" in capsys.readouterr().err


def test_diff_compares_meaning(folder, capsys):
    """Another spelling is no difference (exit 0), another value is (exit 1), with both values."""
    (folder / "same.yaml").write_text(GOOD.replace("order: 4", "order: 0x4"))
    assert main(["config", "diff", "run.yaml", "same.yaml"]) == 0
    assert "both mean the same: sha256:" in capsys.readouterr().out
    (folder / "other.yaml").write_text(GOOD.replace("order: 4", "order: 2"))
    assert main(["config", "diff", "run.yaml", "other.yaml"]) == 1
    assert capsys.readouterr().out.splitlines()[-1].split() == ["model.order", "4", "2"]


def test_init_writes_a_file_that_loads_and_never_replaces_one(folder, capsys):
    """The new file is a whole configuration; an existing one stays as it is, exit 4."""
    assert main(["config", "init", "-o", "new.yaml"]) == 0
    assert configs.load(folder / "new.yaml").model.name == "ngram"
    assert main(["config", "init", "-o", "run.yaml"]) == 4
    assert (folder / "run.yaml").read_text() == GOOD
    assert "error[CFG-013]" in capsys.readouterr().err


def test_init_names_the_presets_when_asked_for_another(folder, capsys):
    """An unknown preset is exit 2 with the names that exist."""
    assert main(["config", "init", "-o", "new.yaml", "--preset", "ngrm"]) == 2
    assert "did you mean 'ngram'" in capsys.readouterr().err
    assert not (folder / "new.yaml").exists()


def test_schema_describes_sections_and_components(folder, capsys):
    """Editors get types, choices and bounds of every key, and the options of what is installed."""
    assert main(["config", "schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    run = schema["properties"]["run"]["properties"]
    assert run["exactness"]["enum"] == ["L0", "L1", "L2", "L3"] and run["seed"] == {
        "type": "integer", "minimum": 0, "description": run["seed"]["description"],
    }  # fmt: skip
    models = schema["$defs"]["models"]["anyOf"]
    ngram = next(model for model in models if "codex-core/ngram" in str(model))
    assert ngram["properties"]["order"]["maximum"] == 16 and ngram["additionalProperties"] is False
    assert {"required": ["extends"]} in schema["anyOf"]


def test_the_plugins_section_decides_what_takes_part(folder, capsys):
    """A plugin that the configuration switches off is not usable for it, and a name that matches none is refused."""
    assert main(["config", "validate", "run.yaml", "plugins.off=[codex-core/ngram]"]) == 0
    assert "switched off by" in capsys.readouterr().out
    assert main(["config", "validate", "run.yaml", "plugins.off=[nothing-like-it]"]) == 2
    assert "no installed plugin is called 'nothing-like-it'" in capsys.readouterr().err
