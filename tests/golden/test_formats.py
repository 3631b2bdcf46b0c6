"""Every released format version still loads, trains on, and gives the numbers it gave."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from codex_core import checkpoints, config
from codex_core.data.prepare import open_prepared
from tests.support.commands import Project, final_state

VERSIONS = sorted(path for path in (Path(__file__).parent / "formats").iterdir() if path.is_dir())
MOST_BYTES = 200_000


@pytest.fixture(params=VERSIONS, ids=lambda path: path.name)
def golden(request, tmp_path):
    """A copy of one version's files, as a project."""
    project = Project.make(tmp_path / "project")
    for name in ("corpus", "run", "run.yaml"):
        source = request.param / name
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, project.path / name)
    shutil.copytree(request.param / "store", project.path / ".codex" / "store")
    return project


def test_golden_files_are_small():
    """A repository carries its promises lightly: each artefact of each version has less than 200 kB."""
    sizes = {
        f"{version.name}/{part.name}": sum(path.stat().st_size for path in part.rglob("*") if path.is_file())
        for version in VERSIONS
        for part in version.iterdir()
    }

    assert {part: size for part, size in sizes.items() if size >= MOST_BYTES} == {}


def test_configuration_of_every_version_loads(golden):
    """The file that was written by hand and the one that the run wrote load; the latter keeps its hash."""
    record = json.loads((golden.path / "run" / "run.json").read_text())
    written = config.load(golden.path / "run.yaml")
    resolved = config.load(golden.path / "run" / "config.yaml")

    assert written.run.name == resolved.run.name == "golden"
    assert resolved.hash() == record["config_hash"]


def test_prepared_set_of_every_version_opens(golden):
    """Every byte is verified, and texts and rows come out."""
    (path,) = [path for path in (golden.path / ".codex/store/tokens").iterdir() if path.is_dir()]

    prepared = open_prepared(path)

    texts = list(prepared.texts("train"))
    assert len(texts) == prepared.manifest["splits"]["train"]["documents"]
    assert prepared.packed("train", seed=1).rows(0, 2).inputs.shape == (2, 32)


def test_checkpoints_of_every_version_verify(golden):
    """Each checkpoint verifies, and the newest is the last step."""
    root = golden.path / "run" / "checkpoints"

    assert [checkpoints.verify(path).step for path in checkpoints.committed(root).values()] == [8, 4]
    assert checkpoints.newest(root).step == 8


@pytest.mark.slow
def test_run_of_every_version_continues_to_the_same_end(golden):
    """Resumed from its earlier checkpoint, the run ends with the bytes it ended with; and it can be sampled from."""
    before = final_state(golden.path / "run")

    resumed = golden.codex("train", "--resume", "run/checkpoints/step-00000004")
    sampled = golden.codex("generate", "--model", "run", "--max-new-tokens", "4", "The")

    assert resumed.code == 0, resumed.err
    assert final_state(golden.path / "run") == before
    assert sampled.code == 0 and sampled.out.startswith("The")
