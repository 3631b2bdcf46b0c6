"""What holds for every command: its typical mistake, its streams, its JSON, and life without each optional package."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from codex_core.cli.main import main
from tests.support import scratch
from tests.support.commands import Project

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = ROOT / "docs" / "reference" / "schemas"

#: Commands whose result is a file, or the text of one.
PRINTS_TEXT = (
    "codex completion",
    "codex config init",
    "codex config migrate",
    "codex config schema",
    "codex registry compose",
    "codex registry freeze",
    "codex registry index",
    "codex registry new",
)

#: Examples that have JSON, where the first one of the command has not.
AS_JSON = {"codex registry check": "codex registry check --frozen plugins.json"}

#: What an installation may lack: one optional library, one sibling, or all of them.
SIBLINGS = ("codex_models", "codex_safety", "codex_telemetry", "codex_tokenizers")
LIBRARIES = ("torch", "tokenizers", "structlog", "psutil", "jinja2", "tensorboard")
NOBODY = "no-such-thing"


def command_names():
    return [node.name for node in scratch.leaves()]


def node_called(name):
    return next(node for node in scratch.leaves() if node.name == name)


def mistaken(node):
    """The command with a name that does not exist in every place that asks for one."""
    words = [*node.words, *[NOBODY] * max(1, sum(one.required for one in node.arguments))]
    for option in node.options:
        if option.required:
            words += [option.opts[-1], NOBODY]
    return words


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project that all examples of this process start from."""
    for name in ("codex_models", "torch"):
        pytest.importorskip(name)
    return scratch.make(tmp_path_factory.mktemp("scratch") / "project")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty project as the working directory."""
    (tmp_path / ".codex").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(said, code):
    """The house form of an error on stderr, nothing on stdout."""
    assert code in (2, 3, 4), said
    assert re.search(r"^error\[[A-Z]{3}-\d{3}\]: ", said.err, re.M) and "fix: " in said.err, said.err
    assert "Traceback" not in said.err
    assert said.out == ""


@pytest.mark.parametrize("name", command_names())
def test_typical_mistake_is_refused_in_the_house_form(name, folder, capsys):
    """A name that does not exist: exit 2, 3 or 4, what and how to go on, nothing on stdout, nothing written."""
    node = node_called(name)

    code = main(mistaken(node))

    refused(capsys.readouterr(), code)
    assert [path.name for path in folder.rglob("*") if path.is_file() and ".codex" not in path.parts] == []


@pytest.mark.parametrize("name", command_names())
def test_unknown_option_is_refused_with_near_names(name, folder, capsys):
    """A misspelt option is exit 2, and the option that was meant is named."""
    node = node_called(name)
    options = [option.opts[-1] for option in node.options if option.opts[-1].startswith("--")]
    meant = options[0] if options else "--help"

    code = main([*node.words, f"{meant[:-1]}{'x' if meant[-1] != 'x' else 'y'}"])

    said = capsys.readouterr()
    refused(said, code)
    assert code == 2
    assert not options or f"did you mean {meant}" in said.err or meant in said.err


@pytest.mark.parametrize("name", [name for name in command_names() if node_called(name).has_json])
def test_mistake_as_json_is_one_envelope_on_stdout(name, folder, capsys):
    """With `--json` the error is also data: one object that its schema accepts."""
    code = main([*mistaken(node_called(name)), "--json"])

    said = capsys.readouterr()
    validate(json.loads(said.out))
    assert json.loads(said.out)["error"]["exit_code"] == code
    assert said.err.startswith("error[") or "\nerror[" in said.err


def test_every_command_has_json():
    """`--json` everywhere but where the result is a text by itself."""
    without = [node.name for node in scratch.leaves() if not node.has_json]

    assert [name for name in without if name not in PRINTS_TEXT] == []


def validate(document):
    """Check a document against the registered schema that it names."""
    jsonschema = pytest.importorskip("jsonschema")
    path = SCHEMAS / f"{document['schema'].replace('/', '-')}.json"
    assert path.is_file(), f"no schema is registered for {document['schema']}"
    jsonschema.validate(document, json.loads(path.read_text()))


def test_every_envelope_has_a_schema_and_every_schema_an_envelope():
    """What the sources print with `--json` is registered, and what is registered stands in the sources."""
    sources = {path: path.read_text(encoding="utf-8") for path in ROOT.glob("packages/*/src/**/*.py")}
    printed = {"codex-registry-list/1"}  # put together by hand, for speed
    for path, text in sources.items():
        printed |= set(re.findall(r"print_json\(\s*\"(codex-[a-z-]+/\d+)\"", text))
        if path.name == "cli.py":
            printed |= set(re.findall(r"^[A-Z_]*SCHEMA = \"(codex-[a-z-]+/\d+)\"", text, re.M))
    registered = {
        json.loads(path.read_text())["properties"]["schema"]["const"] for path in SCHEMAS.glob("*.json")
    }

    assert printed - registered == set()
    assert {name for name in registered if not any(name in text for text in sources.values())} == set()


def test_schemas_are_schemas():
    """Each registered file is a valid JSON Schema, named after its envelope, that says what it describes."""
    jsonschema = pytest.importorskip("jsonschema")
    for path in SCHEMAS.glob("*.json"):
        schema = json.loads(path.read_text())
        jsonschema.Draft202012Validator.check_schema(schema)
        assert path.stem == schema["properties"]["schema"]["const"].replace("/", "-")
        assert schema["description"] and "schema" in schema["required"]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in command_names() if node_called(name).has_json])
def test_result_as_json_is_one_object_that_its_schema_accepts(name, made, tmp_path, monkeypatch, capsys):
    """The first example with `--json`: one registered object on stdout, whatever is said on stderr."""
    copy = tmp_path / "project"
    shutil.copytree(made.path, copy, symlinks=True)
    monkeypatch.chdir(copy)
    line = AS_JSON.get(name) or next(line for line in node_called(name).examples() if line.startswith(name))
    words = scratch.arguments_of(scratch.QUICKER.get(line, line), copy)

    code = main([*words, *([] if "--json" in words else ["--json"])])

    said = capsys.readouterr()
    assert code in (0, 1), said.err
    validate(json.loads(said.out))


#: Runs examples one after another, each in a copy of a project, and tells how each ended.
EVERY_EXAMPLE = """
import contextlib, io, json, os, shutil, sys
from codex_core.cli.main import main
told, jobs = [], json.load(open(sys.argv[1]))
for number, words in enumerate(jobs["commands"]):
    copy = os.path.join(jobs["copies"], str(number))
    shutil.copytree(jobs["project"], copy, symlinks=True)
    os.chdir(copy)
    if "-o" in words and os.path.exists(words[words.index("-o") + 1]):
        os.unlink(words[words.index("-o") + 1])
    raw = io.BytesIO()
    out, err = io.TextIOWrapper(raw, write_through=True), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    told.append([words, int(code), raw.getvalue().decode(), err.getvalue()])
    os.chdir(jobs["copies"])
    shutil.rmtree(copy)
