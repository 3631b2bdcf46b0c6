"""Pytest's side of the sockets guard: an attempt fails the test in which it happened, in a child as well."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

from tests.support import sockets


class NetworkGuard:
    """Opens the loopback to tests that are marked so, and fails whatever reached further."""

    def __init__(self, log: str) -> None:
        self.log = log

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Let the marker `loopback` hold for set-up, call and tear-down, children included."""
        allowed = item.get_closest_marker("loopback") is not None
        os.environ[sockets.LOOPBACK_VARIABLE] = "1" if allowed else "0"
        try:
            return (yield)
        finally:
            os.environ[sockets.LOOPBACK_VARIABLE] = "0"

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self) -> Generator[None, object, object]:
        """Fail a test that tried, even if it swallowed the error."""
        result = yield
        self._fail()
        return result

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self) -> Generator[None, object, object]:
        """Fail a fixture that tried."""
        result = yield
        self._fail()
        return result

    def pytest_collection_finish(self) -> None:
        """Fail a session whose modules try while they are imported."""
        if attempts := sockets.drain(self.log):
            raise pytest.UsageError("network attempts while collecting:\n" + "\n".join(attempts))

    def _fail(self) -> None:
        if attempts := sockets.drain(self.log):
            pytest.fail("network attempts:\n" + "\n".join(attempts), pytrace=False)
