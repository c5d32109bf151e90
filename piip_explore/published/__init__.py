"""The papers' results as data: designs with their printed FLOPs, parameters and metrics.

Sources: PIIP (arXiv 2501.07783; arXiv 2406.04330) and the README of the authors' repository; the `source` column says
which table.
"""

from piip_explore.published.results import (
    llava,
    load,
    merge_ablation,
    other_detectors,
    read,
    scratch_breakdown,
)

__all__ = ["llava", "load", "merge_ablation", "other_detectors", "read", "scratch_breakdown"]
