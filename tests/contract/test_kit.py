"""The conformance kit as plugin authors run it: `pytest -p codex_core.testing --codex-dist DIST`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from codex_core import __version__
from codex_core.components import KINDS
from codex_core.testing.modules import check_plugin_module
from tests.support.commands import Said
from tests.support.distributions import Site

#: The five distributions, by the package without which there is nothing to check.
OURS = {f"codex-{name}": f"codex_{name}" for name in ("core", "models", "safety", "telemetry", "tokenizers")}


def kit(*arguments: str, folder: Path, site: Path | None = None) -> Said:
    """Run pytest with the kit in an empty folder; `site` is searched, too."""
    search = [str(site)] if site else []
    environ = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([*search, *filter(None, [os.environ.get("PYTHONPATH")])]),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "pytest", "-p", "codex_core.testing", "-p", "no:cacheprovider", "-v"]
    done = subprocess.run(
        [*command, *arguments],
        cwd=folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return Said(code=done.returncode, out=done.stdout, err=done.stderr)


#: Libraries of extras without which some components are not usable.
OPTIONAL = {"codex-core": ("pyarrow",)}


@pytest.mark.slow
@pytest.mark.parametrize("dist", OURS)
def test_our_distributions_pass(dist: str, tmp_path: Path) -> None:
    """Each of the five distributions passes the suites that third parties run, and the kit says its version."""
    for module in (OURS[dist], *OPTIONAL.get(dist, ())):  # a component without its library fails its suite
        pytest.importorskip(module)

    said = kit("--codex-dist", dist, folder=tmp_path)

    assert said.code == 0, said.out
    assert f"codex conformance kit {__version__}, plugin API 1.0; checking: {dist}" in said.out
    assert re.search(r"[1-9]\d* passed", said.out)


BROKEN_PLUGIN = """
import numpy
from codex_core import Component, hookimpl
CODEX_API = (1, 0)
CODEX_EXAMPLES = "broken_parts:examples"

def offer(kind, **more):
    return [Component("bad-" + kind, target="broken_parts:" + kind, summary="broken", **more)]

@hookimpl
def codex_tokenizers(): return offer("tokenizers", capabilities=["lossless"])
@hookimpl
def codex_models(): return offer("models", runtime="broken")
@hookimpl
def codex_datasets(): return offer("datasets")
@hookimpl
def codex_metrics(): return offer("metrics")
@hookimpl
def codex_writers(): return offer("writers", capabilities=["durabel"])
@hookimpl
def codex_safety_policies(): return offer("safety_policies")
@hookimpl
def codex_trainers(): return offer("trainers", runtime="broken", options="tests.support.fakes:SuccessorOptions")
@hookimpl
def codex_commands(): return offer("commands")
"""

BROKEN_PARTS = """
import click
from codex_core.records import Decision, Encoded
from tests.support import fakes

def examples(folder):
    return {"safety_policies/bad-safety_policies": {"forbidden": ["hunter2"]}}

class tokenizers(fakes.CodePointTokenizer):
    def decode(self, ids): return super().decode(ids).lower()

class Halves(fakes.GuessingModel):
    def probability(self, last, token): return 0.5

class models(fakes.SuccessorModel):
    @staticmethod
    def open(path, *, device="cpu", dtype=None):
        model = fakes.SuccessorModel.open(path)
        return Halves(vocab_size=model.vocab_size, after=model.after)

class datasets(fakes.TextsDataset):
    def __init__(self, options): super().__init__(fakes.TextsOptions())
    def identity(self): return {"made": 0.5}

class metrics(fakes.CountingMetric):
    def update(self, scored): self.count = len(scored.ids)

class writers(fakes.ListWriter):
    pass

class safety_policies(fakes.WordPolicy):
    def __init__(self, options): super().__init__(fakes.WordOptions())
    def inspect(self, text, stage): return Decision(allowed=True, text=text)

class trainers(fakes.SuccessorTrainer):
    def fit(self, lock, data, *, emit, **given):
        return super().fit(lock, data, emit=lambda event: None, **given)

@click.group()
def commands():
    "Broken."

@commands.command()
def silent():
    pass
"""

#: What the kit says of each planted fault.
SAID = {
    "tokenizers": "differs, though the tokenizer is lossless",
    "models": "probabilities of all next tokens sum to 6.0, not to one",
    "datasets": "identity holds a float at .made",
    "metrics": "the order of texts changes the number",
    "writers": "unknown capabilities: durabel; of writers the suite knows durable, scalars",
    "safety_policies": "a forbidden text passed stage data without a match",
    "trainers": "StepDone was due",
    "commands": "`codex bad-commands silent` does not say what it does",
}


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Said:
    """What the kit says of a distribution with one fault in each of its components."""
    site = Site(tmp_path_factory.mktemp("broken") / "site")
    site.write_module("broken_parts", BROKEN_PARTS)
    site.add("broken-dist", BROKEN_PLUGIN)
    os.symlink(Path(__file__).parents[1], site.path / "tests")
    return kit("--codex-dist", "broken-dist", folder=tmp_path_factory.mktemp("work"), site=site.path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_planted_fault_is_caught(kind: str, broken: Said) -> None:
    """A component with one defect fails, and the sentence names it."""
    assert broken.code == 1
    assert f"{kind}/broken-dist/bad-{kind} FAILED" in broken.out
    assert re.search(SAID[kind], broken.out), broken.out


@pytest.mark.slow
def test_heavy_plugin_module_is_caught(broken: Said) -> None:
    """A plugin module that imports a heavy library fails, and the library is named."""
    assert "plugin/broken-dist/plugin FAILED" in broken.out
    assert "importing broken_dist loads numpy" in broken.out


@pytest.mark.slow
def test_unknown_distribution_is_a_mistake_with_a_fix(tmp_path: Path) -> None:
    """A distribution that is not installed ends pytest as a usage error, with near names."""
    said = kit("--codex-dist", "codex-cor", folder=tmp_path)

    assert said.code == pytest.ExitCode.USAGE_ERROR
    assert "'codex-cor'" in said.err
    assert "did you mean 'codex-core'" in said.err


@pytest.mark.slow
def test_fixtures_are_there_for_authors(tmp_path: Path) -> None:
    """A test of an author gets the tiny corpus and files that fail, and the components are added to it."""
    (tmp_path / "test_mine.py").write_text(
        "import pytest\n"
        "def test_mine(codex_corpus, codex_faulty_files):\n"
        "    assert (codex_corpus / 'rows.jsonl').read_text().count('\\n') == 5\n"
        "    with pytest.raises(OSError):\n"
        "        codex_faulty_files(at=1, mode='full').write(codex_corpus / 'new', b'bytes')\n"
    )

    said = kit("--codex-dist", "codex-core", "-k", "mine or bytes", folder=tmp_path)

    assert said.code == 0, said.out
    assert "2 passed" in said.out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("print('hello')", "prints 'hello"),
        ("raise ValueError('no')", "fails: ValueError: no"),
        (
            "import time\nend = time.process_time() + 0.1\nwhile time.process_time() < end: pass",
            "more than 50 ms",
        ),
    ],
)
def test_plugin_modules_are_light(
    source: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plugin module that prints, fails or takes its time is named with what it did."""
    Site(tmp_path).write_module("module_under_test", source)
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(AssertionError, match=says):
        check_plugin_module("module_under_test")


def test_suites_need_no_pytest(tmp_path: Path) -> None:
    """Importing the suites does not import pytest, so they can be used where it is not installed."""
    code = "import sys, codex_core.testing as kit; kit.check_metric; sys.exit('pytest' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
