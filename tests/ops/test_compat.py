"""Deformable-DETR's and mmcv's interface on our operator, against the definition in float64."""

import random

import pytest
import torch

from piip_explore.errors import InputError
from piip_explore.ops import compat
from piip_explore.ops.check import relative_error
from piip_explore.ops.reference import multi_scale_reference


def random_call(seed):
    """Up to four levels of any shape, up to three images, odd widths, samples outside, weights of any sign."""
    draw = random.Random(seed)
    generator = torch.Generator().manual_seed(seed)
    shapes = [(draw.randint(1, 9), draw.randint(1, 9)) for _ in range(draw.randint(1, 4))]
    batch, queries, heads, points = draw.randint(1, 3), draw.randint(1, 12), draw.randint(1, 5), draw.randint(1, 5)
    width = draw.choice([1, 3, 5, 7, 8, 12, 13, 31, 32, 33])
    starts = [sum(h * w for h, w in shapes[:level]) for level in range(len(shapes))]
    value = torch.randn(batch, sum(h * w for h, w in shapes), heads, width, generator=generator)
    locations = 1.4 * torch.rand(batch, queries, heads, len(shapes), points, 2, generator=generator) - 0.2
    weights = torch.randn(batch, queries, heads, len(shapes), points, generator=generator)
    upstream = torch.randn(batch, queries, heads * width, generator=generator)
    return value, shapes, starts, locations, weights, upstream, draw.randint(1, 64)


def with_gradients(compute, *tensors, upstream):
    leaves = [tensor.detach().requires_grad_() for tensor in tensors]
    out = compute(*leaves)
    return [out.detach(), *torch.autograd.grad(out, leaves, upstream)]


@pytest.mark.parametrize("seed", range(50))
def test_the_functional_is_its_definition(seed):
    value, shapes, starts, locations, weights, upstream, step = random_call(seed)
    found = with_gradients(
        lambda v, x, w: compat.MSDeformAttnFunction.apply(v, torch.tensor(shapes), torch.tensor(starts), x, w, step),
        value,
        locations,
        weights,
        upstream=upstream,
    )
    wanted = with_gradients(
        lambda v, x, w: multi_scale_reference(v, shapes, x, w), value, locations, weights, upstream=upstream.double()
    )
    assert [x.dtype for x in found] == [torch.float32] * 4
    assert max(relative_error(a, b) for a, b in zip(found, wanted, strict=True)) < 1e-5


def test_a_sample_by_hand():
    """A location of 0 is the left edge, half a pixel before the first centre: half of it is outside."""
    value = torch.tensor([2.0, 4.0, 100.0]).reshape(1, 3, 1, 1)
    locations = torch.tensor([[0.0, 0.5], [0.5, 0.5]]).reshape(1, 1, 1, 2, 1, 2)
    weights = torch.tensor([3.0, -1.0]).reshape(1, 1, 1, 2, 1)
    out = compat.ms_deform_attn(value, [(1, 2), (1, 1)], [0, 2], locations, weights)
    assert out.item() == 3 * (2.0 / 2) - 100.0


def test_half_precision_sums_levels_in_float32():
    value, shapes, starts, locations, weights, _, _ = random_call(3)
    found = compat.ms_deform_attn(value.bfloat16(), shapes, starts, locations, weights)
    assert found.dtype == torch.bfloat16
    assert relative_error(found, multi_scale_reference(value.bfloat16(), shapes, locations, weights)) < 1e-2


def module_and_inputs(ratio=1.0, boxes=False):
    torch.manual_seed(0)
    module = compat.MSDeformAttn(d_model=24, n_levels=2, n_heads=4, n_points=3, ratio=ratio).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    query, source = torch.randn(2, 5, 24).double(), torch.randn(2, 4 * 6 + 2 * 3, 24).double()
    reference = torch.rand(2, 5, 2, 4 if boxes else 2).double()
    return module, query, reference, source, [(4, 6), (2, 3)], [0, 24]


