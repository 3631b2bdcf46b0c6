"""A run, checkpoint or model folder as a directory that transformers loads, with its card.

Decisions: the run's lock counts only when its digest is the one that the checkpoint names; a checkpoint of
`hf-causal` is such a directory already and is copied byte by byte.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from codex_core import model_folders
from codex_core.canonical import file_digest
from codex_core.checkpoints import Checkpoint
from codex_core.contracts import Tokenizer
from codex_core.errors import CodexError, InputError, RunFailed, UsageError
from codex_models import card, hf_directory, hf_export, hf_tokenizer_files, model_folder
from codex_models.decoder import Decoder
from codex_models.hf_layouts import fitting_layout, layout_for
from codex_models.hf_tensors import is_untied_by_export
from codex_models.new_folder import new_folder
from codex_models.state import DESCRIPTION

if TYPE_CHECKING:
    from codex_core.places import Places
    from codex_core.registry import Registry

CARD = "README.md"


@attrs.frozen(kw_only=True)
class Exported:
    """What an export did: layout, type, and how it was compared."""

    source: str
    layout: str
    dtype: str
    verification: tuple[str, ...]
    verified: Mapping[str, Any]

    def fields(self) -> dict[str, Any]:
        """The export as plain values."""
        return attrs.asdict(self)

    def lines(self) -> Iterator[str]:
        """The export for people."""
        yield f"{self.source} in the layout {self.layout}, {self.dtype}"
        yield from self.verification


def export_model(
    reference: str, out: Path, *, places: Places, registry: Registry, layout: str | None, dtype: str
) -> Exported:
    """Write the model that a reference means into the folder `out`, verified, with a card.

    Raises `InputError` for models and tokenizers that have no such form, `UsageError` for a layout that cannot hold
    the model, `RunFailed` when what was written computes or renders something else; then nothing is left.
    """
    found = model_folders.find(reference, places)
    tokenizer = _tokenizer(found, registry)
    with new_folder(out) as folder:
        if hf_directory.is_directory(found.path / "model"):
            done = _copied(found, folder, tokenizer, layout=layout)
            description = f"hf-causal, {done.layout}"
        else:
            decoder = decoder_of(found)
            description = model_folder.describe(decoder)
            done = _written(found, folder, decoder, tokenizer, layout=layout, dtype=dtype, registry=registry)
        text = card.card(_facts(found, out.name, done, description, registry))
        (folder / CARD).write_text(text, encoding="utf-8")
    return done


def decoder_of(found: Checkpoint) -> Decoder:
    """The decoder in a checkpoint or model folder; `InputError` for what is none."""
    place = found.path / "model"
    if not (place / DESCRIPTION).is_file() or (place / "adapter_config.json").is_file():
        is_adapter = (place / "adapter_config.json").is_file()
        raise InputError(
            code="MOD-014",
            what="only decoders have a layout of transformers"
            if not is_adapter
            else "this is an adapter, whose base is elsewhere",
            where=str(place),
            why=f"the checkpoint holds {found.manifest['components']['model']['id']}",
            fix=f"codex model merge {found.path} --out DIR, then export DIR"
            if is_adapter
            else "codex checkpoint export keeps model and tokenizer in the format of Codex",
        )
    return Decoder.from_folder(place)


def _written(
    found: Checkpoint,
    folder: Path,
    decoder: Decoder,
    tokenizer: Tokenizer,
    *,
    layout: str | None,
    dtype: str,
    registry: Registry,
) -> Exported:
    chosen = layout_for(decoder.options, layout) if layout else fitting_layout(decoder.options)
    hf_export.write(
        folder, decoder, chosen, dtype=dtype, artefact=found.path / "tokenizer", tokenizer=tokenizer
    )
    verified = hf_export.verify(
        folder, decoder, dtype=dtype, tokenizer=tokenizer, own_encode=_own_encode(registry)
    )
    lines = [
        f"logits read back by {verified.logits_by} on {verified.prompts} prompts differ by at most "
        f"{verified.difference:.1e} of the largest (allowed: {verified.bound:.0e})",
        f"token ids rendered by {verified.ids_by} equal those of the model's tokenizer",
    ]
    if is_untied_by_export(decoder.options):
        lines.append("embeddings and output matrix, one in the model, are two here: the layout has no scale")
    return Exported(
        source=str(found.path),
        layout=chosen.name,
        dtype=dtype,
        verification=tuple(lines),
        verified=attrs.asdict(verified),
    )


def _copied(found: Checkpoint, folder: Path, tokenizer: Tokenizer, *, layout: str | None) -> Exported:
    source = found.path / "model"
    config = hf_directory.config_of(source)
    own = str(config["model_type"])
    if layout not in (None, own):
        raise UsageError(
            code="MOD-013",
            what=f"the layout {layout} cannot hold this model",
            where="--layout",
            why=f"it is a directory of transformers already, of model_type {own}",
            fix="leave --layout out",
        )
    for path in sorted(source.iterdir()):
        shutil.copyfile(path, folder / path.name)
        if file_digest(path, "blake3") != file_digest(folder / path.name, "blake3"):
            raise RunFailed(
                code="MOD-011", what="a file changed while it was copied", where=str(path), fix="export again"
            )
    limit = config.get("max_position_embeddings")
    hf_tokenizer_files.write(
        folder, artefact=found.path / "tokenizer", tokenizer=tokenizer, context_length=limit
    )
    hf_export.require_same_ids(folder, tokenizer)
    lines = (
        "the files of the model are those of the checkpoint, byte by byte",
        "token ids rendered by transformers equal those of the model's tokenizer",
    )
    dtype = str(config.get("dtype") or config.get("torch_dtype"))
    return Exported(
        source=str(found.path),
        layout=own,
        dtype=dtype,
        verification=lines,
        verified={"logits_by": "equal bytes", "ids_by": "transformers"},
    )


def _tokenizer(found: Checkpoint, registry: Registry) -> Tokenizer:
    component = found.manifest["components"].get("tokenizer")
    if not component or not component.get("id"):
        raise InputError(
            code="MOD-018",
            what="this model has no tokenizer, so there is nothing to render prompts with",
            where=str(found.path),
            fix="import it again from a directory that has one",
        )
    tokenizer: Tokenizer = registry.load(registry.find("tokenizers", component["id"])).load(
        found.path / "tokenizer"
    )
    return tokenizer


def _own_encode(registry: Registry) -> Callable[[Path], Callable[[str], Sequence[int]]] | None:
    """The tokenizer `hf` of the registry as a reader of written directories; None where it is not usable."""
    try:
        row = registry.find("tokenizers", "hf")
    except CodexError:
        return None
    options: Any = registry.options_class(row)

    def encode_of(folder: Path) -> Callable[[str], Sequence[int]]:
        tokenizer: Tokenizer = registry.load(row).train((), options(path=str(folder)), seed=0)
        return lambda text: [tokenizer.special_ids["bos"], *tokenizer.encode(text)]

    return encode_of


def _facts(found: Checkpoint, name: str, done: Exported, description: str, registry: Registry) -> card.Facts:
    lock = model_folders.lock_of(found)
    return card.Facts(
        name=name,
        description=description,
        layout=done.layout,
        dtype=done.dtype,
        manifest=found.manifest,
        lock=None if lock is None else lock.as_dict(),
        data=None if lock is None else model_folders.data_of(found),
        signatures={} if lock is None else model_folders.signatures(lock, registry),
        verification=done.verification,
    )
