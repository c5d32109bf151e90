"""One network per set of branch models, trained once, whose parts are the designs of that set.

Branches, interactions and merge are trained together while resolutions, windows, numbers and directions of interactions
and the branches that feed the merge change from step to step. A design takes its part of the weights: its score without
any training of its own is cheap, and a short run of its own tunes it.
"""

from piip_explore.proxy.supernet.family import whole
from piip_explore.proxy.supernet.supernet import Supernet, missing, weights

__all__ = ["Supernet", "missing", "weights", "whole"]
