"""What designs cost: exact multiply-accumulates and parameters, under the papers' accounting and as built.

Torch is loaded only to count a part that no earlier run has counted.
"""

from piip_explore.cost.design_cost import Cost, Traffic, count, difference, traffic, training_memory
from piip_explore.cost.terms import RULES

ACCOUNTINGS = tuple(RULES)
"""The names of the accountings."""

__all__ = ["ACCOUNTINGS", "Cost", "Traffic", "count", "difference", "traffic", "training_memory"]
