"""The options of the metric: what a configuration may say."""

import attrs

from codex_core import option


@attrs.frozen(kw_only=True)
class CharacterOptions:
    """Options of the metric `bits_per_character`."""

    count: str = option(
        "all", doc="which characters count in the denominator", choices=("all", "not white space")
    )
