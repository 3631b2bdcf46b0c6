"""The characters that byte-level tokenizers write for bytes, and the bytes that a token stands for."""

from __future__ import annotations

from types import MappingProxyType


def _alphabet() -> dict[str, int]:
    """Printable bytes stand for themselves, the others for the characters from U+0100 on, in their order."""
    plain = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    moved = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + i): byte for i, byte in enumerate(moved)}


#: Byte by character.
BYTES = MappingProxyType(_alphabet())


def token_bytes(token: str) -> bytes:
    """The bytes of a token that is spelt in the byte alphabet.

    >>> token_bytes("Ġnai")
    b' nai'
    """
    return bytes(BYTES[character] for character in token)
