"""How much memory training a design takes, from what it keeps: a figure to plan with. No torch.

Weights, gradients and AdamW's two moments are held throughout, and per image all that the forward pass keeps; in fp32,
4 bytes each. The largest operator's scratch, what a caching allocator leaves unused, and a detector's head come on top.
`benchmarks/memory.py` compares it with training steps whose allocations are counted.
"""

from __future__ import annotations

from typing import Any

FIXED = 16
"""Bytes per parameter: the weight, its gradient and AdamW's two moments, in fp32."""

KEPT = 4
"""Bytes per element that the forward pass keeps, in fp32."""


def training_gb(params: Any, kept: Any, batch: int) -> Any:
    """Return the GB (10^9 bytes) that training in fp32 with AdamW holds at its peak.

    Args:
        params: parameters as built; a number or an array.
        kept: elements that one image's forward pass keeps (`Traffic.kept`); a number or an array.
        batch: images per step on one device.
    """
    return (FIXED * params + KEPT * batch * kept) / 1e9
