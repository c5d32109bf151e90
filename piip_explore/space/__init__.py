"""Search spaces: the set of designs that a YAML file describes. No torch."""

from piip_explore.space.axes import Axis
from piip_explore.space.choices import SettingChoices, Slot
from piip_explore.space.columns import SpaceColumns
from piip_explore.space.constraints import ACCOUNTINGS, Accounting, Constraints
from piip_explore.space.searchspace import SearchSpace

__all__ = ["ACCOUNTINGS", "Accounting", "Axis", "Constraints", "SearchSpace", "SettingChoices", "Slot", "SpaceColumns"]
