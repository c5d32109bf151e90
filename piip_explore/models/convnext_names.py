"""A ConvNeXt's tensors by Hugging Face's names, which the authors' wrapper has too, and by ours (timm's)."""

from __future__ import annotations

import re
from itertools import count

_PAIRS = [
    ("embeddings.patch_embeddings.", "stem.0."),
    ("embeddings.layernorm.", "stem.1."),
    ("encoder.stages.#.downsampling_layer.", "stages.#.downsample."),
    ("encoder.stages.#.layers.#.dwconv.", "stages.#.blocks.#.conv_dw."),
    ("encoder.stages.#.layers.#.layernorm.", "stages.#.blocks.#.norm."),
    ("encoder.stages.#.layers.#.pwconv#.", "stages.#.blocks.#.mlp.fc#."),
    ("encoder.stages.#.layers.#.layer_scale_parameter", "stages.#.blocks.#.gamma"),
]
"""Theirs and ours, up to the parameter's own name; # stands for a number, the same in both."""


def _rule(source: str, target: str) -> tuple[str, str]:
    """Return the regular expression of the source's names, and their replacement."""
    places = count(1)
    return re.escape(source).replace(r"\#", r"(\d+)"), re.sub("#", lambda _: rf"\{next(places)}", target)


TO_OURS = [_rule(theirs, ours) for theirs, ours in _PAIRS]
"""Patterns of Hugging Face's names, matched at their beginning, and their replacements."""

FROM_OURS = [_rule(ours, theirs) for theirs, ours in _PAIRS]
"""The same the other way."""
