"""`codex train` and `codex plan`: one path, of which `plan` is the part that loads no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import click

from codex_core import plan, runs
from codex_core.cli import work
from codex_core.cli.output import print_json, say
from codex_core.cli.progress import Display
from codex_core.cli.session import Session
from codex_core.data.estimate import EstimatedData
from codex_core.errors import ExitCode, InputError, UsageError
from codex_core.execute import RunResult
from codex_core.lock import Choice, Lock, Plan
from codex_core.running.environment import collect
from codex_core.runs import RunDir


@attrs.frozen(kw_only=True)
class Asked:
    """What was asked on the command line: a configuration, or a run to continue."""

    path: Path | None
    overrides: tuple[str, ...]
    seed: int | None
    bypass_safety: str | None

    def plan(self, session: Session) -> Plan:
        """The plan of the configuration; `UsageError` when none was named."""
        if self.path is None:
            raise UsageError(
                code="CLI-005",
                what="no configuration was named",
                why="without one, `--resume` needs the run to continue: codex train --resume @last",
                fix="codex registry compose -o run.yaml, then: codex train run.yaml",
            )
        return work.make_plan(
            session, self.path, self.overrides, seed=self.seed, bypass_safety=self.bypass_safety
        )

    def plan_for(self, session: Session, run: RunDir) -> Plan | None:
        """The plan of what is wanted of a run that continues; None when nothing but that was asked.

        Overrides without a configuration change the run's own.
        """
        if self.path is None and not (self.overrides or self.seed is not None or self.bypass_safety):
            return None
        path = run.path / "config.yaml" if self.path is None else self.path
        return attrs.evolve(self, path=path).plan(session)


def _shared_options(command: Any) -> Any:
    """The arguments and options that say which configuration is meant."""
    for decorate in reversed(
        [
            click.argument("words", nargs=-1, metavar="FILE [OVERRIDES]..."),
            click.option("-c", "--config", "file", type=click.Path(path_type=Path), help="The same as FILE."),
            click.option("--seed", type=click.IntRange(min=0), help="Override run.seed."),
            click.option(
                "--system-metrics",
                type=click.Choice(["off", "cpu", "gpu"], case_sensitive=False),
                help="Sample the machine while training.",
            ),
            click.option("--bypass-safety", metavar="REASON", help="Switch safety off, on the record."),
            click.option("--json", "as_json", is_flag=True, help="Print one JSON object."),
        ]
    ):
        command = decorate(command)
    return command


@click.command()
@_shared_options
@click.option(
    "--run-dir",
    "--art-dir",
    "run_dir",
    type=click.Path(path_type=Path),
    help="The run's folder; must be new.",
)
@click.option(
    "--resume", is_flag=False, flag_value="auto", metavar="[RUN|CHECKPOINT]", help="Continue a run."
)
@click.option(
    "--resume-or-start", is_flag=True, help="Continue if there is something to continue, else start."
)
@click.option(
    "--without",
    multiple=True,
    metavar="DOC[,DOC...]|@FILE",
    help="From here on learn nothing of these documents; with --resume.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be done; the same as `codex plan`.")
@click.pass_obj
def train(
    session: Session,
    words: tuple[str, ...],
    file: Path | None,
    seed: int | None,
    system_metrics: str | None,
    bypass_safety: str | None,
    as_json: bool,
    run_dir: Path | None,
    resume: str | None,
    resume_or_start: bool,
    without: tuple[str, ...],
    dry_run: bool,
) -> int:
    """Train what the configuration FILE describes, or continue a run.

    \b
    Examples:
      codex train run.yaml
      codex train run.yaml trainer.lr=1e-4 --seed 7
      codex train run.yaml --resume          the newest unfinished run of this configuration
      codex train --resume @last             that run, from its lock
      codex train run.yaml --resume-or-start  for job scripts
      codex train --resume runs/RUN/checkpoints/step-00000040 --without DOC  go back, and leave a document out
    """
    words, resume = _untangle(words, resume)
    asked = _asked(words, file, seed=seed, system_metrics=system_metrics, bypass_safety=bypass_safety)
    if dry_run:
        return _dry_run(session, asked, as_json=as_json)
    with work.noting_failures(session, command="train"):
        documents = documents_named(without)
        if documents and (resume is None or resume_or_start):
            raise _without_a_resume()
        result = _run(
            session,
            asked,
            run_dir=run_dir,
            resume=resume,
            resume_or_start=resume_or_start,
            without=documents,
        )
    _tell(result, as_json=as_json)
    return result.exit_code


@click.command("plan")
@_shared_options
@click.option(
    "--estimate",
    "sampled",
    is_flag=True,
    help="Sample the data, prepare nothing, and name each estimate.",
)
@click.pass_obj
def plan_command(
    session: Session,
    words: tuple[str, ...],
    file: Path | None,
    seed: int | None,
    system_metrics: str | None,
    bypass_safety: str | None,
    as_json: bool,
    sampled: bool,
) -> int:
    """Show what training FILE would do: components, data, steps, tokens, memory. Prepares data, loads no torch.

    \b
    Examples:
      codex plan run.yaml
      codex plan run.yaml trainer.duration='2 epochs'
      codex plan run.yaml --estimate
    """
    asked = _asked(words, file, seed=seed, system_metrics=system_metrics, bypass_safety=bypass_safety)
    return _dry_run(session, asked, as_json=as_json, sampled=sampled)


def _untangle(words: tuple[str, ...], resume: str | None) -> tuple[tuple[str, ...], str | None]:
    """`--resume run.yaml` means `run.yaml --resume`: a configuration cannot be continued, only a run."""
    if resume is not None and Path(resume).suffix in (".yaml", ".yml"):
        return (resume, *words), "auto"
    return words, resume


def _asked(
    words: tuple[str, ...],
    file: Path | None,
    *,
    seed: int | None,
    system_metrics: str | None,
    bypass_safety: str | None,
) -> Asked:
    """Split words into file and overrides: the first word is the file unless it assigns something."""
    overrides = list(words)
    if file is None and overrides and "=" not in overrides[0] and not overrides[0].startswith("~"):
        file = Path(overrides.pop(0))
    if system_metrics is not None:
        overrides.append(f"telemetry.system_metrics={system_metrics.lower()}")
    return Asked(path=file, overrides=tuple(overrides), seed=seed, bypass_safety=bypass_safety)


def documents_named(without: Sequence[str]) -> tuple[str, ...]:
    """The document ids of `--without`: separated by commas, or a line each in the file after `@`."""
    found: list[str] = []
    for value in without:
        if not value.startswith("@"):
            found += value.split(",")
            continue
        try:
            found += Path(value[1:]).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                code="RUN-022",
                what=f"the list of documents cannot be read: {error}",
                where=value[1:],
                fix="write one document id per line, as UTF-8",
            ) from error
    return tuple(dict.fromkeys(id.strip() for id in found if id.strip()))


def _without_a_resume() -> UsageError:
    return UsageError(
        code="RUN-028",
        what="--without leaves documents out of a run that is continued",
        why="a new run can be prepared without them",
        fix="codex train --resume CHECKPOINT --without DOC",
    )


def _run(
    session: Session,
    asked: Asked,
    *,
    run_dir: Path | None,
    resume: str | None,
    resume_or_start: bool,
    without: tuple[str, ...] = (),
) -> RunResult:
    """Start a run or continue one, as asked; never one for the other in silence."""
    if resume is None and not resume_or_start:
        return work.start(session, asked.plan(session), run_dir=run_dir)
    if resume in (None, "auto") and run_dir is None:
        wanted = asked.plan(session)
        # The hash of a configuration holds ids, which absent components do not have.
        plan.require_usable(wanted)
        try:
            folder = runs.newest_unfinished(wanted.config_hash, session.places)
        except InputError:
            if not resume_or_start:
                raise
            say("nothing to resume: starting a new run")
            return work.start(session, wanted)
        say(f"resuming {folder.path}")
        return work.resume(session, folder, checkpoint=None, asked=wanted, without=without)
    return _resume_named(
        session, asked, run_dir=run_dir, resume=resume, resume_or_start=resume_or_start, without=without
    )


def _resume_named(
    session: Session,
    asked: Asked,
    *,
    run_dir: Path | None,
    resume: str | None,
    resume_or_start: bool,
    without: tuple[str, ...],
) -> RunResult:
    """Continue the run that `--resume REF` or `--run-dir` names."""
    if resume in (None, "auto"):
        assert run_dir is not None
        if resume_or_start and not run_dir.exists():
            say(f"nothing to resume in {run_dir}: starting a new run")
            return work.start(session, asked.plan(session), run_dir=run_dir)
        folder, checkpoint = RunDir.open(run_dir), None
    else:
        folder = runs.find(resume, session.places)
        named = Path(resume)
        checkpoint = named if (named / "MANIFEST.json").is_file() else None
    wanted = asked.plan_for(session, folder)
    say(f"resuming {folder.path}")
    return work.resume(session, folder, checkpoint=checkpoint, asked=wanted, without=without)


def _dry_run(session: Session, asked: Asked, *, as_json: bool, sampled: bool = False) -> int:
    """Print the plan; prepare or sample the data, and settle unless a component that it needs is not installed."""
    wanted = asked.plan(session)
    lock, summary, absent = None, "", _absent(wanted)
    blocking = [choice for choice in absent if choice.section not in ("model", "trainer")]
    if not blocking:
        with Display.of(session.flags) as display:
            data: Any = (
                work.estimate(session, wanted, display) if sampled else work.prepare(session, wanted, display)
            )
        summary = data.summary()
        if not absent:
            environment = collect(environ={}, folder=Path.cwd())
            lock = plan.settle(wanted, data, registry=session.registry, environment=environment)
            if isinstance(data, EstimatedData):
                lock = attrs.evolve(lock, estimated=data.estimated(wanted.durations))
    if as_json:
        print_json("codex-plan/1", _as_values(wanted, lock, summary))
    else:
        click.echo("DRY RUN: nothing is trained, no run is written")
        click.echo(plan.describe_plan(wanted) if lock is None else plan.describe_lock(lock))
        click.echo(summary)
    for choice in wanted.missing:
        shown = "not installed" if choice in absent else choice.state
        say(f"{choice.section}: {shown}: {choice.problem}\n  fix: {choice.fix}")
    return int(ExitCode.MISSING if absent else ExitCode.OK)


def _absent(wanted: Plan) -> list[Choice]:
    """Choices whose distribution is not installed at all, so that nothing is known of their options."""
    return [choice for choice in wanted.missing if choice.id is None or choice.state == "not-installed"]


def _as_values(wanted: Plan, lock: Lock | None, summary: str) -> dict[str, Any]:
    return {
        "config_hash": wanted.config_hash,
        "lock": None if lock is None else lock.as_dict(),
        "data": summary.splitlines(),
        "missing": [attrs.asdict(choice) for choice in wanted.missing],
    }


def _tell(result: RunResult, *, as_json: bool) -> None:
    if as_json:
        shown = attrs.asdict(result, recurse=False)
        shown["run"] = str(result.run.path)
        print_json("codex-train/1", shown)
        return
    numbers = "  ".join(f"{name} {_number(value)}" for name, value in result.metrics.items())
    click.echo(f"{result.status}: step {result.steps}, {result.tokens:,} tokens  {numbers}".rstrip())
    click.echo(f"run: {result.run.path}")
    if result.status == "interrupted":
        say(f"continue with: codex train --resume {result.run.path}")


def _number(value: float) -> str:
    """Four places, or as many as a small value needs.

    >>> _number(3.54851), _number(1e-05)
    ('3.5485', '1.00e-05')
    """
    return f"{value:.4f}" if value == 0 or abs(value) >= 1e-3 else f"{value:.2e}"
