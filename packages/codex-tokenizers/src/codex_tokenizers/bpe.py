"""Byte-level BPE over the Hugging Face tokenizers library.

Decisions: no normaliser and no prefix space, so that `decode(encode(text)) == text` for every text; the alphabet
is all 256 bytes, so that no text is unknown; three special tokens with ids 0, 1, 2, which text never encodes to
unless the caller allows it; the library object is always assembled here from vocabulary and merges, whether they
were just learned or loaded, so that both ways encode alike; which engine encodes never changes an id.
Learning reads texts in an order that does not matter: what decides are the counts of words, and ties are broken by
the ids of the parts.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
from tokenizers import Tokenizer, models, trainers

from codex_core.canonical import digest_of
from codex_core.errors import InputError
from codex_core.records import Encoded, Record, TokenBatch
from codex_core.rendering import LAYOUT_VERSION
from codex_tokenizers import artefact, batches, engines, templates
from codex_tokenizers.artefact import TOKENIZER_NAME, Vocabulary
from codex_tokenizers.byte_alphabet import BYTES, token_bytes
from codex_tokenizers.flat import flat
from codex_tokenizers.forks import make_forks_safe
from codex_tokenizers.learned import encode_spelt, identity_of, rendering_fields, saved_files, saved_template
from codex_tokenizers.options import BPEOptions
from codex_tokenizers.refusals import refuse_foreign_ids, refuse_surrogates, utf8
from codex_tokenizers.spans import Span, spans_of
from codex_tokenizers.specials import SPECIAL_TOKENS, Specials, reserved
from codex_tokenizers.splitting import PATTERN

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from codex_tokenizers.templates import Template

__all__ = ["BPE", "PATTERN", "SPECIAL_TOKENS"]

KIND = "bpe"


class BPE:
    """A learned tokenizer. Made by `train` or `load`; `provenance` tells what it was learned from.

    `further` are special tokens beside bos, eos and pad; `backend` is `auto`, `hf` or `tiktoken`.
    """

    lossless = True

    def __init__(
        self,
        vocabulary: Vocabulary,
        provenance: Mapping[str, Any],
        *,
        further: Sequence[str] = (),
        template: Template | None = None,
        backend: str = "auto",
    ) -> None:
        self.vocabulary = vocabulary
        self.provenance = provenance
        self._further = tuple(further)
        self._backend = backend
        ids = vocabulary.ids
        self.specials = Specials(
            roles={role: ids[token] for role, token in SPECIAL_TOKENS.items()},
            spellings={token: ids[token] for token in (*SPECIAL_TOKENS.values(), *further)},
        )
        self._rendering = templates.Rendering(template, self.specials)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (
            self.vocabulary,
            dict(self.provenance),
            self._further,
            self._rendering.template,
            self._backend,
        )

    @classmethod
    def train(cls, texts: Iterable[str], options: BPEOptions, *, seed: int) -> BPE:
        """Learn from texts; equal texts and options give equal fingerprints on any number of threads.

        Learning uses no chance: `seed` is only noted. With `options.path` the saved tokenizer is taken as it is
        and no text is read. Raises `InputError` when there is nothing to learn from.
        """
        if options.path is not None:
            return cls.take(options)
        template = templates.find(options.template)
        further = reserved(options.special_tokens, template.markers if template else ())
        make_forks_safe()
        counted = _Counted(texts)
        learner = engines.pipeline(models.BPE())
        learner.train_from_iterator(iter(counted), _trainer(options, further))
        if not counted.num_bytes:
            raise InputError(
                code="TOK-001",
                what="there is no text to learn a tokenizer from",
                why=f"{counted.num_texts} texts with 0 bytes were given",
                fix="check the sources and the split of the data",
            )
        provenance = _provenance(options, counted, seed)
        return cls(_learned(learner), provenance, further=further, template=template)

    @classmethod
    def take(cls, options: BPEOptions) -> BPE:
        """The tokenizer saved at `options.path`, with the template that the options ask for."""
        assert options.path is not None
        loaded = cls.load(Path(options.path))
        if options.template is None:
            return loaded
        template = templates.find(options.template, own=loaded._rendering.template)
        return cls(loaded.vocabulary, loaded.provenance, further=loaded._further, template=template)

    @classmethod
    def inputs(cls, options: BPEOptions) -> dict[str, str]:
        """Digests of the files that options name and that decide what is learned."""
        return templates.inputs(options.template)

    @classmethod
    def load(cls, folder: Path, *, backend: str = "auto") -> BPE:
        """Read what `save` wrote; raises `ArtefactError` for anything else."""
        manifest = artefact.read(folder, kind=KIND, name=TOKENIZER_NAME)
        vocabulary = artefact.read_vocabulary(folder)
        further = tuple(manifest.get("special_tokens", ()))
        artefact.refuse_gaps(folder, vocabulary, tokens=[*SPECIAL_TOKENS.values(), *further, *BYTES])
        loaded = cls(
            vocabulary,
            manifest.get("learned", {}),
            further=further,
            template=saved_template(folder, manifest),
            backend=backend,
        )
        artefact.refuse_other(folder, found=identity_of(KIND, loaded), manifest=manifest)
        return loaded

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json`, the template if there is one, and `codex-tokenizer.json` into `folder`."""
        data = {TOKENIZER_NAME: self._reference.library.to_str().encode()}
        fields = {**identity_of(KIND, self), "learned": dict(self.provenance)}
        if self._further:
            fields["special_tokens"] = list(self._further)
        template = self._rendering.template
        artefact.write(folder, files=data | saved_files(template), fields=fields | rendering_fields(template))

    @property
    def vocab_size(self) -> int:
        """Number of ids; every id is in `range(vocab_size)`."""
        return len(self.vocabulary.ids)

    @property
    def special_ids(self) -> Mapping[str, int]:
        """Ids of the roles `bos`, `eos` and `pad`."""
        return self.specials.roles

    @property
    def template(self) -> Template | None:
        """The chat template, None for the default layout."""
        return self._rendering.template

    @property
    def backend(self) -> str:
        """The name of the engine that encodes."""
        return self._engine.name

    def fingerprint(self) -> str:
        """`sha256:<hex>` over everything that changes ids or rendering."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        described: dict[str, Any] = {
            "kind": KIND,
            "layout": LAYOUT_VERSION,
            "merges": [list(pair) for pair in self.vocabulary.merges],
            "pattern": PATTERN,
            "special": dict(SPECIAL_TOKENS),
            "vocabulary": dict(self.vocabulary.ids),
        }
        if self._further:
            described["special_tokens"] = list(self._further)
        return digest_of(described | rendering_fields(self.template, only_decisive=True))

    @cached_property
    def _reference(self) -> engines.HFEngine:
        return engines.HFEngine(engines.assemble(self.vocabulary, list(self.specials.spellings)))

    @cached_property
    def _engine(self) -> engines.Engine:
        specials = list(self.specials.spellings)
        return engines.choose(self.vocabulary, specials, self._reference, backend=self._backend)

    @cached_property
    def _token_bytes(self) -> list[bytes]:
        """What each id stands for; special ids stand for nothing."""
        table = [b""] * self.vocab_size
        for token, id in self.vocabulary.ids.items():
            if token not in self.specials.spellings:
                table[id] = token_bytes(token)
        return table

    @cached_property
    def _token_sizes(self) -> list[int]:
        return [len(data) for data in self._token_bytes]

    def encode(self, text: str, *, allow_special: bool = False) -> list[int]:
        """Ids of `text`, without BOS or EOS; the spelling of a special token is plain text unless allowed."""
        refuse_surrogates(text)
        if allow_special:
            return encode_spelt(text, self.specials, self._engine.encode)
        return self._engine.encode(text)

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[Span]]:
        """Ids and, per id, its half-open code points of `text`.

        Tokens that hold parts of one character each have the span of the whole character.
        """
        ids = self.encode(text)
        return ids, spans_of(text, map(self._token_sizes.__getitem__, ids))

    def encode_batch(
        self, texts: Sequence[str], *, max_length: int | None = None, pad_to: int | None = None
    ) -> TokenBatch:
        """Encode texts to one width: cut to `max_length`, padded to `pad_to` or the longest."""
        return batches.pad(
            self.encode_many(texts), pad_id=self.specials.pad, max_length=max_length, pad_to=pad_to
        )

    def encode_many(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, as `encode` gives them; the reference uses all its threads."""
        for text in texts:
            refuse_surrogates(text)
        return self._engine.encode_many(texts)

    def encode_many_flat(self, texts: Sequence[str]) -> tuple[NDArray[np.unsignedinteger], NDArray[np.int64]]:
        """Ids of all texts back to back, and how many each text has; one thread, as `encode` gives them."""
        return flat(map(self.encode, texts), vocab_size=self.vocab_size)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids`; special ids stand for nothing, bytes that are no UTF-8 become U+FFFD."""
        refuse_foreign_ids(ids, vocab_size=self.vocab_size)
        return b"".join(map(self._token_bytes.__getitem__, ids)).decode("utf-8", errors="replace")

    def render(self, record: Record, template: str | None = None) -> Encoded:
        """BOS, then the turns in the layout or template of this tokenizer; see `codex_core.rendering`."""
        return self._rendering.render(record, template, self.encode_with_offsets)


def _rebuilt(
    vocabulary: Vocabulary,
    provenance: Mapping[str, Any],
    further: Sequence[str],
    template: Template | None,
    backend: str,
) -> BPE:
    return BPE(vocabulary, provenance, further=further, template=template, backend=backend)


@attrs.define(eq=False)
class _Counted:
    """Texts on their way to the library, counted and checked."""

    texts: Iterable[str]
    num_texts: int = 0
    num_bytes: int = 0

    def __iter__(self) -> Iterator[str]:
        for text in self.texts:
            self.num_bytes += len(text) if text.isascii() else len(utf8(text))
            self.num_texts += 1
            yield text


def _trainer(options: BPEOptions, further: Sequence[str]) -> trainers.BpeTrainer:
    return trainers.BpeTrainer(
        vocab_size=options.vocab_size,
        min_frequency=options.min_frequency,
        special_tokens=[*SPECIAL_TOKENS.values(), *further],
        initial_alphabet=sorted(BYTES),
        show_progress=False,
    )


def _learned(library: Tokenizer) -> Vocabulary:
    model = json.loads(library.to_str())["model"]
    return Vocabulary(ids=model["vocab"], merges=tuple((left, right) for left, right in model["merges"]))


def _provenance(options: BPEOptions, counted: _Counted, seed: int) -> dict[str, Any]:
    return {
        "options": {"vocab_size": options.vocab_size, "min_frequency": options.min_frequency},
        "seed": seed,
        "texts": counted.num_texts,
        "bytes": counted.num_bytes,
        "library": f"tokenizers {importlib.metadata.version('tokenizers')}",
    }
