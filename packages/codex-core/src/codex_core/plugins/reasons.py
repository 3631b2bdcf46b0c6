"""Why a row of the registry is not `ok`: every state, every reason code, one sentence each.

Decisions: codes are stable and have an anchor in `docs/reference/registry-reasons`; the sentence here is the
general one, the row's `hint` says what happened in this very case and its `fix` can be pasted.
"""

from __future__ import annotations

#: States of rows, in the order in which the reference explains them. `not-installed` appears with `--all` only.
STATES = {
    "ok": "Usable.",
    "missing-extra": "Installed, but a library that it needs is not.",
    "incompatible": "Written for another plugin API or another core than the one installed.",
    "conflict": "Several distributions claim the name, and no pin decides.",
    "shadowed": "Another distribution holds the name; this one answers to its canonical id only.",
    "blocked": "Switched off by the user; nothing of it was imported.",
    "broken": "Its module or its hooks fail.",
    "invalid-ref": "It points to something that does not exist.",
    "unreadable": "Its metadata cannot be read.",
    "leftover": "Remains of an installation or an uninstallation that was interrupted.",
    "stale-editable": "Installed as editable, and its source folder is gone.",
    "unprobed": "Not looked at yet; nothing is known to be wrong.",
    "not-installed": "Known to this core, offered by a distribution that is not installed.",
}

#: Reason code -> (state, general sentence).
REASONS: dict[str, tuple[str, str]] = {
    "missing-requirement": (
        "missing-extra",
        "A library that the component declares as required is not installed.",
    ),
    "api-too-new": ("incompatible", "The plugin is written for a newer plugin API than this core serves."),
    "api-too-old": (
        "incompatible",
        "The plugin is written for a plugin API that this core no longer serves.",
    ),
    "api-not-literal": ("incompatible", "CODEX_API is not a literal pair of two whole numbers."),
    "core-requirement": ("incompatible", "The distribution requires another version of codex-core."),
    "unknown-hook": ("incompatible", "The plugin implements a hook that this core does not have."),
    "name-claimed-twice": ("conflict", "Two or more distributions offer this name and none is built in."),
    "built-in-name": ("shadowed", "A built-in component holds the name."),
    "pinned-elsewhere": ("shadowed", "A pin gives the name to another distribution."),
    "override-not-declared": (
        "shadowed",
        "A pin asks for this component, but it does not declare `overrides`.",
    ),
    "override-not-pinned": ("shadowed", "The component declares `overrides`, but no pin asks for it."),
    "switched-off": ("blocked", "CODEX_PLUGINS_OFF, `-p no:NAME` or the configuration switches it off."),
    "not-on-allowlist": ("blocked", "CODEX_PLUGINS or the configuration allows other plugins only."),
    "import-failed": ("broken", "Importing the plugin module raises."),
    "import-exits": ("broken", "Importing the plugin module or calling its hooks raises SystemExit."),
    "process-died": ("broken", "The process that imported the plugin module died."),
    "timed-out": ("broken", "Importing the plugin module or calling its hooks took longer than allowed."),
    "hook-failed": ("broken", "A hook raises."),
    "hook-signature": ("broken", "A hook takes other arguments than its specification."),
    "hook-async": ("broken", "A hook is a coroutine; hooks are plain functions."),
    "hook-undecorated": ("broken", "A function is named like a hook but is not marked with `@hookimpl`."),
    "hook-not-callable": ("broken", "Something named like a hook cannot be called."),
    "hook-wrapper": ("broken", "A hook is a wrapper; wrappers would see and change what others return."),
    "not-a-component": ("broken", "A hook returns something that is not a list of Component records."),
    "invalid-component": ("broken", "A Component record breaks a rule for names, targets or texts."),
    "duplicate-name": ("broken", "A plugin offers one name twice."),
    "too-many-components": ("broken", "A plugin offers more components than allowed."),
    "nothing-offered": ("broken", "The plugin module implements no hook."),
    "bad-report": ("broken", "What the probe process reported about the plugin cannot be trusted."),
    "not-a-module": ("invalid-ref", "The entry point does not name a module."),
    "module-not-found": ("invalid-ref", "The entry point names a module that does not exist."),
    "foreign-module": ("invalid-ref", "The entry point names a module of Python's standard library."),
    "duplicate-entry-point": ("invalid-ref", "A distribution has two entry points of one name."),
    "target-not-found": ("invalid-ref", "The component's target module does not exist."),
    "entry-points-unreadable": ("unreadable", "entry_points.txt cannot be opened."),
    "entry-points-not-utf8": ("unreadable", "entry_points.txt is not UTF-8 text."),
    "entry-points-malformed": (
        "unreadable",
        "entry_points.txt is not a list of sections and `name = value` lines.",
    ),
    "half-removed": ("leftover", "An interrupted installation left a renamed folder behind."),
    "source-gone": ("stale-editable", "The folder that the editable installation points to does not exist."),
    "time-spent": ("unprobed", "The time for looking at new plugins was spent before its turn."),
    "no-probe": ("unprobed", "The probe process could not be started here."),
    "known-elsewhere": ("not-installed", "A distribution that is not installed offers it."),
}

#: Remarks on rows that may well be `ok`.
NOTES: dict[str, str] = {
    "api-not-declared": "The plugin module has no CODEX_API; (1, 0) is assumed.",
    "older-copy": "Further copies of the distribution lie on the path; the first one counts.",
    "module-elsewhere": "The plugin module lies outside the files that the distribution recorded.",
    "heavy-import": "Importing the plugin module imports a heavy library.",
    "prints": "Importing the plugin module writes to standard output or standard error.",
    "warns": "Importing the plugin module raises warnings.",
    "side-effects": "Importing the plugin module leaves threads, processes or changed process state behind.",
    "network": "Importing the plugin module tried to reach the network; the attempt was refused.",
    "slow-import": "Importing the plugin module takes longer than a listing should; told by the doctor.",
    "memory": "Importing the plugin module takes more memory than a description needs; told by the doctor.",
    "deprecated": "The plugin says what to use instead.",
}
