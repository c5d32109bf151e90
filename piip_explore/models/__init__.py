"""The networks: `build` makes a design's, `load_official` one from the authors' arguments and weights."""

from piip_explore.models.build import build
from piip_explore.models.official import load_official
from piip_explore.models.pyramid import Pyramid

__all__ = ["Pyramid", "build", "load_official"]
