"""Counting a module: one fvcore trace on the meta device, by kind of operator, complete or an error.

fvcore passes over operators it has no rule for. Here every operator is either counted or on a list of those that cost
nothing, with the reason; anything else stops the count, so that no part of a network is ever free by accident.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from fvcore.nn.jit_analysis import JitModelAnalysis
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from piip_explore.cost.counts import Counts
from piip_explore.cost.saved import saved
from piip_explore.ops import flops as deformable

Handle = Callable[[list[Any], list[Any]], Counter[str]]


def trace(module: nn.Module, *inputs: Tensor) -> dict[str, Counts]:
    """Count one forward pass of `module` on `inputs`, in evaluation mode, on whatever device they are.

    Returns:
        Counts of every submodule by its dotted name; "" is the whole.

    Raises:
        NotImplementedError: an operator is neither counted nor known to cost nothing; the sentence names it.
    """
    analysis = JitModelAnalysis(module.eval(), inputs).clear_op_handles()
    analysis.set_op_handle(**{name: _with_traffic(handle) for name, handle in COUNTED.items()}, **dict.fromkeys(FREE))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    with torch.no_grad(), _Traceable() as mode:
        # Every tensor made is an output: the tracer drops what does not reach one, but the network computes it.
        keep = module.register_forward_hook(lambda _, inputs, output: (output, *mode.results))
        try:
            counts = analysis.by_module_and_operator()
        finally:
            keep.remove()
    if unknown := analysis.unsupported_ops():
        names = ", ".join(sorted(unknown))
        raise NotImplementedError(
            f"no rule for what {names} costs: count it in COUNTED or say why it costs nothing in FREE (cost/trace.py)"
        )
    submodules, kept = dict(module.named_modules()), saved(module, *inputs)
    return {
        name: Counts(**kinds, params=_parameters(submodules[name]), kept=kept.get(name, 0))
        for name, kinds in counts.items()
    }


def working_set(module: nn.Module, *inputs: Tensor) -> int:
    """Return the most elements that one counted operator of a forward pass reads and writes, parameters aside."""
    with torch.no_grad(), _Largest() as mode:
        module.eval()(*inputs)
    elements: int = mode.elements
    return elements


class _Largest(TorchFunctionMode):
    """Notes the largest call of the functions whose operators are counted."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in _COUNTED_FUNCTIONS:
            values = (result, *args, *(kwargs or {}).values())
            tensors = [x for x in values if isinstance(x, Tensor) and not isinstance(x, nn.Parameter)]
            self.elements = max(self.elements, sum(x.numel() for x in tensors))
        return result


_COUNTED_FUNCTIONS = {
    *(F.linear, torch.matmul, Tensor.matmul, torch.conv2d, torch.conv_transpose2d),
    *(F.layer_norm, F.group_norm, F.relu, torch.relu, F.scaled_dot_product_attention),
}


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


# ---- what is counted: the base conventions of both accountings (spec of the published figures) --------------------


def _sizes(value: Any) -> list[int]:
    sizes: list[int] = value.type().sizes()
    return sizes


