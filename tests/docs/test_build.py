"""The documentation builds without a warning, and the front page says what is run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import sockets

ROOT = Path(sockets.REPOSITORY)


@pytest.mark.slow
def test_documentation_builds_strictly(tmp_path: Path) -> None:
    """Sphinx finds no broken link, anchor, reference or orphan page: each would be a warning, and each fails."""
    for module in ("sphinx", "myst_parser", "furo"):
        pytest.importorskip(module)
    command = [sys.executable, "-m", "sphinx", "-W", "-n", "--keep-going", "-q", "-E"]
    command += ["-d", str(tmp_path / "trees"), "docs", str(tmp_path / "html")]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "html" / "index.html").is_file()


def _one_liners() -> list[str]:
    """The set-up commands of the front page."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(r"```sh\n(python3 -m venv [^\n]+)\n```", text)


def test_front_page_has_two_commands_of_one_line() -> None:
    """One command sets everything up and runs the main job, the other sets everything up and passes the tests."""
    demo, tests = _one_liners()

    assert demo.endswith(".venv/bin/hatch run demo")
    assert tests.endswith(".venv/bin/hatch run test:all")
    assert demo.rpartition("&&")[0] == tests.rpartition("&&")[0]


def test_continuous_integration_runs_the_command_of_the_front_page() -> None:
    """`.ci/run` holds the test command word for word, and the two other verbs."""
    text = (ROOT / ".ci" / "run").read_text(encoding="utf-8")

    assert _one_liners()[1] in text
    assert "hatch run core:check" in text
    assert "hatch run test:proof" in text


def test_links_between_files_lead_somewhere() -> None:
    """Links from the pages outside of `docs` name files that exist."""
    broken = []
    for page in [*ROOT.glob("*.md"), *ROOT.glob("packages/*/README.md"), *ROOT.glob("examples/**/*.md")]:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if "://" not in target and not (page.parent / target).exists():
                broken.append(f"{page.relative_to(ROOT)}: {target}")

    assert broken == []
