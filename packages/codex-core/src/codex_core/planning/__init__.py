"""The machinery behind `codex_core.config` and `codex_core.plan`: reading, checking, resolving, settling."""