def _linear(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    """Input x output features x tokens; a bias is not counted."""
    return Counter(linear=math.prod(_sizes(inputs[0])) * _sizes(inputs[1])[0])


def _matmul(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    return Counter(linear=math.prod(_sizes(outputs[0])) * _sizes(inputs[0])[-1])


def _convolution(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    """Kernel x input/groups x output channels x positions, and output channels x output positions for a bias.

    Positions are the output's; a transposed convolution applies its kernel at every position of its input.
    """
    transposed = inputs[6].toIValue()
    out = _sizes(outputs[0])
    applied = _sizes(inputs[0]) if transposed else out
    bias = 0 if inputs[2].type().kind() == "NoneType" else math.prod(out)
    return Counter(conv=applied[0] * math.prod(applied[2:]) * math.prod(_sizes(inputs[1])) + bias)


def _norm(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    """LayerNorm and GroupNorm: 2 x elements."""
    return Counter(norm=2 * math.prod(_sizes(inputs[0])))


def _relu(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    return Counter(relu=math.prod(_sizes(inputs[0])))


def _attention(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    """Queries x keys x width, once for the logits and once for the values; softmax and mask are not counted."""
    *batch, queries, width = _sizes(inputs[0])
    keys, value_width = _sizes(inputs[2])[-2:]
    return Counter(attention=math.prod(batch) * queries * keys * (width + value_width))


def _deformable(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    return Counter(deformable=deformable.jit_handle(inputs, outputs))


COUNTED: Mapping[str, Handle] = {
    "aten::linear": _linear,
    "aten::matmul": _matmul,
    "aten::_convolution": _convolution,
    "aten::layer_norm": _norm,
    "aten::group_norm": _norm,
    "aten::relu": _relu,
    "aten::relu_": _relu,
    "aten::scaled_dot_product_attention": _attention,
    deformable.OPERATOR: _deformable,
}

_ACTIVATING = {"linear", "conv", "attention", "deformable"}


def _with_traffic(handle: Handle) -> Handle:
    """Count what an operator reads and writes beside its multiply-adds."""

    def count(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
        counted, written = handle(inputs, outputs), _elements(outputs)
        activations = written if _ACTIVATING & counted.keys() else 0
        return counted + Counter(activations=activations, moved=_elements(inputs) + written)

    return count


def _elements(values: list[Any]) -> int:
    return sum(math.prod(_sizes(value)) for value in values if value.type().kind() == "TensorType")


_ELEMENTWISE = "element-wise: the published figures count no residual, scale, activation (but ReLU) or mask"
_MEMORY = "moves or makes values, computes none"
_RESAMPLING = "interpolation and pooling: not counted in the published figures"
FREE: Mapping[str, str] = {
    **dict.fromkeys(("aten::add", "aten::add_", "aten::sub", "aten::mul", "aten::div"), _ELEMENTWISE),
    **dict.fromkeys(("aten::gelu", "aten::sigmoid", "aten::silu", "aten::dropout"), _ELEMENTWISE),
    **dict.fromkeys(("aten::rms_norm", "aten::rsqrt"), "RMSNorm: not counted in the published figures"),
    **dict.fromkeys(("aten::pow",), "RMSNorm, and the frequencies of rotary positions"),
    **dict.fromkeys(("aten::cos", "aten::sin"), "angles of rotary positions: of the map alone, not of its features"),
    **dict.fromkeys(("aten::softmax",), "softmax: not counted in the published figures"),
    **dict.fromkeys(("aten::sum", "aten::mean"), "averages and sums of maps or tokens: no multiplications"),
    **dict.fromkeys(("aten::upsample_bilinear2d", "aten::upsample_bicubic2d", "aten::max_pool2d"), _RESAMPLING),
    **dict.fromkeys(("aten::pad", "aten::unflatten", "aten::repeat_interleave", "aten::repeat"), _MEMORY),
    **dict.fromkeys(("aten::numpy_T", "aten::alias", "aten::clone", "aten::expand_as"), _MEMORY),
}
"""Operators that cost nothing, and why; beside them fvcore's own list of shape, copy and index operators."""


# ---- making a meta-device forward pass traceable -------------------------------------------------------------------


class _Traceable(TorchFunctionMode):
    """Lets the tracer see convolutions on the meta device, and gives modules sizes that are plain integers.

    The tracer does not record `aten::convolution` but the `aten::_convolution` that it calls on real devices; on meta
    there is no such call, so it is made directly. A traced size is a tensor, and Python code that computes with it
    would add operators, so sizes are read with tracing off. `results` are all tensors made.
    """

    def __init__(self) -> None:
        super().__init__()
        self.results: list[Tensor] = []

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in (Tensor.shape.__get__, Tensor.size):  # type: ignore[attr-defined]
            state = torch._C._get_tracing_state()
            torch._C._set_tracing_state(None)  # type: ignore[attr-defined]
            try:
                return func(*args, **(kwargs or {}))
            finally:
                torch._C._set_tracing_state(state)  # type: ignore[attr-defined]
        result = _CONVOLUTIONS.get(func, func)(*args, **(kwargs or {}))
        self.results += [x for x in (result if isinstance(result, tuple) else (result,)) if isinstance(x, Tensor)]
        return result


def _convolution_on_meta(
    transposed: bool,
    order: Sequence[str],
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *sizes: Any,
    **named: Any,
) -> Tensor:
    """Call the operator that the tracer records; `order` names the positional arguments after the bias."""
    given = {**_DEFAULTS, **dict(zip(order, sizes, strict=False)), **named}
    groups = given.pop("groups")
    stride, padding, dilation, extra = ([n, n] if isinstance(n, int) else list(n) for n in given.values())
    out: Tensor = torch.ops.aten._convolution.default(
        x, weight, bias, stride, padding, dilation, transposed, extra, groups, False, False, False, False
    )
    return out


_DEFAULTS = {"stride": 1, "padding": 0, "dilation": 1, "output_padding": 0, "groups": 1}
_ORDER = ("stride", "padding", "dilation", "groups")
_ORDER_TRANSPOSED = ("stride", "padding", "output_padding", "groups", "dilation")
_CONVOLUTIONS: Mapping[Any, Callable[..., Any]] = {
    torch.conv2d: partial(_convolution_on_meta, False, _ORDER),
    torch.conv_transpose2d: partial(_convolution_on_meta, True, _ORDER_TRANSPOSED),
}
