"""The tokenizer `bytes`: one id per UTF-8 byte, plus BOS and EOS.

Decisions: ids 0 to 255 are the bytes, 256 is BOS, 257 is EOS; the special ids have no spelling, so no text can
imitate them and `allow_special` changes nothing; padding repeats EOS under an attention mask of 0. Records are
rendered in the default layout of `codex_core.rendering`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codex_core.canonical import digest_of, readable_json
from codex_core.errors import ArtefactError, InputError, UsageError
from codex_core.files import write_atomic
from codex_core.records import Encoded, Record, TokenBatch
from codex_core.rendering import LAYOUT_VERSION, encode_pieces, lay_out

FILE_NAME = "bytes.json"

BOS, EOS = 256, 257

#: Everything that changes ids or rendering; what is saved, and what the fingerprint covers.
_DESCRIPTION: dict[str, Any] = {"format": "codex-bytes/1", "bos": BOS, "eos": EOS, "layout": LAYOUT_VERSION}


class BytesTokenizer:
    """Text as its UTF-8 bytes."""

    lossless = True
    learns = False  # known before any text is read
    vocab_size = 258
    special_ids: Mapping[str, int] = MappingProxyType({"bos": BOS, "eos": EOS})

    @classmethod
    def train(cls, texts: Iterable[str], options: Any = None, *, seed: int = 0) -> BytesTokenizer:
        """The tokenizer; there is nothing to learn and `texts` are not read."""
        return cls()

    @classmethod
    def load(cls, folder: Path) -> BytesTokenizer:
        """Read what `save` wrote; raises `ArtefactError` for anything else."""
        try:
            found = json.loads((folder / FILE_NAME).read_bytes())
        except (OSError, ValueError) as error:
            found = str(error)
        if found != _DESCRIPTION:
            raise ArtefactError(
                code="DAT-015",
                what="this is no folder of the tokenizer bytes",
                where=str(folder / FILE_NAME),
                why=f"found {found!r:.200}",
                fix="name the folder that the tokenizer was saved to, or prepare the data again",
            )
        return cls()

    def save(self, folder: Path) -> None:
        """Write the artefact into the existing folder."""
        write_atomic(folder / FILE_NAME, readable_json(_DESCRIPTION))

    def fingerprint(self) -> str:
        """`sha256:<hex>` over everything that changes ids or rendering."""
        return digest_of(_DESCRIPTION)

    def encode(self, text: str, *, allow_special: bool = False) -> list[int]:
        """The bytes of `text`.

        >>> BytesTokenizer().encode("né")
        [110, 195, 169]
        """
        return list(_utf8(text))

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Ids and, per id, its half-open code points; all bytes of a character share its span."""
        return self.encode(text), _spans(text)

    def encode_batch(
        self, texts: Sequence[str], *, max_length: int | None = None, pad_to: int | None = None
    ) -> TokenBatch:
        """Encode texts to one width: cut to `max_length`, padded at the right to `pad_to` or the longest."""
        rows = [tuple(self.encode(text)[:max_length]) for text in texts]
        width = max([pad_to or 0, *map(len, rows)])
        return TokenBatch(
            ids=tuple(row + (EOS,) * (width - len(row)) for row in rows),
            attention_mask=tuple((1,) * len(row) + (0,) * (width - len(row)) for row in rows),
        )

    def encode_many_flat(self, texts: Sequence[str]) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
        """Ids of all texts back to back, and how many each text has."""
        data = [_utf8(text) for text in texts]
        lengths = np.array([len(one) for one in data], dtype=np.int64)
        return np.frombuffer(b"".join(data), dtype=np.uint8).astype(np.uint16), lengths

    def decode(self, ids: Sequence[int]) -> str:
        """The text of the bytes among `ids`; bytes that are no UTF-8 (a cut character) become U+FFFD."""
        for id in ids:
            if not 0 <= id < self.vocab_size:
                raise InputError(
                    code="DAT-016",
                    what=f"{id} is no id of the tokenizer bytes",
                    why=f"ids are below {self.vocab_size}",
                    fix="decode with the tokenizer that the ids came from",
                )
        return bytes(id for id in ids if id < BOS).decode("utf-8", errors="replace")

    def render(self, record: Record, template: str | None = None) -> Encoded:
        """BOS, then each turn with its EOS; a turn's text and EOS are supervised as it says, roles never."""
        if template is not None:
            raise UsageError(
                code="DAT-017",
                what=f"the tokenizer bytes has no template {template!r}",
                why="it renders turns in one fixed layout",
                fix="leave the template out, or choose a tokenizer with templates",
            )
        return encode_pieces(lay_out(record), encode_with_offsets=self.encode_with_offsets, bos=BOS, eos=EOS)


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            code="DAT-003",
            what="expected Unicode text, found a lone surrogate",
            where=f"character {error.start}",
            why=f"U+{ord(text[error.start]):04X} has no UTF-8 bytes",
            fix="remove the character, or replace it by U+FFFD",
        ) from None


def _spans(text: str) -> list[tuple[int, int]]:
    """The half-open code point of each byte of `text`."""
    if text.isascii():
        return list(zip(range(len(text)), range(1, len(text) + 1), strict=True))
    return [(i, i + 1) for i, character in enumerate(text) for _ in character.encode()]
