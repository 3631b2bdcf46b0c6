"""Telemetry for Codex: structured logs, system metrics and metric sinks."""

__version__ = "1.0.0"
