"""Designs: frozen values with one text form, validation and a stable id. No torch.

    vit_tiny@1120:w14 vit_small@896:w14 vit_base@448:w14; interactions=12; merge=linear

`Design.parse` and `str` are inverse: parsing a printed design gives an equal design, and printing a parsed text gives
its canonical form (options at their default are left out, a window as large as the map is dropped, a free model of a
catalogued structure gets the catalog's name). One architecture has one form, and so one id.
"""

from piip_explore.design.branch import MAX_RESOLUTION, NO_WINDOW, Branch, parse_window, rank
from piip_explore.design.design import Design
from piip_explore.design.setting import Attention, Direction, Interaction, Merge, MergeKind, Weighting

__all__ = [
    "MAX_RESOLUTION",
    "NO_WINDOW",
    "Attention",
    "Branch",
    "Design",
    "Direction",
    "Interaction",
    "Merge",
    "MergeKind",
    "Weighting",
    "parse_window",
    "rank",
]
