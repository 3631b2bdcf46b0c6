"""`log.txt`, a run's journal for people.

Decisions: it is written when the run ends, from files only, so that it can be written again for a run that crashed
or was copied; it tells every attempt, what is wrong with the journal, and what the samples of the machine say.
"""

from __future__ import annotations

from pathlib import Path

from codex_core import journal
from codex_core.files import write_atomic
from codex_telemetry import samples
from codex_telemetry.rendering import render, render_record

LOG_NAME = "log.txt"


def write(run_dir: Path) -> None:
    """Write `log.txt` into a run directory."""
    write_atomic(run_dir / LOG_NAME, render_run(run_dir))


def render_run(run_dir: Path) -> str:
    """The whole journal of a run, one line per record, with a summary of the samples at the end."""
    history = journal.read(run_dir / "journal")
    lines = [render_record(record) for record in history.records]
    lines += [render("journal_problem", {"text": problem}) for problem in history.problems]
    if (summary := samples.summarize(run_dir)) is not None:
        lines.append(render("system_metrics", summary))
    return "".join(line + "\n" for line in lines)
