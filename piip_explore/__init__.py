"""Design explorer for Parameter-Inverted Image Pyramid Networks (PIIP)."""

from piip_explore.design import Branch, Design, Interaction, Merge

__all__ = ["Branch", "Design", "Interaction", "Merge"]
