"""The crash kit: kill a real training at many moments, resume it, and compare it with the unbroken run.

A case is a configuration in a project folder. `Lab.unbroken` trains it once; `Lab.broken` trains it again and kills
it with SIGKILL where it is told to, over and over; after each kill `survey` looks at what is left, and at the end
weights, moments, state, cursor and metric views must have the bytes of the unbroken run. All choices come from one
seed, which is in every message.

Decision: what a kill hit is told by where the process killed itself, and by the journal for moments that have no
file operation; a kill that came too late, because the run was done, is counted as such and not as a survival.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import attrs

from codex_core import checkpoints, journal
from codex_core.runs import RunDir
from codex_core.testing.claims import claim
from codex_core.testing.crash_points import HOWS, CrashPoint

KILLED = -9


@attrs.frozen(kw_only=True)
class Case:
    """A training to be broken: a configuration of `steps` steps that saves and evaluates at intervals.

    `is_beside` says that it saves beside the training. `operations` bounds the file operations of a phase among
    which kills are spread, `start_s` the time in which a resume is on its way to its first step. `bases` are
    configurations that are trained first, by run directory: what the case begins from.
    """

    name: str
    config: str
    steps: int
    save_every: int
    evaluate_every: int
    is_beside: bool = False
    operations: Mapping[str, int] = attrs.field(factory=lambda: {"save": 60, "prune": 8, "resume": 10})
    start_s: float = 0.1
    bases: Mapping[str, str] = attrs.field(factory=dict)


@attrs.define
class Outcome:
    """What became of a broken run: how many kills hit each phase, and how many came after the end."""

    hit: Counter[str] = attrs.field(factory=Counter)
    missed: int = 0
    attempts: int = 0


class Server:
    """A crash server with modules imported; use as a context manager."""

    def __init__(self, imports: Sequence[str], environ: Mapping[str, str] | None = None) -> None:
        self._command = [sys.executable, "-m", "codex_core.testing.crash_server", *imports]
        self._environ = {**os.environ, "OMP_NUM_THREADS": "1", **(environ or {})}
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            self._command, env=self._environ, stdin=pipe, stdout=pipe, text=True, bufsize=1
        )
        claim(self._answer() == {"ready": True}, "the crash server did not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def run(self, *arguments: str, folder: Path, says: Path, point: CrashPoint | None = None) -> int:
        """Run `codex` with arguments in a folder; the exit code, negative for a signal."""
        assert self._process is not None and self._process.stdin is not None
        fields = None if point is None else attrs.asdict(point)
        job = {"arguments": arguments, "folder": str(folder), "says": str(says), "point": fields}
        self._process.stdin.write(json.dumps(job) + "\n")
        return int(self._answer()["returncode"])

    def _answer(self) -> dict[str, Any]:
        assert self._process is not None and self._process.stdout is not None
        line = self._process.stdout.readline()
        claim(bool(line), "the crash server has gone")
        answer: dict[str, Any] = json.loads(line)
        return answer


@attrs.define(kw_only=True, eq=False)
class Lab:
    """Runs of one case in one project folder."""

    case: Case
    server: Server
    folder: Path
    evaluation_s: float = 0.0

    def unbroken(self) -> dict[str, bytes]:
        """Train to the end; what a run must end with."""
        (self.folder / ".codex").mkdir(parents=True, exist_ok=True)
        for name, config in (*self.case.bases.items(), ("unbroken", self.case.config)):
            file = "run.yaml" if name == "unbroken" else f"{name}.yaml"
            (self.folder / file).write_text(config, encoding="utf-8")
            run = self.folder / name
            code = self._codex("train", file, "--run-dir", name, run=run)
            claim(code == 0, f"{self.case.name}: the unbroken run ended with {code}: {self._said(run)}")
        self.evaluation_s = _length_of_evaluations(run)
        return final_state(run)

    def broken(
        self, name: str, *, phases: Sequence[str], seed: int, expected: Mapping[str, bytes]
    ) -> Outcome:
        """Train with a kill in each of `phases`, in this order, then to the end; compare with `expected`."""
        claim(not phases or phases[0] != "resume", "what has not begun cannot be resumed")
        chance, outcome, run = random.Random(seed), Outcome(), self.folder / name
        told = f"{self.case.name}, {name}, seed {seed}"
        code = KILLED
        for phase in phases:
            point, before = self.point(phase, chance), journal.read(run / "journal").attempt
            code = self._attempt(run, point)
            outcome.attempts += 1
            claim(code in (0, KILLED), f"{told}: {point} ended with {code}: {self._said(run)}")
            if code == 0 or RunDir.open(run).record()["status"] == "finished":
                outcome.missed += 1
                code = 0
                break
            survey(run, self.case, f"{told}, after {point}")
            outcome.hit[self._phase_hit(run, phase, before)] += 1
        if code != 0:
            code = self._attempt(run, None)
            claim(code == 0, f"{told}: the last attempt ended with {code}: {self._said(run)}")
        found = final_state(run)
        differing = sorted(
            path for path in expected.keys() | found.keys() if expected.get(path) != found.get(path)
        )
        claim(not differing, f"{told}: these differ from the unbroken run: {differing}")
        journal.verify(run / "journal")
        litter = [path.name for path in run.rglob("*.tmp-*")]
        claim(bool(outcome.missed) or not litter, f"{told}: the finished run still holds {litter}")
        return outcome

    def point(self, phase: str, chance: random.Random) -> CrashPoint:
        """A moment in a phase, drawn by chance."""
        case = self.case
        if phase == "evaluation":
            delay_s, every = chance.uniform(0.0, self.evaluation_s), case.evaluate_every
            return CrashPoint(phase=phase, delay_s=delay_s, evaluate_every=every)
        if phase == "step":
            delay_s = chance.uniform(0.0, self.evaluation_s)
            return CrashPoint(phase=phase, operation=chance.randint(1, case.save_every), delay_s=delay_s)
        if phase == "resume" and chance.random() < 0.5:
            return CrashPoint(phase=phase, delay_s=chance.uniform(0.0, case.start_s))
        operation = chance.randint(1, case.operations[phase])
        return CrashPoint(phase=phase, operation=operation, how=chance.choice(HOWS))

    def _attempt(self, run: Path, point: CrashPoint | None) -> int:
        """Start the run, or resume it when there is something to resume."""
        if (run / "lock.json").exists():
            return self._codex("train", "--resume", run.name, run=run, point=point)
        return self._codex("train", "run.yaml", "--run-dir", run.name, run=run, point=point)

    def _codex(self, *arguments: str, run: Path, point: CrashPoint | None = None) -> int:
        return self.server.run(*arguments, folder=self.folder, says=self._says(run), point=point)

    def _says(self, run: Path) -> Path:
        return self.folder / f"{run.name}.said.txt"

    def _said(self, run: Path) -> str:
        return self._says(run).read_text(errors="replace")[-2000:]

    def _phase_hit(self, run: Path, aimed: str, before: int) -> str:
        """What a kill really hit, after attempt `before`: a timer may have gone off a little late."""
        if aimed in ("save", "prune"):
            return aimed
        last = [record for record in journal.read(run / "journal").records if record.attempt > before]
        steps = [record for record in last if record.kind == "step"]
        if not steps:
            return "resume"
        is_due = steps[-1].fields["step"] % self.case.evaluate_every == 0
        has_ended = any(
            record.kind == "evaluation" and record.fields["step"] == steps[-1].fields["step"]
            for record in last
        )
        return "evaluation" if is_due and not has_ended else "step"


def survey(run: Path, case: Case, told: str) -> None:
    """What must hold after any kill: the newest checkpoint that verifies is not too old, and pointers name no ruin.

    A save beside the training is one interval behind at most while it lasts, so there the bound is two intervals.
    """
    steps = [one.fields["step"] for one in journal.read(run / "journal").records if one.kind == "step"]
    reached = steps[-1] if steps else 0
    root = run / "checkpoints"
    found = checkpoints.newest(root).step if checkpoints.committed(root) else 0
    intervals = 2 if case.is_beside else 1
    claim(
        reached - found <= intervals * case.save_every,
        f"{told}: step {reached} was reached, and the newest checkpoint that verifies is of step {found}",
    )
    for pointer in root.glob("*.json"):
        name = json.loads(pointer.read_bytes())["path"]
        claim((root / name).is_dir(), f"{told}: {pointer.name} names {name}, which is not there")


def _length_of_evaluations(run: Path) -> float:
    """The time from the record of a step to that of its evaluation, the shortest of a run."""
    times: dict[int, datetime] = {}
    lengths = []
    for record in journal.read(run / "journal").records:
        if record.kind == "step":
            times[record.fields["step"]] = datetime.fromisoformat(record.time)
        elif record.kind == "evaluation":
            began = times[record.fields["step"]]
            lengths.append((datetime.fromisoformat(record.time) - began).total_seconds())
    claim(bool(lengths), "a case of the crash kit evaluates")
    return min(lengths)


def final_state(run: Path) -> dict[str, bytes]:
    """What must not depend on how a run came to its end: newest checkpoint without its manifest, metric views."""
    newest = checkpoints.newest(run / "checkpoints").path
    files = [path for path in newest.rglob("*") if path.is_file() and path.name != "MANIFEST.json"]
    state = {path.relative_to(newest).as_posix(): path.read_bytes() for path in files}
    return state | {name: (run / name).read_bytes() for name in ("metrics.ndjson", "metrics.csv")}
