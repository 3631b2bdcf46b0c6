"""What a look at a run directory finds: the account that `codex runs verify` gives."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from codex_core.canonical import digest_of, file_digest
from codex_core.journal import History, JournalRecord


@attrs.frozen
class Finding:
    """Something that differs: `artefact` is the file, relative to the run, and `problem` where and how."""

    artefact: str
    problem: str


@attrs.frozen(kw_only=True)
class Account:
    """What was found: `covered` are digests by relative path, `root` is one digest over them.

    `not_covered` are sentences about what no digest of the run vouches for, `unaccounted` files that are not the
    run's own.
    """

    run_id: str
    attempts: int
    steps: int
    covered: Mapping[str, str]
    findings: tuple[Finding, ...]
    not_covered: tuple[str, ...]
    unaccounted: tuple[str, ...]

    @property
    def root(self) -> str:
        """One digest over everything that was accounted for."""
        return digest_of(dict(self.covered))


@attrs.frozen(kw_only=True)
class Reading:
    """A run as it is looked at, and what was seen so far."""

    folder: Path
    record: Mapping[str, Any]
    history: History
    findings: list[Finding] = attrs.field(factory=list)
    not_covered: list[str] = attrs.field(factory=list)
    covered: dict[str, str] = attrs.field(factory=dict)

    def differs(self, artefact: str, problem: str) -> None:
        """Note something that differs."""
        self.findings.append(Finding(artefact, problem))

    def cover(self, path: Path, digest: str | None = None) -> None:
        """Count a file (or a checkpoint by its manifest) as accounted for."""
        self.covered[path.relative_to(self.folder).as_posix()] = digest or file_digest(path)

    def of_kind(self, kind: str) -> list[JournalRecord]:
        """The records of a kind, in order."""
        return [record for record in self.history.records if record.kind == kind]
