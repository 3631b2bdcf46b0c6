"""Write the golden files of a format version: one config, prepared set, run and checkpoint, made by the commands.

Run it once when a format version is frozen, never to make a red test green: what was released must stay readable.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden" / "formats"

CONFIG = """# A small n-gram over a few lines of text: everything a format holds, in a few kilobytes.
schema: codex-run/1
run: {name: golden, seed: 11, log_every: 1 steps, threads: 1}
data:
  sources: [{name: text, path: corpus, document: paragraph}]
  split: [0.6, 0.2, 0.2]
  seq_len: 32
tokenizer: bytes
model: {name: ngram, order: 3}
trainer: {name: ngram, duration: 8 steps, batch_rows: 2}
checkpoint: {every: 4 steps}
evaluation: {every: 4 steps}
safety: {name: none, reason: golden files need the core alone}
"""

SENTENCES = [
    "The quick brown fox jumps over the lazy dog, number {n}.",
    "A golden file is read by every later version, number {n}.",
    "What was written once must be readable for ever, number {n}.",
]


def main(version: str) -> int:
    """Make `tests/golden/formats/<version>/`, which must not exist."""
    target = GOLDEN / version
    if target.exists():
        print(f"{target.relative_to(ROOT)} exists; a released format is never written again")
        return 1
    with tempfile.TemporaryDirectory() as scratch:
        project = Path(scratch)
        (project / ".codex").mkdir()
        (project / "corpus").mkdir()
        text = "\n\n".join(SENTENCES[n % 3].format(n=n) for n in range(40))
        (project / "corpus" / "text.txt").write_text(text + "\n")
        (project / "run.yaml").write_text(CONFIG)
        # Safety is off for these files whatever is installed; the flag is refused where no policy is.
        command = [sys.executable, "-m", "codex_core", "train", "run.yaml", "--run-dir", "run"]
        environ = {**os.environ, "CODEX_PLUGINS_OFF": "codex-safety", "OMP_NUM_THREADS": "1"}
        subprocess.run(command, cwd=project, check=True, env=environ)
        target.mkdir(parents=True)
        for name in ("corpus", "run"):
            shutil.copytree(
                project / name, target / name, ignore=shutil.ignore_patterns("*.lock", "process.json")
            )
        shutil.copytree(
            project / ".codex" / "store", target / "store", ignore=shutil.ignore_patterns(".lock")
        )
        shutil.copyfile(project / "run.yaml", target / "run.yaml")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
