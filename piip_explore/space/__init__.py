"""Search spaces: the set of designs that a YAML file describes. No torch."""

from piip_explore.space.axes import Axis, axes_of
from piip_explore.space.choices import BranchChoices, SettingChoices
from piip_explore.space.columns import SpaceColumns
from piip_explore.space.constraints import ACCOUNTINGS, Accounting, Constraints
from piip_explore.space.searchspace import SearchSpace, choices_of
from piip_explore.space.shipped import shipped

__all__ = [
    "ACCOUNTINGS",
    "Accounting",
    "Axis",
    "BranchChoices",
    "Constraints",
    "SearchSpace",
    "SettingChoices",
    "SpaceColumns",
    "axes_of",
    "choices_of",
    "shipped",
]
