"""The papers' results as data: designs with their printed FLOPs, parameters and metrics.

Sources: PIIP (arXiv 2501.07783; arXiv 2406.04330) and the README of the authors' repository; the `source` column says
which table.
"""

from piip_explore.published.reading import METRICS, UNKNOWN, read
from piip_explore.published.results import (
    ablations,
    llava,
    load,
    merge_ablation,
    other_detectors,
    scratch_breakdown,
)

__all__ = [
    "METRICS",
    "UNKNOWN",
    "ablations",
    "llava",
    "load",
    "merge_ablation",
    "other_detectors",
    "read",
    "scratch_breakdown",
]
