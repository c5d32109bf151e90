"""Designs as models of other libraries: import `.timm` or `.transformers` to register them there."""
