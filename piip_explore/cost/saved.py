"""What training keeps of a forward pass: the tensors that automatic differentiation saves, on the meta device.

fvcore's trace sees operators, not what their gradients need, so a second forward pass is made for this, with gradients
on. Attention counts as fused, as on a GPU: it saves what it reads and writes and one number per query and head, no
logits (arXiv 2205.14135). On the meta device PyTorch would choose the operators that save them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


def saved(module: nn.Module, *inputs: Tensor) -> dict[str, int]:
    """Count the elements that a forward pass of `module` leaves for the backward pass.

    A module's outputs count, saved or not, because the next module needs them; its inputs do not. So the counts of
    modules that run one after the other add up. Parameters and buffers do not count, and no storage counts twice.

    Returns:
        Elements of every submodule that ran, by its dotted name; "" is the whole.
    """
    watch = _Watch(module)
    handles = [handle for name, part in module.named_modules() for handle in watch.hooks(name, part)]
    try:
        with torch.enable_grad(), FusedAttention(), torch.autograd.graph.saved_tensors_hooks(watch.save, _unneeded):
            module.eval()(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    return watch.elements


class _Watch:
    """Attributes what is saved to the modules that run meanwhile, by the storages of the tensors."""

    def __init__(self, module: nn.Module) -> None:
        self.elements: dict[str, int] = {}
        self._fixed = _storages([*module.parameters(), *module.buffers()])
        self._running: list[dict[int, Tensor]] = []

    def hooks(self, name: str, module: nn.Module) -> Iterable[Any]:
        def enter(_: nn.Module, inputs: Any) -> None:
            self._running.append({})

        def leave(_: nn.Module, inputs: Any, output: Any) -> None:
            kept = self._running.pop() | _storages(_tensors(output))
            for key in (self._fixed | _storages(_tensors(inputs))).keys() & kept.keys():
                del kept[key]
            self.elements[name] = self.elements.get(name, 0) + sum(_size(tensor) for tensor in kept.values())

        return module.register_forward_pre_hook(enter), module.register_forward_hook(leave)

    def save(self, tensor: Tensor) -> Tensor:
        for storages in self._running:
            storages.update(_storages([tensor]))  # the tensor keeps the storage alive, and so its address unique
        return tensor


def _unneeded(tensor: Tensor) -> Tensor:
    return tensor


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return [x for element in value for x in _tensors(element)] if isinstance(value, tuple | list) else []


def _storages(tensors: Iterable[Tensor]) -> dict[int, Tensor]:
    return {tensor.untyped_storage()._cdata: tensor for tensor in tensors}


def _size(tensor: Tensor) -> int:
    return tensor.untyped_storage().nbytes() // tensor.element_size()


class FusedAttention(TorchFunctionMode):
    """Takes attention as one operator that saves no logits."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is not F.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        given = dict(zip(("query", "key", "value", "attn_mask"), args, strict=False)) | (kwargs or {})
        q, k, v = given["query"], given["key"], given["value"]
        return _Attention.apply(q, k, v, given.get("attn_mask"))  # type: ignore[no-untyped-call]


class _Attention(torch.autograd.Function):
    """Attention's shapes, and what its fused kernels save."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        out = q.new_empty(*q.shape[:-1], v.shape[-1])
        if q.ndim > 3:  # the kernels lay it out token by token, all heads of one together
            out = out.transpose(-3, -2).contiguous().transpose(-3, -2)
        ctx.save_for_backward(q, k, v, mask, out, q.new_empty(q.shape[:-1]))
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        raise NotImplementedError("shapes alone have no gradient")