@pytest.mark.parametrize("boxes", [False, True])
@pytest.mark.parametrize("ratio", [1.0, 0.5])
def test_the_module_is_its_definition(ratio, boxes):
    module, query, reference, source, shapes, starts = module_and_inputs(ratio, boxes)
    padding = torch.zeros(2, 30, dtype=torch.bool)
    padding[1, 10:] = True
    value = module.value_proj(source) * ~padding[..., None]
    offsets = module.sampling_offsets(query).reshape(2, 5, 4, 2, 3, 2)
    weights = module.attention_weights(query).reshape(2, 5, 4, 6).softmax(-1).reshape(2, 5, 4, 2, 3)
    scale = torch.tensor([[6.0, 4.0], [3.0, 2.0]]).double().reciprocal()[:, None]
    if boxes:
        scale = reference[:, :, None, :, None, 2:] / 2 / 3
    locations = reference[:, :, None, :, None, :2] + offsets * scale
    attended = multi_scale_reference(value.reshape(2, 30, 4, -1), shapes, locations, weights)
    found = module(query, reference, source, torch.tensor(shapes), torch.tensor(starts), padding)
    torch.testing.assert_close(found, module.output_proj(attended))


def test_parameters_are_called_as_in_the_original():
    names = {
        f"{layer}.{kind}"
        for layer in ("sampling_offsets", "attention_weights", "value_proj", "output_proj")
        for kind in ("weight", "bias")
    }
    module = compat.MSDeformAttn(64, 3, 8, 4, ratio=0.5)
    assert set(module.state_dict()) == set(compat.MultiScaleDeformableAttention(64, 8, 3, 4).state_dict()) == names
    assert module.value_proj.weight.shape == (32, 64)
    bias = module.sampling_offsets.bias.detach().reshape(8, 3, 4, 2)
    torch.testing.assert_close(bias[1], torch.arange(1.0, 5.0)[None, :, None].expand(3, 4, 2))  # diagonal, max-norm 1


@pytest.mark.parametrize("batch_first", [False, True])
def test_mmcv_adds_the_residual(batch_first):
    module, query, reference, source, shapes, starts = module_and_inputs()
    theirs = compat.MultiScaleDeformableAttention(24, 4, 2, 3, batch_first=batch_first).double().eval()
    theirs.load_state_dict(module.state_dict())
    position, identity = torch.randn(2, 2, 5, 24).double()
    wanted = module(query + position, reference, source, shapes, starts) + identity
    turn = (lambda x: x) if batch_first else (lambda x: x.transpose(0, 1))
    found = theirs(
        turn(query),
        value=turn(source),
        identity=turn(identity),
        query_pos=turn(position),
        reference_points=reference,
        spatial_shapes=torch.tensor(shapes),
        level_start_index=torch.tensor(starts),
    )
    torch.testing.assert_close(turn(found), wanted)


def test_pytorch_core_functions_need_no_starts():
    value, shapes, starts, locations, weights, _, _ = random_call(7)
    found = compat.multi_scale_deformable_attn_pytorch(value, torch.tensor(shapes), locations, weights)
    assert torch.equal(found, compat.ms_deform_attn(value, shapes, starts, locations, weights, backend="torch"))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda v, g, s, x, w: (v[..., 0], g, s, x, w), r"takes value \(B, S, heads, width\)"),
        (lambda v, g, s, x, w: (v, g, s, x, w[..., :-1]), "attention_weights .* differ"),
        (lambda v, g, s, x, w: (v[:, :, :1], g, s, x, w), "value has 1 heads, sampling_locations 2"),
        (lambda v, g, s, x, w: (v, g[:1], s, x, w), "1 spatial_shapes, 2 level_start_index and 2 levels"),
        (lambda v, g, s, x, w: (v, g, [0, 8], x, w), "a level of 2 x 3 from 8 on ends beyond the 12 rows"),
    ],
)
def test_bad_input_is_named(change, named):
    value, shapes, starts = torch.zeros(1, 12, 2, 3), [(2, 3), (2, 3)], [0, 6]
    locations, weights = torch.zeros(1, 4, 2, 2, 3, 2), torch.zeros(1, 4, 2, 2, 3)
    with pytest.raises(InputError, match=named):
        compat.ms_deform_attn(*change(value, shapes, starts, locations, weights))
