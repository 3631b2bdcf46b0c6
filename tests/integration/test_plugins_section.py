"""The `plugins` section of a configuration decides who takes part in a run: only, off, pins, and what is frozen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import Project, Said
from tests.support.distributions import Site, good
from tests.support.skips import is_installed

#: A tokenizer that works, under any name, from a distribution of its own; being imported leaves a trace.
BYTES = "codex_core.data.bytes_tokenizer:BytesTokenizer"

#: An event hook that ends the first run which saves a checkpoint, as an impatient user would.
STOPS_ONCE = """
@hookimpl
def codex_checkpoint_saved(ctx):
    import os, signal
    if not os.path.exists({path!r}):
        open({path!r}, "w").close()
        os.kill(os.getpid(), signal.SIGTERM)
"""

CONFIG = """
data:
  sources: [{name: jsonl, path: rows.jsonl}]
  split: [0.8, 0.2, 0.0]
  seq_len: 32
tokenizer: TOKENIZER
model: ngram
trainer: {name: ngram, duration: 3 epochs}
checkpoint: {every: 1 epoch}
safety: {name: none, reason: a test}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project, and two distributions that offer the tokenizer `twin`.

    `dist-a` also listens to runs, `dist-b` also offers what may replace `bytes`.
    """
    site = Site(tmp_path / "site")
    for dist in ("dist-a", "dist-b"):
        trace = f"open({str(tmp_path / dist)!r}, 'w').close()\n"
        extra = ""
        if dist == "dist-b":
            extra = "\n_TWIN = codex_tokenizers\n@hookimpl\ndef codex_tokenizers():\n"
            extra += f"    more = Component('bytes', target={BYTES!r}, summary='', overrides='bytes')\n"
            extra += "    return [*_TWIN(), more]\n"
            extra += STOPS_ONCE.format(path=str(tmp_path / "stopped"))
        else:
            extra = (
                f"\n@hookimpl\ndef codex_run_started(ctx): open({str(tmp_path / 'heard')!r}, 'w').close()\n"
            )
        site.add(dist, trace + good("twin", target=BYTES, extra=extra))
    made = Project.make(
        tmp_path / "project",
        PYTHONPATH=str(site.path),
        CODEX_HOME=str(tmp_path / "home"),
        CODEX_PROBE_LIMIT_S="20",
        CODEX_PLUGINS_OFF=",".join(_installed_siblings()),
    )
    rows = [json.dumps({"text": f"row {number} of a small corpus"}) for number in range(40)]
    (made.path / "rows.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return made


def _installed_siblings() -> list[str]:
    names = ("codex-models", "codex-safety", "codex-telemetry", "codex-tokenizers")
    return [name for name in names if is_installed(name.replace("-", "_"))]


def ask(project: Project, *command: str, tokenizer: str, plugins: str = "") -> Said:
    """Run a command on the configuration with this tokenizer and this `plugins` section."""
    path = project.path / "run.yaml"
    path.write_text(CONFIG.replace("TOKENIZER", tokenizer) + plugins, encoding="utf-8")
    return project.codex(*command, "run.yaml")


def chosen(project: Project, **arguments: Any) -> str:
    """The canonical id of the tokenizer that `config show` resolves."""
    said = ask(project, "config", "show", **arguments)
    assert said.code == 0, said.err
    return next(line for line in said.out.splitlines() if "twin" in line or "/bytes" in line).split()[-1]


@pytest.mark.slow
def test_ambiguous_name_is_refused_until_a_pin_decides(project: Project) -> None:
    """Two claimants are exit 2 with both ids; a pin makes the bare name one of them, whichever is pinned."""
    refused = ask(project, "plan", tokenizer="twin")

    assert refused.code == 2 and "dist-a/twin" in refused.err and "dist-b/twin" in refused.err
    for dist in ("dist-a", "dist-b"):
        assert chosen(
            project, tokenizer="twin", plugins=f"plugins: {{pins: {{tokenizers/twin: {dist}}}}}"
        ) == (f"{dist}/twin")


def test_switched_off_plugin_leaves_the_name_to_the_other(project: Project, tmp_path: Path) -> None:
    """`plugins.off` keeps a plugin from being imported at all, and its names go to who remains."""
    assert chosen(project, tokenizer="twin", plugins="plugins: {off: [dist-a]}") == "dist-b/twin"
    assert (tmp_path / "dist-b").exists() and not (tmp_path / "dist-a").exists()


@pytest.mark.slow
def test_allow_list_leaves_the_others_out(project: Project, tmp_path: Path) -> None:
    """`plugins.only` allows what it names besides the built-in plugins; an empty one allows those alone."""
    assert chosen(project, tokenizer="twin", plugins="plugins: {only: [dist-a]}") == "dist-a/twin"
    assert not (tmp_path / "dist-b").exists()

    refused = ask(project, "plan", tokenizer="dist-a/twin", plugins="plugins: {only: []}")

    assert refused.code == 2 and "dist-a/twin" in refused.err


@pytest.mark.slow
def test_built_in_name_changes_hands_with_override_and_pin_only(project: Project) -> None:
    """`overrides` alone leaves the built-in in place; with a pin the configuration gets the replacement."""
    assert chosen(project, tokenizer="bytes") == "codex-core/bytes"
    pinned = "plugins: {pins: {tokenizers/bytes: dist-b}}"
    assert chosen(project, tokenizer="bytes", plugins=pinned) == "dist-b/bytes"


@pytest.mark.parametrize(
    "plugins", ["{off: [dist-z]}", "{only: [dist-z]}", "{pins: {tokenizers/twin: dist-z}}"]
)
def test_entry_that_names_nothing_is_refused(project: Project, plugins: str) -> None:
    """A misspelt distribution in any of the three lists is exit 2 with near names."""
    said = ask(project, "config", "validate", tokenizer="dist-a/twin", plugins=f"plugins: {plugins}")

    assert said.code == 2
    assert "dist-z" in said.err and "did you mean" in said.err


@pytest.mark.slow
def test_run_and_its_resume_keep_to_the_plugins_of_the_configuration(
    project: Project, tmp_path: Path
) -> None:
    """Training uses the pinned tokenizer; the plugin left out is not in the lock and not asked when the run goes on.

    The resume is told nothing but the run: the selection comes from its lock.
    """
    plugins = "plugins: {off: [dist-a], pins: {tokenizers/bytes: dist-b}}"
    said = ask(project, "train", "--run-dir", "run", tokenizer="bytes", plugins=plugins)

    assert said.code == 143, said.err
    lock = json.loads((project.path / "run" / "lock.json").read_text(encoding="utf-8"))
    assert lock["components"]["tokenizer"]["id"] == "dist-b/bytes"
    frozen = {plugin["dist"] for plugin in lock["plugins"]}
    assert "dist-b" in frozen and "dist-a" not in frozen
    heard = tmp_path / "heard"
    assert not heard.exists()

    again = project.codex("train", "--resume", "run")

    assert again.code == 0 and "finished" in again.out, again.err
    assert not heard.exists() and "dist-a" not in again.err
