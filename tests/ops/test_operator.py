"""The operator as PyTorch sees it: registration, compilation, autocast, checkpointing, export, and bad input."""

import re

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from piip_explore.errors import InputError
from piip_explore.ops import backend_name, backends, deformable_attention
from piip_explore.ops.check import determinism

GRIDS = ((7, 5), (4, 6))


def arguments(device="cpu", dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    shapes = [(2, 35, 18), (2, 24, 3, 4, 2), (2, 24, 3, 4)]
    return [torch.randn(s, generator=generator).to(device, dtype).requires_grad_() for s in shapes]


class Attend(torch.nn.Module):
    def forward(self, value, offsets, logits):
        return deformable_attention(value, offsets, logits, *GRIDS)


def test_opcheck():
    torch.library.opcheck(torch.ops.piip.deformable_attention.default, (*arguments(), *GRIDS, "auto"))


@pytest.mark.parametrize("needs", [[True, True, True], [True, False, False], [False, True, True]])
def test_opcheck_backward(needs):
    leaves = [x.detach() for x in arguments()]
    gradient = torch.randn(2, 24, 18)
    operator = torch.ops.piip.deformable_attention_backward.default
    torch.library.opcheck(operator, (gradient, *leaves, *GRIDS, "auto", needs))


def test_compiles_without_a_graph_break():
    leaves = arguments()
    compiled = torch.compile(Attend(), fullgraph=True, backend="aot_eager")
    out = compiled(*leaves)
    assert torch.equal(out, Attend()(*leaves))
    gradients = torch.autograd.grad(out.square().sum(), leaves)
    expected = torch.autograd.grad(Attend()(*leaves).square().sum(), leaves)
    assert all(torch.equal(a, b) for a, b in zip(gradients, expected, strict=True))


def test_compiles_once_for_all_batch_sizes():
    compiled = torch.compile(Attend(), fullgraph=True, backend="aot_eager", dynamic=True)
    leaves = arguments()
    for batch in (2, 1):
        part = [leaf[:batch] for leaf in leaves]
        assert torch.equal(compiled(*part), Attend()(*part))


def test_exports_under_its_name():
    program = torch.export.export(Attend(), tuple(arguments()))
    targets = [node.target for node in program.graph.nodes if node.op == "call_function"]
    assert targets == [torch.ops.piip.deformable_attention.default]


def test_meta_tensors():
    leaves = arguments("meta")
    out = Attend()(*leaves)
    out.sum().backward()
    assert out.shape == (2, 24, 18)
    assert out.device.type == "meta"
    assert [leaf.grad.shape for leaf in leaves] == [leaf.shape for leaf in leaves]


def test_autocast_casts_the_value_and_keeps_offsets_precise():
    leaves = arguments()
    with torch.autocast("cpu", torch.bfloat16):
        out = Attend()(*leaves)
    assert out.dtype == torch.bfloat16
    value, offsets, logits = leaves
    assert torch.equal(out, deformable_attention(value.bfloat16(), offsets, logits, *GRIDS))
    out.float().sum().backward()
    assert {leaf.grad.dtype for leaf in leaves} == {torch.float32}
    with torch.autocast("cpu", torch.bfloat16):
        assert Attend()(*arguments(dtype=torch.float64)).dtype == torch.float64


def test_activation_checkpointing():
    leaves = arguments()
    plain = torch.autograd.grad(Attend()(*leaves).square().sum(), leaves)
    again = torch.autograd.grad(checkpoint(Attend(), *leaves, use_reentrant=False).square().sum(), leaves)
    assert all(torch.equal(a, b) for a, b in zip(plain, again, strict=True))


@pytest.mark.parametrize("wanted", [False, True])
@pytest.mark.parametrize(("before", "warn_only"), [(False, False), (True, False), (True, True)])
def test_a_block_of_determinism_leaves_the_setting_as_it_was(before, warn_only, wanted):
    torch.use_deterministic_algorithms(before, warn_only=warn_only)
    try:
        with determinism(wanted):
            assert torch.are_deterministic_algorithms_enabled() == wanted
        assert torch.are_deterministic_algorithms_enabled() == before
        assert torch.is_deterministic_algorithms_warn_only_enabled() == warn_only
    finally:
        torch.use_deterministic_algorithms(False)


def test_automatic_choice_by_device():
    assert backend_name("cpu") == "torch"
    assert backend_name("meta") == "torch"
    assert backend_name(torch.device("cuda", 0)) == ("triton" if backends._has_triton() else "torch")


def test_environment_chooses_and_the_argument_overrides(monkeypatch):
    monkeypatch.setenv("PIIP_EXPLORE_OPS_BACKEND", "torch")
    assert backend_name("cuda") == "torch"
    monkeypatch.setenv("PIIP_EXPLORE_OPS_BACKEND", "nonsense")
    assert backend_name("cuda", "torch") == "torch"
    with pytest.raises(
        InputError, match=r"PIIP_EXPLORE_OPS_BACKEND names the unknown .* 'nonsense'; choose one of auto"
    ):
        backend_name("cuda")


def test_unknown_backend_by_argument():
    with pytest.raises(InputError, match="unknown operator backend 'cuda'"):
        deformable_attention(*arguments(), *GRIDS, backend="cuda")


def test_triton_without_a_gpu_says_what_to_do(monkeypatch):
    monkeypatch.setattr(backends, "_has_triton", lambda: True)
    with pytest.raises(InputError, match="does not run on 'cpu'"):
        deformable_attention(*arguments(), *GRIDS, backend="triton")
    monkeypatch.setattr(backends, "_has_triton", lambda: False)
    with pytest.raises(InputError, match="pip install triton"):
        deformable_attention(*arguments(), *GRIDS, backend="triton")


def test_missing_triton_on_cuda_warns_once_and_works(monkeypatch, recwarn):
    monkeypatch.setattr(backends, "_has_triton", lambda: False)
    backends._warn_without_triton.cache_clear()
    assert [backend_name("cuda"), backend_name("cuda")] == ["torch", "torch"]
    assert len([w for w in recwarn if "Triton is not installed" in str(w.message)]) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: [a[0][0], *a[1:]], "takes value (B, S, heads*width)"),
        (lambda a: [a[0], a[1][:, :, :2], a[2]], "differ in B, Q, heads or points"),
        (lambda a: [a[0][:1], *a[1:]], "value has batch 1, offsets and logits 2"),
        (lambda a: [a[0][..., :17], *a[1:]], "17 channels, which do not divide into 3 heads"),
        (lambda a: [a[0][:, :30], *a[1:]], "key_grid (7, 5) is not an (H, W) of 30 tokens"),
        (lambda a: [a[0], a[1][:, :20], a[2][:, :20]], "query_grid (4, 6) is not an (H, W) of 20 tokens"),
        (lambda a: [a[0].long(), *a[1:]], "computes on floats, not torch.int64"),
    ],
)
def test_bad_input_is_named(change, message):
    with pytest.raises(InputError, match=re.escape(message)):
        deformable_attention(*change([x.detach() for x in arguments()]), *GRIDS)
