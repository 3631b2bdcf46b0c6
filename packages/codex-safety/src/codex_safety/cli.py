"""The commands under `codex safety`."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import attrs
import click

from codex_core.errors import ExitCode
from codex_safety.scan import Scan, scan
from codex_safety.secrets import SecretsPolicy

SCAN_SCHEMA = "codex-safety-scan/1"


@click.group(name="safety")
def safety() -> None:
    """Scan files for secrets.

    \b
    Examples:
      codex safety scan .
    """


@safety.command(name="scan")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def scan_command(context: click.Context, path: Path, *, as_json: bool) -> None:
    """Search PATH, a file or a folder, for keys, tokens and passwords.

    \b
    Examples:
      codex safety scan .
      codex safety scan notebooks --json

    Prints the file, the line and the rule of each finding, never what was found.

    \b
    Exit codes: 0 nothing found, 1 something found, 4 nothing found but something could not be searched.
    """
    policy = SecretsPolicy()
    result = scan(path, policy)
    if as_json:
        click.echo(json.dumps(_envelope(path, policy, result), sort_keys=True))
    else:
        _print(path, result)
    if result.findings:
        context.exit(int(ExitCode.NO))
    if not result.is_complete:
        context.exit(int(ExitCode.INPUT))


def _envelope(path: Path, policy: SecretsPolicy, result: Scan) -> dict[str, object]:
    return {
        "schema": SCAN_SCHEMA,
        "path": path.as_posix(),
        "policy": policy.fingerprint(),
        "complete": result.is_complete,
        "files": result.num_files,
        "bytes": result.num_bytes,
        **{
            name: [attrs.asdict(item) for item in getattr(result, name)]
            for name in ("findings", "skipped", "unreadable")
        },
    }


def _print(path: Path, result: Scan) -> None:
    """Findings on stdout, in the order of files and lines; what was not searched and the sums on stderr."""
    root = path.as_posix().rstrip("/") + "/" if path.is_dir() else path.as_posix()[: -len(path.name)]
    for finding in result.findings:
        click.echo(f"{root}{finding.place()}: {finding.rule}")
    for failed in result.unreadable:
        click.echo(f"not searched: {root}{failed.path}: {failed.reason}", err=True)
    skipped = Counter(item.reason for item in result.skipped)
    parts = [
        f"findings: {len(result.findings)}; searched: {result.num_files} files, {result.num_bytes / 1e6:.1f} MB",
        *(f"skipped: {count} ({reason})" for reason, count in sorted(skipped.items())),
    ]
    click.echo("; ".join(parts), err=True)
