"""Design explorer for Parameter-Inverted Image Pyramid Networks (PIIP)."""

from piip_explore.design import Branch, Design, Interaction, Merge
from piip_explore.space import SearchSpace

__version__ = "0.1.0"

__all__ = ["Branch", "Design", "Interaction", "Merge", "SearchSpace", "__version__"]
