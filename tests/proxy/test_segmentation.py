"""Likelihood, mean IoU and the segmentation loss against cases computed by hand."""

import math

import pytest
import torch

from piip_explore import Design
from piip_explore.errors import InputError
from piip_explore.proxy.data.source import make_samples
from piip_explore.proxy.tasks import Segmentation


def _samples(masks):
    masks = torch.tensor(masks, dtype=torch.uint8)
    return make_samples(torch.zeros(len(masks), 3, *masks.shape[1:], dtype=torch.uint8), masks=masks)


def test_mean_iou_by_hand():
    samples = _samples([[[0, 0], [1, 255]]])
    metric = Segmentation().evaluation(samples, 3)
    logits = torch.nn.functional.one_hot(torch.tensor([[[0, 1], [1, 2]]]), 3).permute(0, 3, 1, 2).float()
    metric.update(logits, torch.tensor([0]))
    # Class 0: 1 of 2 pixels hit, union 2. Class 1: 1 hit, union 2. Class 2: only on the ignored pixel, not counted.
    result = metric.compute()
    assert result["mIoU"] == pytest.approx(50)
    assert result["pixel accuracy"] == pytest.approx(100 * 2 / 3)


def test_batches_add_up():
    samples = _samples([[[0, 1], [1, 1]], [[1, 1], [0, 0]]])
    generator = torch.Generator().manual_seed(0)
    logits = torch.rand(2, 2, 2, 2, generator=generator)
    whole, parts = (Segmentation().evaluation(samples, 2) for _ in range(2))
    whole.update(logits, torch.tensor([0, 1]))
    parts.update(logits[:1], torch.tensor([0]))
    parts.update(logits[1:], torch.tensor([1]))
    assert whole.compute() == pytest.approx(parts.compute())


def test_likelihood_by_hand():
    samples = _samples([[[0, 0], [1, 255]]])
    logits = torch.log(torch.tensor([[0.5, 0.5], [0.25, 0.75]]))[:, [0, 1]]  # a row per pixel row
    logits = logits.T.reshape(1, 2, 2, 1).expand(1, 2, 2, 2)
    plain = Segmentation(head_size=1, balance=0.0).evaluation(samples, 2)
    plain.update(logits, torch.tensor([0]))
    # Two pixels of class 0 at one half each, one of class 1 at three quarters; the ignored one counts nowhere.
    assert plain.compute()["likelihood"] == pytest.approx(100 * (0.5 * 0.5 * 0.75) ** (1 / 3))
    balanced = Segmentation(head_size=1, balance=1.0).evaluation(samples, 2)
    balanced.update(logits, torch.tensor([0]))
    assert balanced.compute()["likelihood"] == pytest.approx(100 * (0.5 * 0.75) ** (1 / 2))


def test_loss_weighs_classes_and_skips_ignored_pixels():
    samples = _samples([[[0, 0], [0, 1]], [[0, 0], [0, 255]]])
    logits = torch.zeros(1, 2, 2, 2)
    logits[:, 0] = 2.0  # everything is called class 0
    right, wrong = math.log(1 + math.exp(-2)), math.log(1 + math.exp(2))
    plain = Segmentation(head_size=1, balance=0.0).objective(samples, 2)
    assert plain(logits, torch.tensor([0])).item() == pytest.approx((3 * right + wrong) / 4)
    assert plain(logits, torch.tensor([1])).item() == pytest.approx(right)
    # Six pixels of class 0 and one of class 1: weights in the ratio 1 to 6 at balance 1.
    balanced = Segmentation(head_size=1, balance=1.0).objective(samples, 2)
    assert balanced(logits, torch.tensor([0])).item() == pytest.approx((3 * right + 6 * wrong) / 9)


@pytest.mark.parametrize("shapes", [[(24, 5, 5)], [(16, 20, 20), (16, 10, 10), (16, 5, 5)], [(8, 3, 3), (12, 7, 7)]])
def test_the_head_takes_any_maps(shapes):
    head = Segmentation(head_size=16).head([c for c, _, _ in shapes], 7)
    maps = [torch.randn(2, *shape) for shape in shapes]
    assert head(maps).shape == (2, 7, 16, 16)


def test_separate_heads_have_no_map():
    design = Design.parse("vit_tiny@448 vit_small@224; merge=separate-heads")
    with pytest.raises(InputError, match="separate-heads"):
        Segmentation().check(design)
