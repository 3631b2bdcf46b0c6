"""Break a training on purpose, resume it, and write down what happened: `python examples/resume/make.py OUT`.

In OUT there is then a project with two runs, one that nobody disturbed and one that was killed with SIGKILL in the
middle of a save, and `README.md` with every command and what it said. Core alone is enough; it takes a few seconds.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from codex_core.testing.crash import Server
from codex_core.testing.crash_points import CrashPoint

CONFIG = """\
schema: codex-run/1
run: {name: resume-demo, seed: 1, log_every: 5 steps, threads: 1}
data:
  sources: [{name: text, path: corpus, document: paragraph}]
  seq_len: 32
tokenizer: bytes
model: {name: ngram, order: 4}
trainer: {name: ngram, duration: 40 steps, batch_rows: 4}
checkpoint: {every: 10 steps}
evaluation: {every: 10 steps}
"""

#: A policy where one is installed, else a reason.
SAFETY = (
    "safety: secrets\n"
    if find_spec("codex_safety")
    else "safety: {name: none, reason: numbers that this script makes up}\n"
)

#: The third save is killed while its files are written.
KILL = CrashPoint(phase="save", operation=60)


def main(out: Path) -> int:
    """Make everything in a folder that must not exist yet; 0 when the resumed run equals the other one."""
    (out / ".codex").mkdir(parents=True)
    (out / "corpus").mkdir()
    paragraphs = [
        f"Paragraph {n}: {n} times {n} is {n * n}, and {n} plus {n} is {n + n}." for n in range(200)
    ]
    (out / "corpus" / "numbers.txt").write_text("\n\n".join(paragraphs), encoding="utf-8")
    (out / "run.yaml").write_text(CONFIG + SAFETY, encoding="utf-8")
    told = ["# Saved, killed, resumed", "", "Made by `python examples/resume/make.py OUT`, not by hand.", ""]
    codes = [say(told, out, "train", "run.yaml", "--run-dir", "unbroken")]
    with Server(["codex_core.cli.train"]) as server:
        arguments = ("train", "run.yaml", "--run-dir", "broken")
        code = server.run(*arguments, folder=out.resolve(), says=out.resolve() / "killed.txt", point=KILL)
    told += ["The same, killed with SIGKILL inside a save:", "", f"    $ codex {' '.join(arguments)}"]
    told += [f"    {line}" for line in (out / "killed.txt").read_text().splitlines()]
    told += [f"    (exit code {code})", ""]
    for command in (
        ("train", "--resume", "broken"),
        ("checkpoint", "list", "broken"),
        ("checkpoint", "lineage", "broken"),
        ("checkpoint", "diff", "unbroken", "broken"),
    ):
        codes.append(say(told, out, *command))
    (out / "README.md").write_text("\n".join(told) + "\n", encoding="utf-8")
    return int(code != -9 or any(codes))


def say(told: list[str], folder: Path, *arguments: str) -> int:
    """Run `codex`, and write down the command, what it said, and its exit code."""
    command = [sys.executable, "-m", "codex_core", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    lines = (done.stderr + done.stdout).splitlines()
    told += [f"    $ codex {' '.join(arguments)}", *(f"    {line}" for line in lines)]
    told += [f"    (exit code {done.returncode})", ""]
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
