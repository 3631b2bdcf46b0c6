"""The machinery behind `codex_core.execute`, `runs` and `checkpoints`: one attempt of a run, recorded."""
