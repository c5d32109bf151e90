"""The contract of an operator backend: a test class to subclass with a `backend` and a `device`.

Every behaviour that `deformable_attention` promises and a backend could break, in cases that an interpreter can run.
The shapes and dtypes are swept by the cases of `piip_explore.ops.check`.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from piip_explore.ops.check import Case, determinism, inputs, relative_error, results
from piip_explore.ops.operator import deformable_attention, deformable_sampling
from piip_explore.ops.reference import deformable_attention_reference, weighted_samples

SMALL = Case(6, 4, 3, "float32", ((3, 4), (2, 3)), "dense", deterministic=False)


class BackendContract:
    """Tests of one backend on one device."""

    backend: str
    device: str

    def attend(self, *arguments: object) -> Tensor:
        """Call the operator through the backend under test."""
        call = functools.partial(deformable_attention, backend=self.backend)
        return call(*arguments)  # type: ignore[arg-type]

    def tensor(self, values: object, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return `values` on the device under test, asking for gradients."""
        return torch.tensor(values, dtype=dtype, device=self.device, requires_grad=True)

    def one_sample(self, x: float, y: float) -> tuple[Tensor, Tensor]:
        """Sample the map [[1, 2, 4], [8, 16, 32]] at pixel (x, y): the sample, and its gradient by (x, y).

        The one query's centre is at (1, 0.5).
        """
        value = self.tensor([[[1.0], [2.0], [4.0], [8.0], [16.0], [32.0]]])
        offsets = self.tensor([[[[[x - 1, y - 0.5]]]]])
        out = self.attend(value, offsets, self.tensor([[[[0.0]]]]), (2, 3), (1, 1))
        (gradient,) = torch.autograd.grad(out.sum(), offsets)
        return out.detach().flatten().cpu(), gradient.flatten().cpu()

    def test_bilinear_by_hand(self) -> None:
        """Half way between four pixels: their mean, and half the differences of the sides."""
        sample, gradient = self.one_sample(0.5, 0.5)
        assert sample.tolist() == [(1 + 2 + 8 + 16) / 4]
        assert gradient.tolist() == [(1 + 8) / 2, (7 + 14) / 2]

    def test_zero_outside_by_hand(self) -> None:
        """Half a pixel beyond the right edge: half the edge; one pixel beyond: nothing."""
        sample, gradient = self.one_sample(2.5, 0.0)
        assert sample.tolist() == [2.0]
        assert gradient.tolist() == [-4.0, (32 - 4) / 2]
        sample, gradient = self.one_sample(3.0, 0.0)
        assert sample.tolist() == [0.0]
        assert gradient.tolist() == [0.0, 0.0]

    def test_on_a_pixel_the_gradient_is_to_the_right_and_below(self) -> None:
        """At (1, 0) the differences to (2, 0) and (1, 1), not to (0, 0) nor to the outside."""
        sample, gradient = self.one_sample(1.0, 0.0)
        assert sample.tolist() == [2.0]
        assert gradient.tolist() == [4.0 - 2.0, 16.0 - 2.0]

    def test_exactly_minus_one_is_a_pixel_too(self) -> None:
        """A sample at x = -1 is zero and feels the pixel to its right; a hair further out it feels nothing."""
        sample, gradient = self.one_sample(-1.0, 0.0)
        assert sample.tolist() == [0.0]
        assert gradient.tolist() == [1.0, 0.0]
        sample, gradient = self.one_sample(-1.001, 0.0)
        assert sample.tolist() == [0.0]
        assert gradient.tolist() == [0.0, 0.0]

    def test_offsets_that_lead_nowhere_sample_zero(self) -> None:
        """NaN, infinite and huge offsets sample zero, have zero gradient, and leave their neighbours alone."""
        arguments = self.arguments()
        wild, far = arguments[1].detach().clone(), arguments[1].detach().clone()
        for query, coordinate in enumerate((math.nan, math.inf, -math.inf, 3e38, -(2.0**31))):
            wild[0, query, 2, 3] = torch.tensor([coordinate, 0.0], device=self.device)
            far[0, query, 2, 3] = 1000.0
        found = results(self.attend, SMALL, [arguments[0], wild, arguments[2]], self.upstream())
        wanted = results(self.attend, SMALL, [arguments[0], far, arguments[2]], self.upstream())
        assert not found[2][0, :5, 2, 3].any()
        assert all(relative_error(a, b) < 1e-6 for a, b in zip(found, wanted, strict=True))

    def test_all_queries_on_one_pixel(self) -> None:
        """Every sample of every query adds into the same four pixels."""
        arguments = self.arguments()
        queries = SMALL.grids[1]
        step = torch.tensor([SMALL.grids[0][1] / queries[1], SMALL.grids[0][0] / queries[0]])
        places = torch.stack(torch.meshgrid(*map(torch.arange, queries[::-1]), indexing="xy"), -1).reshape(-1, 2)
        centres = ((places + 0.5) * step - 0.5)[:, None, None, :]
        aims = 1.25 + 0.125 * torch.arange(SMALL.points)[:, None]
        offsets = (aims - centres).expand(arguments[1].shape).to(self.device)
        self.compare([arguments[0], offsets, arguments[2]])

    def test_extreme_logits(self) -> None:
        """Logits of 1e4 and -1e4 take all and nothing, and so does minus infinity."""
        for low in (-1e4, -math.inf):
            arguments = self.arguments()
            logits = arguments[2].detach().clone()
            logits[0, :, :, 0] = low
            logits[1, :, :, 1] = 1e4
            self.compare([*arguments[:2], logits])

    def test_given_locations_and_weights(self) -> None:
        """Without a query grid: locations in pixels, near and outside the map, and weights of any sign and sum."""
        (value, offsets, logits), upstream = self.arguments(), self.upstream()
        for deterministic in (False, True):
            leaves = [x.detach().requires_grad_() for x in (value, offsets, logits)]
            with determinism(deterministic):
                out = deformable_sampling(leaves[0], leaves[1], leaves[2], SMALL.grids[0], backend=self.backend)
                found = [out.detach(), *torch.autograd.grad(out, leaves, upstream)]
            wide = [x.detach().double().requires_grad_() for x in (value, offsets, logits)]
            reference = weighted_samples(wide[0], wide[1][..., 0], wide[1][..., 1], wide[2], SMALL.grids[0])
            wanted = [reference, *torch.autograd.grad(reference, wide, upstream.double())]
            assert all(relative_error(a, b) < 1e-6 for a, b in zip(found, wanted, strict=True))

    def test_gradcheck(self) -> None:
        """All three gradients in float64 against finite differences."""
        generator = torch.Generator().manual_seed(1)
        shapes = [(1, 6, 4), (1, 2, 2, 2, 2), (1, 2, 2, 2)]
        leaves = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
        leaves = [leaf.to(self.device).requires_grad_() for leaf in leaves]
        nondeterministic = 1e-12 if self.device == "cuda" else 0.0
        assert torch.autograd.gradcheck(
            lambda *x: self.attend(*x, (2, 3), (1, 2)), leaves, nondet_tol=nondeterministic, fast_mode=True
        )

    def test_only_the_gradients_asked_for(self) -> None:
        """Any subset of inputs may require gradients; what it gets does not depend on the others."""
        arguments, upstream = self.arguments(), self.upstream()
        everything = results(self.attend, SMALL, arguments, upstream)[1:]
        for needs in ([True, False, False], [False, True, False], [False, False, True], [True, False, True]):
            leaves = [x.detach().requires_grad_(need) for x, need in zip(arguments, needs, strict=True)]
            self.attend(*leaves, *SMALL.grids).backward(upstream)
            for leaf, wanted, need in zip(leaves, everything, needs, strict=True):
                assert (leaf.grad is not None) == need
                assert leaf.grad is None or relative_error(leaf.grad, wanted) < 1e-6

    def test_empty_batch(self) -> None:
        """No images, no output, and gradients of the inputs' shapes."""
        leaves = [x[:0].detach().requires_grad_() for x in self.arguments()]
        out = self.attend(*leaves, *SMALL.grids)
        out.sum().backward()
        assert out.shape == (0, 6, 18)
        assert all(leaf.grad is not None and leaf.grad.shape == leaf.shape for leaf in leaves)

    def test_low_precision_values_with_precise_offsets(self) -> None:
        """Dtypes may differ: each gradient has its input's, the output the value's."""
        value, offsets, logits = self.arguments()
        found = results(self.attend, SMALL, [value.bfloat16(), offsets, logits], self.upstream().bfloat16())
        assert [x.dtype for x in found] == [torch.bfloat16, torch.bfloat16, torch.float32, torch.float32]
        wide = [value.bfloat16().double(), offsets.double(), logits.double()]
        wanted = results(deformable_attention_reference, SMALL, wide, self.upstream().bfloat16().double())
        limits = [1e-2, 1e-2, 1e-6, 1e-6]
        assert all(relative_error(a, b) <= limit for a, b, limit in zip(found, wanted, limits, strict=True))

    def test_deterministic_gradients_repeat_bit_for_bit(self) -> None:
        """Under `torch.use_deterministic_algorithms` two runs agree exactly, and with the ordinary gradient nearly."""
        arguments, upstream = self.arguments(), self.upstream()
        with determinism(True):
            first = results(self.attend, SMALL, arguments, upstream)
            second = results(self.attend, SMALL, arguments, upstream)
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
        ordinary = results(self.attend, SMALL, arguments, upstream)
        assert all(relative_error(a, b) < 1e-6 for a, b in zip(first, ordinary, strict=True))

    def arguments(self) -> list[Tensor]:
        """Return value, offsets and logits of the small case."""
        return inputs(SMALL, self.device)[:3]

    def upstream(self) -> Tensor:
        """Return the upstream gradient of the small case."""
        return inputs(SMALL, self.device)[3]

    def compare(self, arguments: list[Tensor]) -> None:
        """Compare with the reference in float32's tolerance."""
        found = results(self.attend, SMALL, arguments, self.upstream())
        wide = [x.double() for x in arguments]
        wanted = results(deformable_attention_reference, SMALL, wide, self.upstream().double())
        assert all(relative_error(a, b) < 1e-6 for a, b in zip(found, wanted, strict=True))
