"""`codex registry new`: for every kind a package that installs, is listed as `ok`, and passes its own tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from codex_core.cli.registry import registry
from codex_core.cli.registry_new import KITS, check_name, package_files
from codex_core.cli.session import Session
from codex_core.components import KINDS
from codex_core.errors import InputError, UsageError
from tests.support.scratch_environment import ScratchEnvironment


def plugin_name(kind: str) -> str:
    """What the package of a kind is called in these tests."""
    return f"my-{kind.replace('_', '-')}"


def scaffold(*arguments: str | Path) -> object:
    """Call `codex registry new`; returns the error that it raised, if any."""
    said = CliRunner().invoke(registry, ["new", *map(str, arguments)], obj=Session())
    return said.exception


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One new package of every kind."""
    folder = tmp_path_factory.mktemp("packages")
    for kind in KINDS:
        assert scaffold(plugin_name(kind), "--kind", kind, "--dir", folder / plugin_name(kind)) is None
    return {kind: folder / plugin_name(kind) for kind in KINDS}


@pytest.fixture(scope="session")
def environment(packages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> ScratchEnvironment:
    """An environment of its own in which all of them are installed as editable packages."""
    pytest.importorskip("hatchling")
    made = ScratchEnvironment.make(tmp_path_factory.mktemp("environment"))
    installed = made.install(list(packages.values()), cwd=tmp_path_factory.mktemp("work"))
    assert installed.code == 0, installed.err
    return made


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_new_package_is_ok_right_after_its_installation(
    kind: str, environment: ScratchEnvironment, packages: dict[str, Path], tmp_path: Path
) -> None:
    """Every row of the package is `ok`, without notes, and one of them is of the wanted kind."""
    listed = environment.run("codex", "registry", "list", "--json", cwd=tmp_path).json["rows"]
    rows = [row for row in listed if row["dist"] == plugin_name(kind)]

    assert {row["state"] for row in rows} == {"ok"}
    assert {tuple(row["notes"]) for row in rows} == {()}
    assert plugin_name(kind) in [row["name"] for row in rows if row["kind"] == kind]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_new_package_passes_its_own_tests(
    kind: str, environment: ScratchEnvironment, packages: dict[str, Path]
) -> None:
    """`pytest` in the package's folder is green, with the conformance suite of the kind among its tests."""
    said = environment.run("pytest", "-v", "-p", "no:cacheprovider", cwd=packages[kind])

    assert said.code == 0, said.out
    name = plugin_name(kind)
    assert f"{kind}/{name}/{name} PASSED" in said.out
    assert f"plugin/{name}/{name.replace('-', '_')} PASSED" in said.out


CONFIGURATION = """
schema: codex-run/1
data:
  sources: [{name: my-datasets, path: corpus.txt}]
  seq_len: 32
safety: {name: my-safety-policies, terms: [blue heron]}
tokenizer: {name: my-tokenizers, vocab_size: 300}
model: my-models
trainer: {name: my-models, duration: 1 epoch, batch_rows: 2}
evaluation: {every: 1 epoch, metrics: [bits_per_byte, my-metrics]}
writers: [my-writers]
"""


@pytest.mark.slow
def test_new_packages_train_together(environment: ScratchEnvironment, tmp_path: Path) -> None:
    """A run that is made of new components alone reads, redacts, encodes, trains, measures, writes and generates."""
    (tmp_path / ".codex").mkdir()
    lines = [f"line {number} tells of a blue heron and of {number % 7} fish" for number in range(200)]
    (tmp_path / "corpus.txt").write_text("# birds\n" + "\n".join(lines) + "\n", encoding="utf-8")
    (tmp_path / "run.yaml").write_text(CONFIGURATION, encoding="utf-8")

    trained = environment.run("codex", "train", "run.yaml", cwd=tmp_path)
    assert trained.code == 0, trained.err
    (run,) = (path for path in (tmp_path / "runs").iterdir() if path.is_dir() and not path.is_symlink())
    table = (run / "writers" / "my-writers.tsv").read_text(encoding="utf-8")
    assert "\tvalidation\tmy-metrics\t" in table
    shards = b"".join(path.read_bytes() for path in tmp_path.glob(".codex/store/**/*") if path.is_file())
    assert b"[removed]" in shards
    assert b"blue heron" not in shards
    scored = environment.run("codex", "evaluate", "--split", "test", "--metric", "my-metrics", cwd=tmp_path)
    assert scored.code == 0, scored.err
    told = environment.run("codex", "generate", "--model", "@last", "line", cwd=tmp_path)
    assert told.code == 0, told.err
    counted = environment.run("codex", "my-commands", "count", "corpus.txt", cwd=tmp_path)
    assert "201 lines" in counted.out


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_new_package_is_clean(kind: str, packages: dict[str, Path]) -> None:
    """A linter finds nothing in the package, and the formatter changes nothing."""
    pytest.importorskip("ruff")
    ruff = [sys.executable, "-m", "ruff"]
    # RUF009 does not know that `option` and `Duration` are immutable.
    rules = ["--select=E,F,W,I,B,UP,SIM,C4,PIE,RUF", "--ignore=RUF009,E501"]
    for command in (["check", *rules, "--line-length=110"], ["format", "--diff", "--line-length=110"]):
        done = subprocess.run(
            [*ruff, command[0], "--isolated", "--no-cache", *command[1:], "."],
            cwd=packages[kind],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_whole_package(kind: str) -> None:
    """A package has metadata, a README, a plugin module, sources, and tests; nothing is left to be filled in."""
    files = package_files(name="a.b-c", package="a_b_c", kind=kind)

    assert {"pyproject.toml", "README.md", "src/a_b_c/plugin.py", "src/a_b_c/py.typed"} <= set(files)
    assert any(path.startswith("tests/test_") for path in files)
    assert f"def codex_{kind}()" in files["src/a_b_c/plugin.py"]
    assert 'a_b_c = "a_b_c.plugin"' in files["pyproject.toml"]
    assert not [path for path, text in files.items() if "$" in text or "TODO" in text]


def test_every_kind_has_templates() -> None:
    """A kind that is added to the core needs a package here, too."""
    assert set(KITS) == set(KINDS)


def test_existing_folder_is_not_touched(tmp_path: Path) -> None:
    """A folder that exists, be it empty, is refused with the command that works, and stays as it is."""
    error = scaffold("my-tok", "--kind", "tokenizers", "--dir", tmp_path)

    assert isinstance(error, InputError)
    assert error.code == "REG-032"
    assert f"--dir {tmp_path}-new" in str(error.fix)
    assert list(tmp_path.iterdir()) == []


def test_unwritable_place_leaves_nothing(tmp_path: Path) -> None:
    """A folder that cannot be made is an error, and nothing half-written stays."""
    (tmp_path / "file").touch()

    error = scaffold("my-tok", "--kind", "tokenizers", "--dir", tmp_path / "file" / "my-tok")

    assert isinstance(error, InputError)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("My Tok", "my-tok"),
        ("tok-", "tok"),
        ("a--b", "a-b"),
        ("3gram", "my-3gram"),
        ("class", "my-class"),
        ("json", "my-json"),
        ("codex-core", "my-codex-core"),
        ("-", "my"),
        ("x" * 65, f"such as {'x' * 40}"),
    ],
)
def test_bad_name_is_refused_with_a_better_one(name: str, fix: str) -> None:
    """A name that cannot be a distribution, a package and a component alike is refused, and another is proposed."""
    with pytest.raises(UsageError) as caught:
        check_name(name, "tokenizers")

    assert caught.value.code == "REG-031"
    assert fix in str(caught.value.fix)


@pytest.mark.parametrize("name", ["my-tok", "tok", "a.b_c", "t5"])
def test_good_name_becomes_a_package(name: str) -> None:
    """Dots and dashes become underscores."""
    assert check_name(name, "tokenizers").isidentifier()


def test_claimed_name_is_refused(tmp_path: Path) -> None:
    """A name that an installed component or a command has would only be shadowed."""
    for name, kind in (("bytes", "tokenizers"), ("train", "commands")):
        error = scaffold(name, "--kind", kind, "--dir", tmp_path / name)
        assert isinstance(error, UsageError)
        assert error.code == "REG-031"
        assert not (tmp_path / name).exists()
