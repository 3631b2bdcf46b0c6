"""What light commands leave unimported, asked of a fresh interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "torch", "numpy", "transformers", "tokenizers", "safetensors", "sentencepiece", "peft", "pynvml",
    "tensorboard", "structlog", "psutil", "jinja2",
)  # fmt: skip

#: Runs `python -m codex_core ARGUMENTS` and then tells, on the last line of stderr, which heavy modules came along.
RUNNER = """
import json, runpy, sys
heavy = json.loads(sys.argv[1])
sys.argv[1:] = sys.argv[2:]
code = 0
try:
    runpy.run_module("codex_core", run_name="__main__", alter_sys=True)
except SystemExit as end:
    code = end.code
print(json.dumps([code, [name for name in heavy if name in sys.modules]]), file=sys.stderr)
"""


def _loaded(*arguments: str, folder: Path, also: tuple[str, ...] = ()) -> tuple[object, list[str]]:
    """The exit code of a command, and the heavy modules that its process held at the end."""
    command = [sys.executable, "-c", RUNNER, json.dumps([*HEAVY, *also]), *arguments]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    environ["CODEX_HOME"] = str(folder / "home")  # measuring coverage would load modules of its own
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    code, loaded = json.loads(done.stderr.splitlines()[-1])
    return code, loaded


#: What answers that come from the stored registry leave out, besides everything heavy.
NOT_WARM = (
    "attr",
    "attrs",
    "cattrs",
    "click",
    "importlib.metadata",
    "importlib_metadata",
    "orjson",
    "pluggy",
    "rich",
)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--version"],
        ["registry", "list", "--json"],
        ["registry", "list"],
        ["registry", "list", "tokenizers", "--check"],
        ["registry", "list", "--all", "--json"],
    ],
    ids=" ".join,
)
def test_quickest_commands_import_no_command_line(arguments: list[str], tmp_path: Path) -> None:
    """The version and the list, in every form, are answered without click, attrs, metadata and plugin machinery."""
    _loaded("registry", "list", folder=tmp_path)

    assert _loaded(*arguments, folder=tmp_path, also=NOT_WARM) == (0, [])


def test_help_imports_click_and_no_more(tmp_path: Path) -> None:
    """Help names the commands of plugins from the stored answer: no attrs, no configuration, no registry object."""
    _loaded("registry", "list", folder=tmp_path)
    ours = ("codex_core.registry", "codex_core.config", "codex_core.places", "codex_core.plugins.survey")
    also = (*(name for name in NOT_WARM if name != "click"), "pathlib", "shutil", "traceback", *ours)

    assert _loaded("--help", folder=tmp_path, also=also) == (0, [])


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["help", "exit-codes"],
        ["registry", "list"],
        ["registry", "--help"],
        ["registry", "show", "ngram"],
        ["config", "--help"],
        ["config", "schema"],
    ],
    ids=" ".join,
)
def test_light_commands_import_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    """Help, listing and configuration work without torch, NumPy and every library that only a run needs."""
    code, loaded = _loaded(*arguments, folder=tmp_path)

    assert loaded == []
    assert code in (0, None)


@pytest.mark.parametrize("command", ["train", "plan", "evaluate", "generate", "demo"])
def test_help_of_work_imports_no_torch(command: str, tmp_path: Path) -> None:
    """Asking how to train costs NumPy at most; torch and the libraries of the siblings stay on the disk."""
    code, loaded = _loaded(command, "--help", folder=tmp_path)

    assert [name for name in loaded if name not in ("numpy", "safetensors")] == []
    assert code in (0, None)


def test_importing_the_core_is_light() -> None:
    """`import codex_core` brings no library that a plugin module would have to pay for."""
    script = f"import json, sys, codex_core; print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert json.loads(done.stdout) == []


def test_configuration_needs_nothing_heavy(tmp_path: Path) -> None:
    """Composing, checking and showing a configuration work without torch, NumPy and the libraries of a run."""
    for arguments in (
        ["registry", "compose", "-o", "run.yaml"],
        ["config", "validate", "run.yaml"],
        ["config", "show", "run.yaml", "--origin"],
    ):
        code, loaded = _loaded(*arguments, folder=tmp_path)

        assert loaded == [], arguments
        assert code in (0, None), arguments
