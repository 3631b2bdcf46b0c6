"""A tokenizer of Hugging Face `tokenizers`, taken from a model's folder as it is.

Decisions: the library's own file decides the ids, `tokenizer.json` is kept byte by byte; nothing is fetched and no
code of the folder runs; special tokens are those that the file calls special and those that have a role; padding,
truncation and post-processing of the file are left out, because rows and BOS are ours. `lossless` is not believed
but worked out: no normaliser, bytes for every text, no added blank, and texts of every kind that come back.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenizers import Encoding, Tokenizer

from codex_core.canonical import digest_of, sha256_of
from codex_core.errors import UsageError
from codex_core.records import Encoded, Record, TokenBatch
from codex_core.rendering import LAYOUT_VERSION
from codex_tokenizers import artefact, batches, hf_files, templates
from codex_tokenizers.artefact import TOKENIZER_NAME
from codex_tokenizers.byte_alphabet import BYTES
from codex_tokenizers.flat import flat
from codex_tokenizers.forks import make_forks_safe
from codex_tokenizers.learned import encode_spelt, identity_of, rendering_fields, saved_files, saved_template
from codex_tokenizers.options import HFOptions
from codex_tokenizers.refusals import refuse_foreign_ids, refuse_surrogates
from codex_tokenizers.samples import SAMPLE
from codex_tokenizers.spans import Span
from codex_tokenizers.specials import Specials
from codex_tokenizers.templates import OWN, Template

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

KIND = "hf"


class HF:
    """The tokenizer of a model. Made by `train` (which learns nothing) or `load`; `roles` are spellings."""

    backend = "hf"

    def __init__(
        self, tokenizer_json: str, roles: Mapping[str, str], *, template: Template | None = None
    ) -> None:
        self.tokenizer_json = tokenizer_json
        self.roles = dict(roles)
        self._plain = _library(tokenizer_json)
        self._plain.encode_special_tokens = True  # the library's name for: treat them as plain text
        self.specials = _specials(self._plain, self.roles)
        self._rendering = templates.Rendering(template, self.specials)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (self.tokenizer_json, self.roles, self.template)

    @classmethod
    def train(cls, texts: Iterable[str], options: HFOptions, *, seed: int) -> HF:
        """The tokenizer at `options.path`; there is nothing to learn and `texts` are not read."""
        return cls.take(options)

    @classmethod
    def take(cls, options: HFOptions) -> HF:
        """The tokenizer at `options.path`, with the template that the options ask for."""
        path = Path(options.path)
        if path.is_dir() and artefact.kind_of(path) is not None:
            saved = cls.load(path)
            if options.template is None:
                return saved
            return cls(
                saved.tokenizer_json,
                saved.roles,
                template=templates.find(options.template, own=saved.template),
            )
        files = hf_files.read(path)
        said = {"bos": options.bos, "eos": options.eos, "pad": options.pad}
        roles = {**files.roles, **{role: token for role, token in said.items() if token is not None}}
        own = None if files.template is None else Template(name=OWN, source=files.template)
        try:
            return cls(files.tokenizer_json, roles, template=templates.find(options.template, own=own))
        except _NoTokenizer as error:
            raise hf_files.unusable(path, str(error)) from error

    @classmethod
    def inputs(cls, options: HFOptions) -> dict[str, str]:
        """Digests of the files that options name and that decide what is rendered."""
        return templates.inputs(options.template)

    @classmethod
    def load(cls, folder: Path, *, backend: str = "auto") -> HF:
        """Read what `save` wrote; raises `ArtefactError` for anything else. There is one backend."""
        manifest = artefact.read(folder, kind=KIND, name=TOKENIZER_NAME)
        roles = manifest.get("roles")
        if not isinstance(roles, dict):
            raise artefact.refusal(folder / artefact.MANIFEST_NAME, "it names no special tokens by role")
        text = (folder / TOKENIZER_NAME).read_bytes().decode()
        try:
            loaded = cls(text, roles, template=saved_template(folder, manifest))
        except _NoTokenizer as error:
            raise artefact.refusal(folder / TOKENIZER_NAME, str(error)) from error
        artefact.refuse_other(folder, found=identity_of(KIND, loaded), manifest=manifest)
        return loaded

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json`, the template if there is one, and `codex-tokenizer.json` into `folder`."""
        fields = {**identity_of(KIND, self), "roles": self.roles, "lossless": self.lossless}
        artefact.write(
            folder,
            files={TOKENIZER_NAME: self.tokenizer_json.encode()} | saved_files(self.template),
            fields=fields | rendering_fields(self.template),
        )

    @cached_property
    def lossless(self) -> bool:
        """Whether decoding gives every text back: by how the file is built, and on texts of every kind."""
        return _keeps_bytes(json.loads(self.tokenizer_json)) and all(
            self.decode(self.encode(text)) == text for text in SAMPLE
        )

    @cached_property
    def vocab_size(self) -> int:
        """Number of ids, holes in the file's numbering included; every id is in `range(vocab_size)`."""
        return max(self._plain.get_vocab(with_added_tokens=True).values()) + 1

    @property
    def special_ids(self) -> Mapping[str, int]:
        """Ids by role; `bos` is EOS where the model has none."""
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
            "roles": self.roles,
            "tokenizer": sha256_of(self.tokenizer_json.encode()),
        }
        return digest_of(described | rendering_fields(self.template, only_decisive=True))

    @cached_property
    def _leaking(self) -> Specials:
        """Special tokens whose spelling the model itself knows as a piece, so that text would get their ids."""
        ids = set(self.specials.spellings.values())
        return Specials(
            roles={},
            spellings={
                token: id
                for token, id in self.specials.spellings.items()
                if ids & set(self._plain.encode(token, add_special_tokens=False).ids)
            },
        )

    def encode(self, text: str, *, allow_special: bool = False) -> list[int]:
        """Ids of `text`, without BOS or EOS; the spelling of a special token is plain text unless allowed."""
        if allow_special:
            return encode_spelt(text, self.specials, self.encode)
        refuse_surrogates(text)
        return [id for _, stretch in self._stretches(text) for id in self._encoding(stretch).ids]

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[Span]]:
        """Ids and, per id, its half-open code points of `text`, as the library tells them."""
        refuse_surrogates(text)
        ids: list[int] = []
        spans: list[Span] = []
        for start, stretch in self._stretches(text):
            encoding = self._encoding(stretch)
            ids += encoding.ids
            spans += [(start + first, start + last) for first, last in encoding.offsets]
        return ids, spans

    def _stretches(self, text: str) -> Iterator[tuple[int, str]]:
        """What is encoded by itself, and where it starts: the text, broken within spellings that would leak."""
        if not self._leaking.spellings:
            yield 0, text
            return
        start = place = 0
        for stretch, id in self._leaking.split(text):
            if id is not None:
                yield start, text[start : place + 1]
                start = place + 1
            place += len(stretch)
        yield start, text[start:]

    def encode_batch(
        self, texts: Sequence[str], *, max_length: int | None = None, pad_to: int | None = None
    ) -> TokenBatch:
        """Encode texts to one width: cut to `max_length`, padded to `pad_to` or the longest."""
        rows = self.encode_many(texts)
        return batches.pad(rows, pad_id=self.specials.pad, max_length=max_length, pad_to=pad_to)

    def encode_many(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, as `encode` gives them, on all threads of the library."""
        if self._leaking.spellings:
            return [self.encode(text) for text in texts]
        make_forks_safe()
        for text in texts:
            refuse_surrogates(text)
        return [one.ids for one in self._plain.encode_batch_fast(list(texts), add_special_tokens=False)]

    def encode_many_flat(self, texts: Sequence[str]) -> tuple[NDArray[np.unsignedinteger], NDArray[np.int64]]:
        """Ids of all texts back to back, and how many each text has; one thread."""
        return flat(map(self.encode, texts), vocab_size=self.vocab_size)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids`, as the library decodes; special ids stand for nothing."""
        plain = [int(id) for id in ids]
        refuse_foreign_ids(plain, vocab_size=self.vocab_size)
        special = set(self.specials.spellings.values())
        text: str = self._plain.decode([id for id in plain if id not in special], skip_special_tokens=True)
        return text

    def render(self, record: Record, template: str | None = None) -> Encoded:
        """BOS, then the turns in the layout or template of this tokenizer; see `codex_core.rendering`."""
        return self._rendering.render(record, template, self.encode_with_offsets)

    def _encoding(self, text: str) -> Encoding:
        return self._plain.encode(text, add_special_tokens=False)


def _rebuilt(tokenizer_json: str, roles: Mapping[str, str], template: Template | None) -> HF:
    return HF(tokenizer_json, roles, template=template)


class _NoTokenizer(Exception):
    """The library cannot read a file."""


def _library(tokenizer_json: str) -> Tokenizer:
    try:
        library = Tokenizer.from_str(tokenizer_json)
    except Exception as error:  # the library raises bare Exceptions for files it cannot read
        raise _NoTokenizer(str(error)) from error
    library.no_truncation()
    library.no_padding()
    return library


def _specials(library: Tokenizer, roles: Mapping[str, str]) -> Specials:
    spellings = {
        token.content: id for id, token in library.get_added_tokens_decoder().items() if token.special
    }
    ids: dict[str, int] = {}
    for role, spelling in roles.items():
        if spelling not in spellings:
            raise _without(f"its {role} token {spelling!r} is none of its special tokens")
        ids[role] = spellings[spelling]
    if "eos" not in ids:
        raise _without(
            "neither tokenizer_config.json nor special_tokens_map.json nor the option names an EOS token"
        )
    return Specials(roles={"bos": ids["eos"], **ids}, spellings=spellings)


def _without(why: str) -> UsageError:
    return UsageError(
        code="TOK-017",
        what="this tokenizer lacks a special token that every text needs",
        why=why,
        fix="name special tokens of the file: tokenizer.eos=... tokenizer.bos=...",
    )


def _keeps_bytes(described: Mapping[str, Any]) -> bool:
    """Whether a `tokenizer.json` is byte-level throughout and changes no text."""
    steps = _steps(described.get("pre_tokenizer"))
    model = described.get("model") or {}
    vocabulary = model.get("vocab")
    return (
        described.get("normalizer") is None
        and any(step.get("type") == "ByteLevel" for step in steps)
        and not any(step.get("add_prefix_space") for step in steps)
        and {step.get("type") for step in steps} <= {"ByteLevel", "Split"}
        and not any(step.get("behavior") == "Removed" for step in steps)
        and [step.get("type") for step in _steps(described.get("decoder"))] == ["ByteLevel"]
        and model.get("type") == "BPE"
        and isinstance(vocabulary, dict)
        and all(character in vocabulary for character in BYTES)
        and not any(
            token.get("lstrip") or token.get("rstrip") for token in described.get("added_tokens") or ()
        )
    )


def _steps(part: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """The steps of a part that may be a sequence."""
    if part is None:
        return []
    return list(part.get("pretokenizers") or part.get("decoders") or [part])
