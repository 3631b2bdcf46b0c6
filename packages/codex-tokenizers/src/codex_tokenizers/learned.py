"""What saved tokenizers have in common: how they are identified, and how their template is kept.

Decision: the default layout leaves no trace in a fingerprint; a template is there with its source's digest and with
the rule by which the border of what is supervised is found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from codex_core.contracts import Tokenizer
from codex_core.rendering import BORDER_RULE, LAYOUT_VERSION
from codex_tokenizers.artefact import refusal
from codex_tokenizers.specials import Specials
from codex_tokenizers.templates import BUILT_IN, FILE_NAME, Template


def identity_of(kind: str, tokenizer: Tokenizer) -> dict[str, Any]:
    """What a manifest says of a tokenizer and a loaded one must agree with."""
    return {
        "kind": kind,
        "fingerprint": tokenizer.fingerprint(),
        "vocab_size": tokenizer.vocab_size,
        "special_ids": dict(tokenizer.special_ids),
    }


def rendering_fields(template: Template | None, *, only_decisive: bool = False) -> dict[str, Any]:
    """How records are rendered, for a manifest; `only_decisive` for a fingerprint: nothing for the default layout."""
    if template is None:
        fields = {"layout": LAYOUT_VERSION, "border": BORDER_RULE, "template": "plain"}
        return {} if only_decisive else {"rendering": fields}
    decisive = {"border": BORDER_RULE, "template_digest": template.digest}
    if only_decisive:
        return {"rendering": decisive}
    return {"rendering": {"layout": LAYOUT_VERSION, **decisive, "template": template.name}}


def saved_files(template: Template | None) -> dict[str, bytes]:
    """The file of a template, if there is one."""
    return {} if template is None else {FILE_NAME: template.source.encode()}


def saved_template(folder: Path, manifest: Mapping[str, Any]) -> Template | None:
    """The template of a saved tokenizer whose files were verified."""
    said = manifest.get("rendering", {})
    if said.get("template", "plain") == "plain":
        return None
    if FILE_NAME not in manifest["files"]:
        raise refusal(folder / FILE_NAME, "the manifest names a template and no file of it")
    name = str(said["template"])
    source = (folder / FILE_NAME).read_bytes().decode()
    built_in = BUILT_IN.get(name)
    markers = built_in[1] if built_in and built_in[0] == source else ()
    return Template(name=name, source=source, markers=markers)


def encode_spelt(text: str, specials: Specials, encode: Callable[[str], list[int]]) -> list[int]:
    """Ids of a text in which the spelling of a special token is that token."""
    return [one for stretch, id in specials.split(text) for one in (encode(stretch) if id is None else (id,))]
