"""What this package offers; describing it imports nothing but `codex_core`."""

from codex_core import Component, hookimpl

CODEX_API = (1, 0)


@hookimpl
def codex_metrics() -> list[Component]:
    """One metric."""
    return [
        Component(
            "bits_per_character",
            target="plugin_hello.bits_per_character:BitsPerCharacter",
            options="plugin_hello.options:CharacterOptions",
            summary="Bits that the model needs per character of the text",
        )
    ]
