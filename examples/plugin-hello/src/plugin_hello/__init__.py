"""Bits per character, as a plugin of Codex."""
