"""Errors that a user can act on, and the exit codes they lead to.

Decisions: one class per exit code, one stable code per mistake (`CFG-001`), one catalogue for all five packages.
A message says what is wrong, where, why, and which command fixes it; it never needs a traceback to be understood.

    CodexError
    |- UsageError            exit 2   the command line, the configuration or a policy is wrong
    |- MissingDependency     exit 3   an optional library or plugin is not installed
    |- InputError            exit 4   an input is missing, unreadable or invalid; an output cannot be written
    |- ThresholdMissed       exit 5   a threshold that the user set was not met
    |- CapabilityMissing     exit 6   this machine cannot do what was required
    |- ArtefactError         exit 7   one of our own artefacts is corrupt or locked
    |- RunFailed             exit 1   it ran, and the answer is no
    `- Interrupted           exit 130 or 143
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any


class ExitCode(IntEnum):
    """What a `codex` process says when it ends."""

    OK = 0
    NO = 1
    USAGE = 2
    MISSING = 3
    INPUT = 4
    THRESHOLD = 5
    CAPABILITY = 6
    ARTEFACT = 7
    BUG = 70
    INTERRUPTED = 130
    PIPE = 141
    TERMINATED = 143


EXIT_MEANINGS: dict[ExitCode, str] = {
    ExitCode.OK: "yes",
    ExitCode.NO: "it ran and the answer is no: diverged, out of memory, disk full on the way, text blocked, findings, "
    "rows not ok",
    ExitCode.USAGE: "usage, configuration or policy is wrong",
    ExitCode.MISSING: "an optional dependency or plugin is missing",
    ExitCode.INPUT: "an input is missing, unreadable or invalid, or an output cannot be written",
    ExitCode.THRESHOLD: "a threshold that the user set is not met",
    ExitCode.CAPABILITY: "a required capability is absent on this machine",
    ExitCode.ARTEFACT: "one of our own artefacts is corrupt or locked",
    ExitCode.BUG: "a bug in Codex; a crash file was written",
    ExitCode.INTERRUPTED: "interrupted (SIGINT); the last finished step was saved",
    ExitCode.PIPE: "the reader closed the pipe",
    ExitCode.TERMINATED: "terminated (SIGTERM); the last finished step was saved",
}


class CodexError(Exception):
    """A mistake or failure with a code, a place, a reason and a fix.

    `code` is a key of `error_codes.CATALOGUE`, `what` one sentence without a full stop, `where` a place a user can open
    (`run.yaml:7, model.name`), `why` the reason or the nearest names, `fix` a command or edit that helps.
    `related` holds further mistakes that are reported together with this one.
    """

    exit_code: ExitCode = ExitCode.BUG

    def __init__(
        self,
        *,
        code: str,
        what: str,
        where: str | None = None,
        why: str | None = None,
        fix: str | None = None,
        related: Sequence[CodexError] = (),
    ) -> None:
        super().__init__(what)
        self.code = code
        self.what = what
        self.where = where
        self.why = why
        self.fix = fix
        self.related = tuple(related)

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> list[str]:
        """The message as printed: `error[CODE]: what`, then place, reason and fix where known."""
        shown = [f"error[{self.code}]: {self.what}"]
        if self.where:
            shown.append(f"  --> {self.where}")
        if self.why:
            shown.append(f"  = {self.why}")
        if self.fix:
            shown.append(f"  fix: {self.fix}")
        for other in self.related:
            shown.extend(other.lines())
        return shown

    def as_dict(self) -> dict[str, object]:
        """The message as plain values, for `--json`."""
        shown: dict[str, object] = {"code": self.code, "what": self.what, "exit_code": int(self.exit_code)}
        for name in ("where", "why", "fix"):
            if (value := getattr(self, name)) is not None:
                shown[name] = value
        if self.related:
            shown["related"] = [other.as_dict() for other in self.related]
        return shown


class UsageError(CodexError):
    """The command line, the configuration or a policy is wrong."""

    exit_code = ExitCode.USAGE


class ConfigError(UsageError):
    """A configuration holds a mistake; `related` holds the others found in the same reading."""


class UnknownComponent(UsageError):
    """A name that no installed or known distribution offers."""


class PolicyError(UsageError):
    """A safety policy is missing, misspelt or was bypassed without saying so."""


class MissingDependency(CodexError):
    """An optional library or plugin is not installed; `fix` holds the install line."""

    exit_code = ExitCode.MISSING


class InputError(CodexError):
    """An input is missing, unreadable or invalid, or an output cannot be written."""

    exit_code = ExitCode.INPUT


class ThresholdMissed(CodexError):
    """A threshold that the user set was not met."""

    exit_code = ExitCode.THRESHOLD


class CapabilityMissing(CodexError):
    """This machine cannot do what was required (device, precision, exactness level)."""

    exit_code = ExitCode.CAPABILITY


class ArtefactError(CodexError):
    """One of our own artefacts (checkpoint, prepared set, run, index) is corrupt or locked."""

    exit_code = ExitCode.ARTEFACT


class RunFailed(CodexError):
    """It ran, and the answer is no: diverged, out of memory, disk full on the way."""

    exit_code = ExitCode.NO


class RollBack(RunFailed):
    """A step cannot be applied: the run is to go on from a checkpoint before it, without some of its rows.

    `step` was not applied, `positions` are the global positions of the rows that are to lose their documents. Who
    starts runs catches it; where nobody does, it ends the run as what it is, a failure.
    """

    def __init__(self, *, step: int, positions: Sequence[int], code: str, what: str, **told: Any) -> None:
        super().__init__(code=code, what=what, **told)
        self.step = step
        self.positions = tuple(positions)


class Interrupted(CodexError):
    """A signal asked the process to stop; what was finished is saved."""

    exit_code = ExitCode.INTERRUPTED

    def __init__(self, *, signal_number: int, what: str, fix: str | None = None) -> None:
        super().__init__(code="RUN-010", what=what, fix=fix)
        self.exit_code = ExitCode.TERMINATED if signal_number == 15 else ExitCode.INTERRUPTED


def error_anchor(code: str) -> str:
    """The anchor of an error code in `docs/reference/errors`, e.g. `cfg-001`."""
    return code.lower()
