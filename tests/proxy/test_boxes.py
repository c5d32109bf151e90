"""Boxes by hand."""

import pytest
import torch

from piip_explore.proxy.tasks.boxes import generalized_iou, iou, suppress
from piip_explore.proxy.tasks.detection import focal_loss


def test_overlaps_by_hand():
    a, b = torch.tensor([0.0, 0, 2, 2]), torch.tensor([1.0, 0, 3, 2])
    assert iou(a, b).item() == pytest.approx(2 / 6)
    assert generalized_iou(a, b).item() == pytest.approx(2 / 6)  # the hull holds nothing else
    far = torch.tensor([3.0, 0, 4, 1])
    assert iou(a, far).item() == 0
    assert generalized_iou(a, far).item() == pytest.approx(-(8 - 5) / 8)


def test_suppression_is_greedy_and_per_class():
    boxes = torch.tensor([[[0.0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 8], [20, 20, 30, 30]]])
    same = torch.zeros(1, 4, dtype=torch.int64)
    assert suppress(boxes, same, 0.85).tolist() == [[True, False, True, True]]  # the third clashes with the second only
    kinds = torch.tensor([[0, 1, 0, 0]])
    assert suppress(boxes, kinds, 0.85).tolist() == [[True, True, True, True]]


def test_focal_loss_by_hand():
    logits, wanted = torch.tensor([0.0, 0.0]), torch.tensor([1.0, 0.0])
    expected = [0.25 * 0.25 * 0.6931, 0.75 * 0.25 * 0.6931]
    assert focal_loss(logits, wanted).tolist() == pytest.approx(expected, rel=1e-3)
