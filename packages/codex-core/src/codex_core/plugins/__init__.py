"""The machinery behind `codex_core.registry`: finding, probing, remembering and importing plugins."""
