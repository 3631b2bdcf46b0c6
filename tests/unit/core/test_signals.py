"""Stopping in order: the first signal asks, the second one insists."""

from __future__ import annotations

import signal

import pytest

from codex_core.errors import ExitCode, Interrupted
from codex_core.running.signals import Stop, listening


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, ExitCode.TERMINATED)]
)
def test_signal_outside_training_stops_at_once(number: signal.Signals, code: ExitCode) -> None:
    """While preparing nothing is gained by waiting: the signal raises, with its exit code 130 or 143."""
    with pytest.raises(Interrupted) as raised, listening():
        signal.raise_signal(number)

    assert raised.value.exit_code == code


def test_first_signal_while_training_asks_and_the_second_insists() -> None:
    """Within `deferred` the first signal sets the mark and is told; the second raises."""
    told: list[int] = []
    with listening(told.append) as stop, stop.deferred():
        assert not stop()
        signal.raise_signal(signal.SIGTERM)
        assert stop() and stop.number == signal.SIGTERM and told == [signal.SIGTERM]
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGINT)


def test_handlers_are_put_back() -> None:
    """After the context, signals mean again what they meant before."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(Interrupted), listening():
        signal.raise_signal(signal.SIGINT)

    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_request_after_training_stops_at_once_again() -> None:
    """When the steps are over a signal no longer waits for a step."""
    stop = Stop()
    with stop.deferred():
        pass
    with pytest.raises(Interrupted):
        stop.request(signal.SIGINT)
