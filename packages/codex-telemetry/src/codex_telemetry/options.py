"""Options of the writers."""

from __future__ import annotations

import attrs

from codex_core import option


@attrs.frozen(kw_only=True)
class TensorBoardOptions:
    """Options of the writer `tensorboard`."""

    group_by: str = option(
        "split",
        doc="what TensorBoard shows together: `train/loss` beside `train/lr`, or `loss/train` beside `loss/validation`",
        choices=("split", "metric"),
    )
