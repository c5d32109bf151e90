"""What the model names mean: sizes and structure of every branch model, as data."""

from piip_explore.catalog.kinds import ConvNeXt, Model, OwnBranch, Rotary, ViT, is_pyramid, positions
from piip_explore.catalog.models import MODELS
from piip_explore.catalog.naming import canonical_name, free_name, model, structure

__all__ = [
    "MODELS",
    "ConvNeXt",
    "Model",
    "OwnBranch",
    "Rotary",
    "ViT",
    "canonical_name",
    "free_name",
    "is_pyramid",
    "model",
    "positions",
    "structure",
]
