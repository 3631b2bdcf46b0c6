"""Core's events as lines of a log."""

from __future__ import annotations

import shutil

import attrs
import pytest

from codex_core import events
from codex_core.events import Event, PluginFailed, RunFinished, StepDone, Warned
from codex_telemetry import logs
from codex_telemetry.rendering import render_event
from tests.unit.telemetry.runs import EVENTS, journalled

KINDS = [
    kind
    for kind in vars(events).values()
    if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
]
EXAMPLES = {"str": "word", "int": 7, "float": 0.5, "bool": True, "Mapping": {"some": 1.5}}


def example(kind: type[Event]) -> Event:
    """An event of a kind, its fields filled by what they hold."""
    given = {}
    for field in attrs.fields(kind):
        name = str(field.type).partition("[")[0].partition(" ")[0]
        given[field.name] = EXAMPLES[name]
    return kind(**given)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_every_event_of_the_core_has_a_line(kind):
    """Each kind of event renders to one line that names the kind and holds each of its fields."""
    line = render_event(example(kind))

    assert "\n" not in line
    assert kind.kind in line
    for field in attrs.fields(kind):
        assert field.name in line or "some=1.5" in line


def test_a_line_holds_time_level_kind_and_measurements():
    """Measurements stand beside the other fields, with six significant digits."""
    event = StepDone(step=40, tokens=4096, metrics={"loss": 2.123456789, "lr": 1e-4})

    assert render_event(event, time="2026-01-02T03:04:05.000000Z") == (
        "2026-01-02T03:04:05.000000Z info     step                 step=40 tokens=4096 loss=2.12346 lr=0.0001"
    )


def test_what_needs_attention_has_a_level_of_its_own():
    """Warnings and failures stand out; a failed run is an error."""
    assert render_event(Warned(code="A-1", text="careful")).startswith("warning ")
    assert render_event(PluginFailed(plugin="p", hook="h", reason="r")).startswith("warning ")
    assert render_event(RunFinished(status="failed", step=1, reason="r", exit_code=1)).startswith("error ")
    assert render_event(RunFinished(status="finished", step=1, reason="r", exit_code=0)).startswith("info ")


def test_texts_of_a_run_can_neither_forge_lines_nor_move_the_cursor():
    """Control characters are spelled out, and a text with blanks is quoted."""
    line = render_event(Warned(code="A-1", text='x\ninfo step=9 "quoted" \x1b[2J \u2028'))

    assert line.isprintable()
    assert '''text="x\\ninfo step=9 'quoted' \\x1b[2J \\u2028"''' in line


def test_a_metric_named_like_a_part_of_the_line_is_kept():
    """A metric may be called `level`; the level of the line stays what it is."""
    line = render_event(StepDone(step=1, tokens=1, metrics={"level": 3.0, "event": 4.0}))

    assert line.startswith("info ")
    assert "level_=3" in line and "event_=4" in line


def test_the_log_of_a_run_is_its_journal_in_lines(tmp_path):
    """Every record has a line, in order, wherever the run directory was copied to."""
    (tmp_path / "run").mkdir()
    shutil.copytree(journalled(tmp_path / "run"), tmp_path / "copy")
    logs.write(tmp_path / "copy")
    lines = (tmp_path / "copy/log.txt").read_text().splitlines()

    assert [line.split()[2] for line in lines] == [event.kind for event in EVENTS]
    assert all(line.startswith("2026-01-02T03:04:05.000000Z ") for line in lines)
    assert "loss=NaN" in lines[3]


def test_what_is_wrong_with_a_journal_is_told(tmp_path):
    """A journal that a killed process left torn has a line that says so."""
    journalled(tmp_path)
    path = next((tmp_path / "journal").iterdir())
    path.write_bytes(path.read_bytes()[:-20])

    last = logs.render_run(tmp_path).splitlines()[-1]
    assert "journal_problem" in last and "torn last line" in last
