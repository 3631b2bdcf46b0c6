"""Plan, train, score and verify in one go: a script to copy and adapt.

    python train_and_score.py run.yaml --art-dir out --epochs 2 --batch-rows 16 --grad-accum 4
    python train_and_score.py run.yaml --art-dir out --epochs 2 --dry-run

It runs `codex` as anybody would, shows each command, and ends with the exit code of the first that fails. When
`--art-dir` holds an unfinished run it is continued, so that a job system may start the script again and again.
With `--dry-run` it shows the plan and the commands, and trains nothing. Further arguments are overrides.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

CODEX = (sys.executable, "-m", "codex_core")


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path, help="the configuration of the run")
    parser.add_argument("overrides", nargs="*", help="overrides such as model.layers=2")
    parser.add_argument("--art-dir", type=Path, required=True, help="the folder of the run")
    parser.add_argument("--epochs", type=float, help="passes over the data; by default what the file says")
    parser.add_argument("--batch-rows", type=int, help="rows per optimizer step")
    parser.add_argument("--grad-accum", type=int, default=1, help="parts in which a step's rows are computed")
    parser.add_argument("--split", default="test", help="the split that is scored at the end")
    parser.add_argument("--dry-run", action="store_true", help="show what would be done")
    return parser.parse_args(arguments)


def overrides_of(asked: argparse.Namespace) -> list[str]:
    """What the options change in the configuration.

    Raises `SystemExit` when the rows of a step do not divide into the parts that were asked for.
    """
    changes = list(asked.overrides)
    if asked.epochs is not None:
        changes.append(f"trainer.duration={asked.epochs:g} epochs")
    if asked.batch_rows is not None:
        changes.append(f"trainer.batch_rows={asked.batch_rows}")
    if asked.grad_accum > 1:
        if asked.batch_rows is None or asked.batch_rows % asked.grad_accum:
            raise SystemExit(f"--grad-accum {asked.grad_accum} must divide --batch-rows {asked.batch_rows}")
        changes.append(f"trainer.micro_batch_rows={asked.batch_rows // asked.grad_accum}")
    return changes


def commands(asked: argparse.Namespace) -> list[list[str]]:
    """The commands of the workflow, in order."""
    config, changes, folder = str(asked.config), overrides_of(asked), str(asked.art_dir)
    plan = ["plan", config, *changes]
    if asked.dry_run:
        return [plan]
    train = ["train", config, *changes, "--art-dir", folder]
    if (asked.art_dir / "lock.json").exists():
        train = ["train", "--resume", folder]
    score = ["evaluate", "--checkpoint", folder, "--split", asked.split]
    finished = _is_finished(asked.art_dir)
    return [*([] if finished else [plan, train]), score, ["runs", "verify", folder]]


def _is_finished(folder: Path) -> bool:
    try:
        return bool(json.loads((folder / "run.json").read_text(encoding="utf-8"))["status"] == "finished")
    except FileNotFoundError:
        return False


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the commands until one fails; its exit code is ours."""
    for command in commands(parsed(arguments)):
        print(f"$ codex {shlex.join(command)}", file=sys.stderr, flush=True)
        code = subprocess.run([*CODEX, *command], check=False).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
