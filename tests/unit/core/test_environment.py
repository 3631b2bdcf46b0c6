"""What a run tells of its machine: facts, scrubbed, and null where there is none."""

from __future__ import annotations

import subprocess

import pytest

from codex_core.running import environment, processors

SECRET = "hunter2" * 3


@pytest.fixture
def repository(tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True)

    git("init", "-q", "-b", "trunk")
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "-q", "-m", "first")
    return tmp_path


def test_collected_facts_are_plain_and_name_the_packages(tmp_path):
    """Python, platform, packages and hardware are always there; an absent package is null."""
    found = environment.collect(environ={}, folder=tmp_path)
    assert found["packages"]["codex-core"] and set(environment.PACKAGES) == set(found["packages"])
    assert found["hardware"]["cpus"] >= 1 and found["python"].count(".") == 2
    assert environment.packages(["no-such-distribution"]) == {"no-such-distribution": None}


def test_only_listed_variables_are_recorded_and_secrets_never(tmp_path):
    """A variable is recorded when it can change numbers; a secret is cut out of whatever holds it."""
    environ = {"HF_TOKEN": SECRET, "HOME": "/home/me", "OMP_NUM_THREADS": "2", "CODEX_PLUGINS": f"a,{SECRET}"}
    found = environment.collect(environ=environ, folder=tmp_path)
    assert found["variables"] == {"OMP_NUM_THREADS": "2", "CODEX_PLUGINS": "a,[redacted]"}
    assert SECRET not in str(found)


def test_git_state_tells_revision_and_changes(repository):
    """Revision and branch of the folder, and whether tracked files differ from it."""
    state = environment.git_state(repository)
    assert (state["branch"], state["changed"]) == ("trunk", False)
    assert len(state["revision"]) == 40
    (repository / "file").write_text("two")
    assert environment.git_state(repository)["changed"] is True


def test_git_state_is_null_without_a_repository_or_without_git(tmp_path, monkeypatch):
    """Neither is a mistake: the fact is absent."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert environment.git_state(tmp_path) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert environment.git_state(tmp_path) is None


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("100000 100000", 1), ("150000 100000", 2), ("max 100000", 64), ("nonsense", 64), (None, 64)],
)
def test_processors_are_cut_to_the_limit_of_the_control_group(limit, expected, tmp_path, monkeypatch):
    """A container with a quota of one and a half processors gets two threads, not the machine's sixty-four."""
    path = tmp_path / "cpu.max"
    if limit is not None:
        path.write_text(limit)
    monkeypatch.setattr(processors, "_CGROUP_LIMIT", path)
    monkeypatch.setattr(environment.os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    assert processors.num_cpus() == expected
