"""Files that fail at a chosen operation; they are part of the conformance kit."""

from codex_core.testing.faulty_files import MODES, FaultyFiles, Killed

__all__ = ["MODES", "FaultyFiles", "Killed"]
