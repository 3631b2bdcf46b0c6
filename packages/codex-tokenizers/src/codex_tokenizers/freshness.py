"""Whether a tokenizer is still what its recipe and its corpus give: file by file, from the manifest.

Decisions: nothing is trained to find out; a file is `same`, `changed`, `missing` or `new` (a pattern matches it now
and did not then); the tokenizer's own files are compared, too. Missing outranks damaged, damaged outranks stale.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from codex_core.canonical import digest_of, file_digest
from codex_core.errors import ExitCode, InputError
from codex_tokenizers.recipe import Recipe
from codex_tokenizers.training import MANIFEST_FORMAT, MANIFEST_NAME, inputs_of

#: What is wrong, and the exit code that it asks for.
VERDICTS = {
    "fresh": ExitCode.OK,
    "stale": ExitCode.NO,
    "untrained": ExitCode.NO,
    "incomplete": ExitCode.INPUT,
    "damaged": ExitCode.ARTEFACT,
}


@attrs.frozen(kw_only=True)
class Finding:
    """One thing that was compared: `corpus`, `recipe`, `input` or `tokenizer`, its name and its state."""

    part: str
    name: str
    state: str


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a tokenizer that was learned from a recipe; raises `InputError` when there is none."""
    path = folder / MANIFEST_NAME
    try:
        value = json.loads(path.read_bytes())
        is_ours = isinstance(value, dict) and value["format"] == MANIFEST_FORMAT and "base" in value
    except (OSError, ValueError, KeyError) as error:
        is_ours, value = False, str(error)
    if not is_ours:
        raise InputError(
            code="TOK-022",
            what="this folder holds no tokenizer that was learned from a recipe",
            where=str(path),
            why=f"expected {MANIFEST_FORMAT}, found {value!r:.100}",
            fix="codex tokenizer train --config t.yaml",
        )
    manifest: dict[str, Any] = value
    return manifest


def compare(recipe: Recipe, manifest: Mapping[str, Any]) -> list[Finding]:
    """Everything that a tokenizer depends on and consists of, compared with what its manifest says."""
    body = {key: value for key, value in manifest.items() if key not in ("digest", "base")}
    found = [
        Finding(part="recipe", name="recipe", state=_state(recipe.described, manifest["recipe"])),
        Finding(
            part="manifest",
            name=MANIFEST_NAME,
            state="same" if digest_of(body) == manifest.get("digest") else "damaged",
        ),
    ]
    now = inputs_of(recipe)
    for name in sorted({*now, *manifest["inputs"]}):
        found.append(
            Finding(part="input", name=name, state=_state(now.get(name), manifest["inputs"].get(name)))
        )
    found += _corpus(recipe, manifest)
    for name, digest in manifest["tokenizer"]["files"].items():
        path = recipe.out / name
        is_same = path.is_file() and file_digest(path) == digest
        found.append(Finding(part="tokenizer", name=name, state="same" if is_same else "damaged"))
    return found


def _corpus(recipe: Recipe, manifest: Mapping[str, Any]) -> Iterator[Finding]:
    then = {one["path"]: one["sha256"] for one in manifest["corpus"]}
    for name, digest in then.items():
        path = recipe.base / name
        state = "missing"
        if path.is_file():
            state = "same" if file_digest(path) == digest else "changed"
        yield Finding(part="corpus", name=name, state=state)
    for pattern in recipe.patterns if any(sign in "".join(recipe.patterns) for sign in "*?[") else ():
        for path in sorted(recipe.base.glob(pattern)):
            if path.is_file() and recipe.relative(path) not in then:
                yield Finding(part="corpus", name=recipe.relative(path), state="new")


def verdict(findings: list[Finding]) -> str:
    """The gravest of all states, in one word."""
    states = {one.state for one in findings}
    if "missing" in states:
        return "incomplete"
    if "damaged" in states:
        return "damaged"
    return "stale" if states - {"same"} else "fresh"


def _state(now: Any, then: Any) -> str:
    return "same" if now == then else "changed"
