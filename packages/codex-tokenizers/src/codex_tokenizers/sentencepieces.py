"""SentencePiece: pieces learned as a unigram model or by BPE, with bytes for what has no piece.

Decisions: no prefix blank, no blank removed, no normaliser unless one is asked for, so that decoding brings every
text back and `lossless` is true exactly for `identity` with byte fallback; the library writes U+2581 for a blank, so
a U+2581 in a text is spelt in its bytes; decoding and offsets are worked out from the bytes of the pieces, here.
Learning reads lines and uses all of them on one thread: neither a sample nor the number of threads can change the
result, and lines are sorted first, so that neither their order nor the split into files can.
"""

from __future__ import annotations

import importlib.metadata
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sentencepiece

from codex_core.canonical import digest_of, sha256_of
from codex_core.errors import InputError, UsageError
from codex_core.records import Encoded, Record, TokenBatch
from codex_core.rendering import LAYOUT_VERSION
from codex_tokenizers import artefact, batches, templates
from codex_tokenizers.flat import flat
from codex_tokenizers.learned import encode_spelt, identity_of, rendering_fields, saved_files, saved_template
from codex_tokenizers.options import SentencePieceOptions
from codex_tokenizers.refusals import refuse_foreign_ids, refuse_surrogates, utf8
from codex_tokenizers.spans import Span, spans_of
from codex_tokenizers.specials import SPECIAL_TOKENS, Specials, reserved

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from codex_tokenizers.templates import Template

KIND = "sentencepiece"
FILE_NAME = "sentencepiece.model"

UNKNOWN = "<|codex:unk|>"
BLANK = "\u2581"

_LONGEST_LINE_BYTES = 1 << 24


