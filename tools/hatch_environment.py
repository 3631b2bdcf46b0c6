"""What Hatch cannot say in `hatch.toml`: this interpreter, the pins, and pip's package sources for uv.

Hatch loads this file by its path, each time it runs. Without it Hatch takes any interpreter of its own version that
stands on the PATH, every environment repeats the same variables, and uv overlooks a wheelhouse that only pip's
configuration names.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatch.env.collectors.plugin.interface import EnvironmentCollectorInterface

TOOLS = Path(__file__).resolve().parent
sys.path.insert(0, str(TOOLS))

from package_sources import current_uv_variables  # noqa: E402 - found through the line above


class CodexEnvironments(EnvironmentCollectorInterface):  # type: ignore[misc] # Hatch ships no types
    """Completes every environment of this repository; what `hatch.toml` says explicitly stays."""

    def finalize_environments(self, config: dict[str, dict[str, Any]]) -> None:
        """Add the interpreter and the variables to each environment's settings."""
        sources = current_uv_variables()
        for name, settings in config.items():
            settings.setdefault("python", sys.executable)
            told = {"CODEX_ENVIRONMENT": name, **sources, **constraints(name)}
            settings["env-vars"] = told | settings.get("env-vars", {})


def constraints(environment: str) -> dict[str, str]:
    """The variables that hold an environment to `requirements/<its name>.txt`; none where there is no such file."""
    pins = TOOLS.parent / "requirements" / f"{environment}.txt"
    if not pins.is_file():
        return {}
    uri = pins.as_uri()  # both installers split a plain path at its spaces
    return {"PIP_CONSTRAINT": uri, "UV_CONSTRAINT": uri}
