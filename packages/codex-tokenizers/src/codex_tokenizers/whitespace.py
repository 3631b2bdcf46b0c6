"""Words between white space, from a vocabulary that is frozen when it is learned.

Decisions: for baselines and small closed vocabularies, not for open text: white space is not kept and words outside
the vocabulary become one unknown id, so decoding does not bring a text back and `lossless` is false. Words are kept
by their count, equal counts in the order of their code points; ids 0 to 3 are bos, eos, pad and unk.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codex_core.canonical import digest_of, readable_json
from codex_core.errors import InputError
from codex_core.records import Encoded, Record, TokenBatch
from codex_core.rendering import LAYOUT_VERSION
from codex_tokenizers import artefact, batches, templates
from codex_tokenizers.flat import flat
from codex_tokenizers.learned import encode_spelt, identity_of, rendering_fields, saved_files, saved_template
from codex_tokenizers.options import WhitespaceOptions
from codex_tokenizers.refusals import refuse_foreign_ids, utf8
from codex_tokenizers.spans import Span
from codex_tokenizers.specials import SPECIAL_TOKENS, Specials, reserved

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from codex_tokenizers.templates import Template

KIND = "whitespace"
FILE_NAME = "vocabulary.json"

UNKNOWN = "<|codex:unk|>"

_WORD = re.compile(r"\S+")


class Whitespace:
    """A frozen list of words. Made by `train` or `load`; the words follow the special tokens in the ids."""

    lossless = False
    backend = "whitespace"

    def __init__(
        self, words: Sequence[str], *, further: Sequence[str] = (), template: Template | None = None
    ) -> None:
        self.words = tuple(words)
        self._further = tuple(further)
        spelt = [*SPECIAL_TOKENS.values(), UNKNOWN, *further]
        self._first = len(spelt)
        self.specials = Specials(
            roles={**{role: id for id, role in enumerate(SPECIAL_TOKENS)}, "unk": len(SPECIAL_TOKENS)},
            spellings={token: id for id, token in enumerate(spelt)},
        )
        self._rendering = templates.Rendering(template, self.specials)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (self.words, self._further, self.template)

    @classmethod
    def train(cls, texts: Iterable[str], options: WhitespaceOptions, *, seed: int) -> Whitespace:
        """The most frequent words of texts; chance has no part in it. With `options.path` no text is read."""
        if options.path is not None:
            return cls.take(options)
        template = templates.find(options.template)
        further = reserved(options.special_tokens, template.markers if template else ())
        counts: Counter[str] = Counter()
        for text in texts:
            utf8(text)
            counts.update(_WORD.findall(text))
        room = options.vocab_size - len(SPECIAL_TOKENS) - 1 - len(further)
        ranked = sorted(counts, key=lambda word: (-counts[word], word))
        words = [word for word in ranked[: max(room, 0)] if counts[word] >= options.min_frequency]
        if not words:
            raise InputError(
                code="TOK-001",
                what="there is no text to learn a tokenizer from",
                why=f"{counts.total()} words were given, none of which gets an id",
                fix="check the sources and the split of the data, vocab_size and min_frequency",
            )
        return cls(words, further=further, template=template)

    @classmethod
    def take(cls, options: WhitespaceOptions) -> Whitespace:
        """The tokenizer saved at `options.path`, with the template that the options ask for."""
        assert options.path is not None
        loaded = cls.load(Path(options.path))
        if options.template is None:
            return loaded
        template = templates.find(options.template, own=loaded.template)
        return cls(loaded.words, further=loaded._further, template=template)

    @classmethod
    def inputs(cls, options: WhitespaceOptions) -> dict[str, str]:
        """Digests of the files that options name and that decide what is learned."""
        return templates.inputs(options.template)

    @classmethod
    def load(cls, folder: Path, *, backend: str = "auto") -> Whitespace:
        """Read what `save` wrote; raises `ArtefactError` for anything else. There is one backend."""
        manifest = artefact.read(folder, kind=KIND, name=FILE_NAME)
        words = artefact.json_object(folder / FILE_NAME).get("words")
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise artefact.refusal(folder / FILE_NAME, "it holds no list of words")
        further = tuple(manifest.get("special_tokens", ()))
        loaded = cls(words, further=further, template=saved_template(folder, manifest))
        artefact.refuse_other(folder, found=identity_of(KIND, loaded), manifest=manifest)
        return loaded

    def save(self, folder: Path) -> None:
        """Write `vocabulary.json`, the template if there is one, and `codex-tokenizer.json` into `folder`."""
        data = {FILE_NAME: readable_json({"words": list(self.words)}).encode()}
        fields = {**identity_of(KIND, self), "special_tokens": list(self._further)}
        artefact.write(
            folder,
            files=data | saved_files(self.template),
            fields=fields | rendering_fields(self.template),
        )

    @property
    def vocab_size(self) -> int:
        """Number of ids; every id is in `range(vocab_size)`."""
        return self._first + len(self.words)

    @property
    def special_ids(self) -> Mapping[str, int]:
        """Ids of the roles `bos`, `eos`, `pad` and `unk`."""
        return self.specials.roles

    @property
    def template(self) -> Template | None:
        """The chat template, None for the default layout."""
        return self._rendering.template

    def fingerprint(self) -> str:
        """`sha256:<hex>` over everything that changes ids or rendering."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        described = {
            "kind": KIND,
            "layout": LAYOUT_VERSION,
            "special": list(self.specials.spellings),
            "words": list(self.words),
        }
        return digest_of(described | rendering_fields(self.template, only_decisive=True))

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {word: id for id, word in enumerate(self.words, start=self._first)}

    def encode(self, text: str, *, allow_special: bool = False) -> list[int]:
        """Ids of the words of `text`; the spelling of a special token is a word unless allowed."""
        utf8(text)
        if allow_special:
            return encode_spelt(text, self.specials, self._known)
        return self._known(text)

    def _known(self, text: str) -> list[int]:
        unknown = self.specials.roles["unk"]
        return [self._ids.get(word, unknown) for word in _WORD.findall(text)]

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[Span]]:
        """Ids and, per id, the half-open code points of its word."""
        return self.encode(text), [match.span() for match in _WORD.finditer(text)]

    def encode_batch(
        self, texts: Sequence[str], *, max_length: int | None = None, pad_to: int | None = None
    ) -> TokenBatch:
        """Encode texts to one width: cut to `max_length`, padded to `pad_to` or the longest."""
        rows = self.encode_many(texts)
        return batches.pad(rows, pad_id=self.specials.pad, max_length=max_length, pad_to=pad_to)

    def encode_many(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, as `encode` gives them."""
        return [self.encode(text) for text in texts]

    def encode_many_flat(self, texts: Sequence[str]) -> tuple[NDArray[np.unsignedinteger], NDArray[np.int64]]:
        """Ids of all texts back to back, and how many each text has."""
        return flat(map(self.encode, texts), vocab_size=self.vocab_size)

    def decode(self, ids: Sequence[int]) -> str:
        """The words of `ids` with one blank between them; an unknown one is U+FFFD, special ids stand for nothing."""
        refuse_foreign_ids(ids, vocab_size=self.vocab_size)
        unknown, first = self.specials.roles["unk"], self._first
        return " ".join(
            "\ufffd" if id == unknown else self.words[id - first]
            for id in ids
            if id >= first or id == unknown
        )

    def render(self, record: Record, template: str | None = None) -> Encoded:
        """BOS, then the turns in the layout or template of this tokenizer; see `codex_core.rendering`."""
        return self._rendering.render(record, template, self.encode_with_offsets)


def _rebuilt(words: Sequence[str], further: Sequence[str], template: Template | None) -> Whitespace:
    return Whitespace(words, further=further, template=template)
