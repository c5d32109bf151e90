"""Deformable attention: one operator, `piip::deformable_attention`, and the backends that compute it."""

from piip_explore.ops.backends import BACKENDS, backend_name
from piip_explore.ops.flops import deformable_attention_macs
from piip_explore.ops.operator import deformable_attention, deformable_sampling

__all__ = ["BACKENDS", "backend_name", "deformable_attention", "deformable_attention_macs", "deformable_sampling"]
