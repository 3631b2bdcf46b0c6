"""`codex registry doctor`: each plugin in a process of its own, what it does there, and what to do about it."""

from __future__ import annotations

import os

import click

from codex_core.cli.output import print_json, table
from codex_core.cli.session import Session
from codex_core.errors import ExitCode
from codex_core.plugins import index, probe
from codex_core.plugins.doctor import Exam, examine
from codex_core.plugins.listing import escaped
from codex_core.plugins.selection import Selection


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--check", is_flag=True, help="Exit with 1 when a plugin is not ok.")
@click.pass_obj
def doctor(session: Session, names: tuple[str, ...], as_json: bool, check: bool) -> int:
    """Import each plugin in a process of its own and say what it does there: time, memory, output, side effects.

    \b
    Examples:
      codex registry doctor
      codex registry doctor my-tok
      codex registry doctor --json

    NAME is a distribution or an entry point; without one, every plugin is examined. What a plugin did is told,
    and is no failure of this command unless --check is given.
    """
    exams = examine(
        names,
        selection=Selection.from_environment(flags=session.flags.plugins),
        search=index.search_path(),
        limits=probe.Limits.read(os.environ),
    )
    if as_json:
        listed = [_as_dict(exam) for exam in exams]
        print_json("codex-registry-doctor/1", {"plugins": listed})
    else:
        click.echo("\n".join(_page(exams)))
    return int(ExitCode.NO if check and not all(exam.is_well for exam in exams) else ExitCode.OK)


def _as_dict(exam: Exam) -> dict[str, object]:
    remarks = [dict(zip(("code", "text", "fix"), remark, strict=True)) for remark in exam.remarks]
    return {**exam._asdict(), "remarks": remarks}


def _page(exams: list[Exam]) -> list[str]:
    if not exams:
        return ["no plugin is installed"]
    headings = ("plugin", "version", "verdict", "import_ms", "memory_mb", "child")
    cells = [
        [
            escaped(exam.plugin),
            escaped(exam.version or "-"),
            exam.verdict,
            exam.import_ms,
            exam.memory_mb,
            exam.exit or "not started",
        ]
        for exam in exams
    ]
    lines = table(headings, cells).splitlines()
    for exam in exams:
        if not exam.is_well:
            lines += ["", *map(escaped, _explained(exam))]
    count = sum(exam.is_well for exam in exams)
    return [*lines, "", f"{count} of {len(exams)} plugins are ok"]


def _explained(exam: Exam) -> list[str]:
    if exam.verdict == "remarks":
        lines = [f"remarks on {exam.plugin}: it works, and does more than describe"]
    else:
        lines = [f"{exam.verdict}[{exam.reason}] {exam.plugin}: {exam.hint}", f"  fix: {exam.fix}"]
    for code, text, fix in exam.remarks:
        lines += [f"  {code}: {text}", f"    fix: {fix}"]
    if exam.printed:
        lines.append(f"  it printed {exam.printed_bytes} bytes: {exam.printed}")
    return lines
