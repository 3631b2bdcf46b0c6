"""The pump: writers get every row in order, and nothing they do reaches the trainer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from codex_core.contracts import RunInfo
from codex_core.events import Event, Warned, WriterDisabled
from codex_core.running.sinks import Pump
from tests.support.list_writer import ListWriter

RUN = RunInfo(run_id="abc", name="x", attempt=1, path=Path("run"))


def raising_in(name: str, error: BaseException) -> Callable[[str], None]:
    """A failure in one method."""

    def fail(method: str) -> None:
        if method == name:
            raise error

    return fail


def pumped(*writers: ListWriter, num_rows: int = 5) -> list[Event]:
    """Run so many rows through writers named w0, w1, ...; returns what was reported."""
    with Pump([(f"w{number}", writer) for number, writer in enumerate(writers)], RUN) as pump:
        for number in range(num_rows):
            pump.put({"step": number})
        pump.flush()
    return pump.events()


def sink_threads() -> list[threading.Thread]:
    """Living threads of pumps."""
    return [thread for thread in threading.enumerate() if thread.name == "codex-sinks"]


def test_rows_arrive_in_order_on_the_sink_thread_alone() -> None:
    """Every row once, sequence rising by one, every call on the sink thread, closed at the end."""
    writer = ListWriter()

    assert pumped(writer) == []

    assert writer.rows == [(number + 1, {"step": number}) for number in range(5)]
    assert writer.threads == {"codex-sinks"} and writer.calls[:2] == ["probe", "open"]
    assert writer.calls[-2:] == ["flush", "close"] and writer.calls.count("close") == 1
    assert sink_threads() == []


@pytest.mark.parametrize("method", ["probe", "open", "write", "flush", "close"])
@pytest.mark.parametrize("error", [OSError("disk"), SystemExit(3), KeyboardInterrupt()])
def test_failing_writer_is_set_aside_and_the_others_go_on(method: str, error: BaseException) -> None:
    """Whatever a writer raises wherever, it is reported once by name, gets nothing more, and others get all rows."""
    bad, good = ListWriter(fail=raising_in(method, error)), ListWriter()

    events = pumped(bad, good)

    assert [(type(event), event.fields()["name"]) for event in events] == [(WriterDisabled, "w0")]
    assert len(good.rows) == 5 and good.calls[-1] == "close"
    assert bad.calls.count(method) == 1 and bad.calls.count("close") <= 1


def test_writer_that_cannot_work_here_is_told() -> None:
    """A probe that says no is a reason, in its own words."""
    writer = ListWriter(problem="tensorboard is not installed")

    (event,) = pumped(writer)

    assert isinstance(event, WriterDisabled) and event.reason == "tensorboard is not installed"
    assert writer.rows == [] and writer.calls == ["probe"]


def test_rows_that_are_not_acknowledged_are_told() -> None:
    """A writer that says it kept fewer rows than it got is disabled with both numbers."""
    (event,) = pumped(ListWriter(acknowledges=False))

    assert isinstance(event, WriterDisabled) and "0 of 5" in event.reason


def test_full_queue_never_blocks_and_is_told() -> None:
    """Rows that find the queue full are counted and told at once and at the end."""
    gate, entered = threading.Event(), threading.Event()

    def wait(method: str) -> None:
        if method == "write":
            entered.set()
            gate.wait(10)

    writer = ListWriter(fail=wait)
    with Pump([("slow", writer)], RUN, capacity=2) as pump:
        pump.put({"step": 0})
        assert entered.wait(10)
        for number in range(1, 8):
            pump.put({"step": number})
        first = pump.events()
        gate.set()

    assert [row["step"] for _, row in writer.rows] == [0, 1, 2]
    assert isinstance(first[0], Warned) and "do not keep up" in first[0].text
    assert any(isinstance(event, Warned) and event.text.startswith("5 rows") for event in pump.events())


def test_writer_that_never_returns_does_not_hold_the_end() -> None:
    """A stuck writer is named when the stop has waited long enough."""
    gate = threading.Event()
    writer = ListWriter(fail=lambda method: (gate.wait(10), None)[1] if method == "write" else None)
    with Pump([("stuck", writer)], RUN, stop_wait_s=0.05) as pump:
        pump.put({"step": 0})
    events = pump.events()
    gate.set()

    assert isinstance(events[-1], WriterDisabled) and events[-1].name == "stuck"


def test_thread_is_joined_when_the_work_raises() -> None:
    """An exception within leaves no thread behind, and the writer is flushed and closed."""
    writer = ListWriter()
    with pytest.raises(ZeroDivisionError), Pump([("w", writer)], RUN) as pump:
        pump.put({"step": 0})
        raise ZeroDivisionError

    assert sink_threads() == [] and writer.calls[-2:] == ["flush", "close"] and len(writer.rows) == 1


def test_without_writers_there_is_no_thread() -> None:
    """A run without sinks costs nothing."""
    with Pump([], RUN) as pump:
        pump.put({"step": 0})
        pump.flush()
        assert sink_threads() == []
    assert pump.events() == []