class SentencePiece:
    """A learned model. Made by `train` or `load`; `settings` are the options that it was learned with."""

    backend = "sentencepiece"

    def __init__(
        self,
        model: bytes,
        settings: Mapping[str, Any],
        *,
        further: Sequence[str] = (),
        template: Template | None = None,
    ) -> None:
        self.model = model
        self.settings = settings
        self._further = tuple(further)
        self._library = sentencepiece.SentencePieceProcessor(model_proto=model)
        spelt = [*SPECIAL_TOKENS.values(), UNKNOWN, *further]
        self.specials = Specials(
            roles={**{role: id for id, role in enumerate(SPECIAL_TOKENS)}, "unk": len(SPECIAL_TOKENS)},
            spellings={token: self._library.piece_to_id(token) for token in spelt},
        )
        self._rendering = templates.Rendering(template, self.specials)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (self.model, dict(self.settings), self._further, self.template)

    @property
    def lossless(self) -> bool:
        """True without a normaliser and with bytes for what has no piece."""
        return self.settings["normaliser"] == "identity" and bool(self.settings["byte_fallback"])

    @classmethod
    def train(cls, texts: Iterable[str], options: SentencePieceOptions, *, seed: int) -> SentencePiece:
        """Learn from the lines of texts; chance has no part in it, `seed` is not used.

        With `options.path` the saved tokenizer is taken and no text is read. Raises `InputError` when there is
        nothing to learn from, `UsageError` for a vocabulary that is too small for the characters.
        """
        if options.path is not None:
            return cls.take(options)
        template = templates.find(options.template)
        further = reserved(options.special_tokens, template.markers if template else ())
        lines: Counter[str] = Counter()
        for text in texts:
            utf8(text)
            lines.update(line for line in text.split("\n") if line)
        if not lines:
            raise InputError(
                code="TOK-001",
                what="there is no text to learn a tokenizer from",
                why="no line of the texts holds a character",
                fix="check the sources and the split of the data",
            )
        model = _learned(sorted(lines.elements()), options, further)
        return cls(model, _settings(options), further=further, template=template)

    @classmethod
    def take(cls, options: SentencePieceOptions) -> SentencePiece:
        """The tokenizer saved at `options.path`, with the template that the options ask for."""
        assert options.path is not None
        loaded = cls.load(Path(options.path))
        if options.template is None:
            return loaded
        template = templates.find(options.template, own=loaded.template)
        return cls(loaded.model, loaded.settings, further=loaded._further, template=template)

    @classmethod
    def inputs(cls, options: SentencePieceOptions) -> dict[str, str]:
        """Digests of the files that options name and that decide what is learned."""
        return templates.inputs(options.template)

    @classmethod
    def load(cls, folder: Path, *, backend: str = "auto") -> SentencePiece:
        """Read what `save` wrote; raises `ArtefactError` for anything else. There is one backend."""
        manifest = artefact.read(folder, kind=KIND, name=FILE_NAME)
        model, learned = (folder / FILE_NAME).read_bytes(), manifest.get("learned", {})
        if not isinstance(learned, dict) or not {"normaliser", "byte_fallback"} <= learned.keys():
            raise artefact.refusal(
                folder / artefact.MANIFEST_NAME, "it does not say how the model was learned"
            )
        try:
            loaded = cls(
                model,
                learned,
                further=tuple(manifest.get("special_tokens", ())),
                template=saved_template(folder, manifest),
            )
        except RuntimeError as error:
            raise artefact.refusal(folder / FILE_NAME, "it holds no SentencePiece model") from error
        artefact.refuse_other(folder, found=identity_of(KIND, loaded), manifest=manifest)
        return loaded

    def save(self, folder: Path) -> None:
        """Write `sentencepiece.model`, the template if there is one, and `codex-tokenizer.json` into `folder`."""
        fields = {**identity_of(KIND, self), "learned": dict(self.settings)}
        artefact.write(
            folder,
            files={FILE_NAME: self.model} | saved_files(self.template),
            fields=fields | {"special_tokens": list(self._further)} | rendering_fields(self.template),
        )

    @cached_property
    def vocab_size(self) -> int:
        """Number of ids; every id is in `range(vocab_size)`."""
        return int(self._library.get_piece_size())

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
            "model": sha256_of(self.model),
            "special": list(self.specials.spellings),
            "lossless": self.lossless,
        }
        return digest_of(described | rendering_fields(self.template, only_decisive=True))

    @cached_property
    def _piece_bytes(self) -> list[bytes]:
        """What each id stands for; special ids stand for nothing, the unknown one for U+FFFD."""
        return [self._bytes_of(id) for id in range(self.vocab_size)]

    def _bytes_of(self, id: int) -> bytes:
        piece = self._library.id_to_piece(id)
        if self._library.is_byte(id):
            return bytes([int(piece[3:5], 16)])  # <0x0A>
        if self._library.is_unknown(id):
            return "\ufffd".encode()
        return b"" if self._library.is_control(id) else piece.replace(BLANK, " ").encode()

    @cached_property
    def _piece_sizes(self) -> list[int]:
        return [len(data) for data in self._piece_bytes]

    @cached_property
    def _spelt_blank(self) -> list[int]:
        """U+2581 in bytes; the unknown id where there are no byte pieces."""
        if not self.settings["byte_fallback"]:
            return [self.specials.roles["unk"]]
        return [self._library.piece_to_id(f"<0x{byte:02X}>") for byte in BLANK.encode()]

    def encode(self, text: str, *, allow_special: bool = False) -> list[int]:
        """Ids of `text`, without BOS or EOS; the spelling of a special token is plain text unless allowed."""
        refuse_surrogates(text)
        if allow_special:
            return encode_spelt(text, self.specials, self._plain)
        return self._plain(text)

    def _plain(self, text: str) -> list[int]:
        if BLANK not in text:
            ids: list[int] = self._library.encode(text)
            return ids
        first, *others = text.split(BLANK)
        ids = self._library.encode(first)
        for other in others:
            ids += self._spelt_blank
            ids += self._library.encode(other)
        return ids

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[Span]]:
        """Ids and, per id, its half-open code points of `text`."""
        if self.lossless:
            ids = self.encode(text)
            return ids, spans_of(text, map(self._piece_sizes.__getitem__, ids))
        refuse_surrogates(text)
        all_ids: list[int] = []
        spans: list[Span] = []
        start = 0
        for number, stretch in enumerate(text.split(BLANK)):
            if number:
                all_ids += self._spelt_blank
                spans += [(start, start + 1)] * len(self._spelt_blank)
                start += 1
            found = self._library.encode(stretch, return_type="offset_mapping")
            all_ids += found["ids"]
            spans += _held(found["offsets"], start)
            start += len(stretch)
        return all_ids, spans

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
        """Ids of all texts back to back, and how many each text has; one thread."""
        return flat(map(self.encode, texts), vocab_size=self.vocab_size)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids`; special ids stand for nothing, bytes that are no UTF-8 become U+FFFD."""
        refuse_foreign_ids(ids, vocab_size=self.vocab_size)
        return b"".join(map(self._piece_bytes.__getitem__, ids)).decode("utf-8", errors="replace")

    def render(self, record: Record, template: str | None = None) -> Encoded:
        """BOS, then the turns in the layout or template of this tokenizer; see `codex_core.rendering`."""
        return self._rendering.render(record, template, self.encode_with_offsets)


def _rebuilt(
    model: bytes, settings: Mapping[str, Any], further: Sequence[str], template: Template | None
) -> SentencePiece:
    return SentencePiece(model, settings, further=further, template=template)


def _held(spans: Sequence[Span], start: int) -> list[Span]:
    """Spans of a stretch within the text; pieces without a character of their own share that of the next one."""
    held: list[Span] = []
    following: Span | None = None
    for begin, end in reversed(spans):
        if begin < end:
            following = (begin, end)
        elif following is None or following[0] != begin:
            following = (begin, begin)
        held.append((start + following[0], start + following[1]))
    return held[::-1]


def _settings(options: SentencePieceOptions) -> dict[str, Any]:
    """What decides how a model is learned, and that nothing else does; numbers are text, manifests hold no floats."""
    return {
        "model": options.model,
        "vocab_size": options.vocab_size,
        "coverage": str(options.coverage),
        "normaliser": options.normaliser,
        "byte_fallback": options.byte_fallback,
        "threads": 1,
        "sampled": False,
        "library": f"sentencepiece {importlib.metadata.version('sentencepiece')}",
    }


def _learned(lines: Sequence[str], options: SentencePieceOptions, further: Sequence[str]) -> bytes:
    model = io.BytesIO()
    roles: dict[str, Any] = {f"{role}_id": id for id, role in enumerate((*SPECIAL_TOKENS, "unk"))}
    spelt: dict[str, Any] = {
        f"{role}_piece": token for role, token in {**SPECIAL_TOKENS, "unk": UNKNOWN}.items()
    }
    try:
        sentencepiece.SentencePieceTrainer.Train(
            sentence_iterator=iter(lines),
            model_writer=model,
            model_type=options.model,
            vocab_size=options.vocab_size,
            character_coverage=options.coverage,
            normalization_rule_name="identity" if options.normaliser == "identity" else "nfkc",
            byte_fallback=options.byte_fallback,
            control_symbols=list(further),
            remove_extra_whitespaces=False,
            add_dummy_prefix=False,
            hard_vocab_limit=False,
            input_sentence_size=0,
            shuffle_input_sentence=False,
            max_sentence_length=_LONGEST_LINE_BYTES,
            num_threads=1,
            minloglevel=2,
            **roles,
            **spelt,
        )
    except RuntimeError as error:
        raise UsageError(
            code="TOK-015",
            what="SentencePiece cannot learn this vocabulary from this text",
            why=" ".join(str(error).split())[:300],
            fix="raise or lower vocab_size, or lower coverage",
        ) from error
    return model.getvalue()