json.dump(told, open(sys.argv[2], "w"))
"""


def run_every_example(made, hidden, tmp_path):
    """How every example ends where modules and distributions do not exist."""
    without = made.without(*hidden)
    jobs, told, copies = tmp_path / "jobs.json", tmp_path / "told.json", tmp_path / "copies"
    copies.mkdir()
    commands = [scratch.arguments_of(line, made.path) for line in scratch.examples() if " | " not in line]
    jobs.write_text(json.dumps({"project": str(made.path), "copies": str(copies), "commands": commands}))
    command = [sys.executable, *without.flags, "-c", EVERY_EXAMPLE, str(jobs), str(told)]
    environ = {**os.environ, **without.environ}
    done = subprocess.run(
        command,
        env=environ,
        cwd=copies,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(told.read_text())


def check_life_without(made, hidden, tmp_path):
    """Every example gives a result, or exit 2, 3 or 6 with a hint; never a traceback.

    6 is the word of `reproduce`: a library that the run was made with is another one here, or absent.
    """
    told = run_every_example(made, hidden, tmp_path)
    wrong = [one for one in told if one[1] not in (0, 1, 2, 3, 6) or "Traceback" in one[2] + one[3]]
    unhelpful = [one for one in told if one[1] in (2, 3, 6) and "fix: " not in one[3]]

    assert (wrong, unhelpful) == ([], [])
    assert any(one[1] == 0 for one in told)


@pytest.mark.slow
def test_every_command_lives_without_any_sibling_and_torch(made, tmp_path):
    """The core alone answers every example of every help text, some of them with what to install."""
    hidden = [*LIBRARIES, *SIBLINGS, *(name.replace("_", "-") for name in SIBLINGS)]
    project = tmp_path / "alone"
    shutil.copytree(made.path, project)
    check_life_without(Project(project, made.environ), hidden, tmp_path)


@pytest.mark.proof
@pytest.mark.parametrize("hidden", [*LIBRARIES, *SIBLINGS])
def test_every_command_lives_without_one_package(hidden, made, tmp_path):
    """With each optional package hidden in turn, no command fails but with its install line."""
    project = tmp_path / "alone"
    shutil.copytree(made.path, project)
    check_life_without(Project(project, made.environ), {hidden, hidden.replace("_", "-")}, tmp_path)


@pytest.mark.slow
def test_command_of_a_missing_sibling_is_answered_with_its_install_line(tmp_path):
    """`codex safety scan` without codex-safety is exit 3 and names what to install; a typo stays exit 2."""
    pytest.importorskip("codex_safety")
    project = Project.make(tmp_path / "project").without("codex_safety", "codex-safety")

    known, typo = project.codex("safety", "scan", "."), project.codex("safty", "scan", ".")

    assert known.code == 3 and "pip install codex-safety" in known.err and known.out == ""
    assert typo.code == 2 and "error[CLI-002]" in typo.err
