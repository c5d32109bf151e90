"""What is trained on and how it is judged, by hand: pictures and their annotations stay together, metrics are right."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torchvision", reason="training has an environment of its own: make test-train")
pytest.importorskip("accelerate", reason="training has an environment of its own: make test-train")

import torch
from torch import Tensor, nn

from piip_explore.datasets import Coco
from piip_explore.errors import InputError
from piip_explore.export.checkpoints import OurWeights, our_file
from piip_explore.models import build
from piip_explore.train.settings import read_settings
from piip_explore.train.tasks import make
from piip_explore.train.tasks.detection import DetectionTraining, FullPrecision
from piip_explore.train.tasks.instances import average_precision, read_instances
from piip_explore.train.tasks.segmentation import SegmentationTraining, slide
from piip_explore.train.tasks.task import TrainingTask
from tests.train import made

CPU = torch.device("cpu")


def task(tmp_path: Path, data: Callable[..., str], merge: str = "conv", **options: Any) -> TrainingTask:
    name = data(tmp_path / "data", 4, **options)
    return make(read_settings(made.settings(tmp_path, name, merge, batch_size=2)))


def change(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def test_boxes_and_masks_follow_their_picture_through_flips(tmp_path: Path) -> None:
    detection = task(tmp_path, made.coco)
    samples = detection.samples("train")
    sides = set()
    for epoch in range(6):
        for row in range(len(samples)):
            picture, target = samples[epoch, row]
            assert picture.shape == (3, made.SIDE, made.SIDE)
            for box, label, mask in zip(target["boxes"], target["labels"], target["masks"], strict=True):
                x0, y0, x1, y1 = (int(v) for v in box)
                assert mask.sum() == (x1 - x0) * (y1 - y0) == mask[y0:y1, x0:x1].sum()
                colour = torch.tensor(made.COLOURS[int(label) - 1]) / 255
                assert torch.allclose(picture[:, y0:y1, x0:x1].mean((1, 2)), colour, atol=1e-5)
            sides.add((row, int(target["boxes"][0, 0])))
    assert len(sides) > len(samples)  # some were flipped
    assert torch.equal(samples[3, 0][0], samples[3, 0][0])


def test_a_detector_has_masks_where_all_boxes_have_shapes(tmp_path: Path) -> None:
    for masks in (True, False):
        detection = task(tmp_path / str(masks), made.coco, masks=masks)
        network = detection.network().train()
        batch = detection.collate([detection.samples("train")[0, row] for row in range(2)])
        for half in (False, True):
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                losses = detection.losses(network, batch, CPU)
            assert ("loss_mask" in losses) == masks
            assert all(torch.isfinite(loss) for loss in losses.values())
    path = tmp_path / "True" / "data" / "annotations" / "instances_val.json"
    change(path, lambda content: content["annotations"][0].pop("segmentation"))
    with pytest.raises(InputError, match=r"1 of \d+ annotations have no segmentation: give it to all, or to none"):
        assert read_instances(Coco(tmp_path / "True" / "data").split("val")).masks


@pytest.mark.parametrize("shape", [[[1, 2, 3]], {"counts": [5, 3], "size": [2, 4]}, {"counts": 7}, "round"])
def test_a_shape_that_is_none_is_named(shape: Any, tmp_path: Path) -> None:
    detection = task(tmp_path, made.coco)
    path = tmp_path / "data" / "annotations" / "instances_train.json"
    change(path, lambda content: content["annotations"][0].update(segmentation=shape))
    assert isinstance(detection, DetectionTraining)
    found = read_instances(Coco(tmp_path / "data").split("train"))
    with pytest.raises(InputError, match=r"box 1 of '0\.png' has a segmentation that cannot be used"):
        found.mask(0, 0, made.SIDE, made.SIDE)


def test_run_lengths_are_shapes_too(tmp_path: Path) -> None:
    made.coco(tmp_path / "data", 2)
    listed = Coco(tmp_path / "data").split("train")
    polygon = read_instances(listed).mask(0, 0, made.SIDE, made.SIDE)
    columns = np.flatnonzero(np.diff(np.concatenate([[0], polygon.T.reshape(-1), [0]])))
    counts = np.diff(np.concatenate([[0], columns, [polygon.size]])).tolist()
    change(
        listed.path, lambda c: c["annotations"][0].update(segmentation={"counts": counts, "size": list(polygon.shape)})
    )
    same = read_instances(Coco(tmp_path / "data").split("train")).mask(0, 0, made.SIDE, made.SIDE)
    assert np.array_equal(same, polygon)


def test_the_truth_scores_a_hundred_and_nothing_zero(tmp_path: Path) -> None:
    made.coco(tmp_path / "data", 4)
    truth = read_instances(Coco(tmp_path / "data").split("val")).truth
    found = [
        {"image_id": a["image_id"], "category_id": a["category_id"], "score": 1.0, "bbox": a["bbox"]}
        for a in truth["annotations"]
    ]
    assert average_precision(truth, found, "bbox")["box_ap"] == pytest.approx(100)
    moved = [{**entry, "bbox": [x + 0.3 * w, y, w, h]} for entry in found for x, y, w, h in [entry["bbox"]]]
    assert average_precision(truth, moved, "bbox")["box_ap50"] == pytest.approx(100)  # IoU 0.7 / 1.3 = 0.54
    assert average_precision(truth, moved, "bbox")["box_ap"] == pytest.approx(10)
    assert average_precision(truth, [], "segm")["mask_ap"] == 0


class Painter(nn.Module):
    """Say the class whose colour a pixel has: a perfect segmenter of the scenes."""

    def forward(self, pictures: Tensor) -> Tensor:
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        colours = torch.tensor([(90, 120, 90), *made.COLOURS]).float().div(255)
        pixels = pictures * std + mean
        return -(pixels[:, None] - colours.view(1, 3, 3, 1, 1)).square().sum(2)


def test_a_perfect_segmenter_scores_a_hundred_through_windows(tmp_path: Path) -> None:
    segmentation = task(tmp_path, made.ade20k)
    assert isinstance(segmentation, SegmentationTraining)
    samples = segmentation.samples("val")
    batches = [segmentation.collate([samples[0, row]]) for row in range(4)]
    metrics = segmentation.judge(Painter(), batches, CPU, list)
    assert metrics["score"] == pytest.approx(100)
    picture = batches[0][0]
    for size in (40, 64, 96, 200):
        assert torch.allclose(slide(Painter(), picture, size, 3), Painter()(picture), atol=1e-6)


def test_validation_masks_without_a_class_are_refused(tmp_path: Path) -> None:
    segmentation = task(tmp_path, made.ade20k)
    batches = [(torch.zeros(1, 3, 96, 96), torch.full((1, 96, 96), 255))]
    with pytest.raises(InputError, match="no validation mask has a class"):
        segmentation.judge(Painter(), batches, CPU, list)


def test_crops_keep_picture_and_map_together(tmp_path: Path) -> None:
    samples = task(tmp_path, made.ade20k).samples("train")
    for epoch in range(4):
        picture, mask = samples[epoch, 0]
        assert picture.shape == (3, made.SIDE, made.SIDE)
        assert mask.shape == (made.SIDE, made.SIDE)
        known = mask != 255
        assert known.any()
        red, blue = (picture[channel][known & (mask > 0)] for channel in (0, 2))
        kinds = mask[known & (mask > 0)]
        if len(kinds):  # class 1 is red and class 2 blue, whatever the light
            assert (((red > blue) == (kinds == 1)).float().mean()) > 0.9


def test_accuracy_by_hand(tmp_path: Path) -> None:
    classification = task(tmp_path, made.imagefolder, "linear")
    guesses = torch.tensor([[2.0, 1.0], [1.0, 2.0], [1.0, 2.0], [3.0, 1.0]])

    class Fixed(nn.Module):
        def forward(self, pictures: Tensor) -> Tensor:
            return guesses

    batches = [(torch.zeros(4, 3, 8, 8), torch.tensor([0, 1, 0, 0]))]
    assert classification.judge(Fixed(), batches, CPU, list) == {"score": 75, "top1": 75, "top5": 100}


def test_boxes_are_not_computed_in_half_precision() -> None:
    seen = []

    class Inner(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(super().forward(x).dtype)
            return x

    with torch.autocast("cpu", torch.bfloat16):
        FullPrecision(Inner(2, 2))(torch.ones(1, 2))
        Inner(2, 2)(torch.ones(1, 2))
    assert seen == [torch.float32, torch.bfloat16]


@pytest.mark.parametrize(
    ("data", "merge", "words"),
    [
        (made.coco, "separate-heads", "makes a classifier: choose merge=conv"),
        (made.coco, "none", "gives a detector 2 maps: choose merge=conv"),
        (made.ade20k, "separate-heads", "makes a classifier: choose merge=conv"),
        (made.imagefolder, "conv", "makes no classifier: choose merge=linear"),
    ],
)
def test_designs_that_a_task_cannot_train(data: Callable[..., str], merge: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        task(tmp_path, data, merge).network()


def test_pretrained_weights_that_do_not_fit_name_their_branch(tmp_path: Path) -> None:
    from dataclasses import replace

    torch.save({"patch_embed.proj.weight": torch.zeros(8, 3, 16, 16)}, tmp_path / "other.pth")
    classification = task(tmp_path, made.imagefolder, "linear")
    classification.settings = replace(classification.settings, pretrained=((2, str(tmp_path / "other.pth")),))
    with pytest.raises(InputError, match=r"branch 2, '.*other\.pth': .* do not fit the branch"):
        classification.network()


def test_branches_start_from_those_of_a_trained_classifier(tmp_path: Path) -> None:
    from dataclasses import replace

    classifier = task(tmp_path / "first", made.imagefolder, "linear")
    trained = build(classifier.settings.design, num_classes=2)
    for parameter in trained.parameters():
        torch.nn.init.normal_(parameter)
    path = tmp_path / "best.safetensors"
    path.write_bytes(our_file(OurWeights(classifier.settings.design, trained.state_dict(), {})))
    detection = task(tmp_path / "second", made.coco)
    detection.settings = replace(detection.settings, pretrained=((1, str(path)), (2, str(path))))
    branches = detection.pyramid(detection.network()).branches
    for name, tensor in branches.state_dict().items():
        assert torch.equal(tensor, trained.branches.state_dict()[name]), name


@pytest.mark.parametrize("half", [False, True])
def test_registers_and_rotary_positions_learn(half: bool, tmp_path: Path) -> None:
    rotary, registers = (
        f"{name}[depth=2,dim=32,heads=2,patch=8]@48" for name in ("dinov3_small_plus", "dinov2_reg_base")
    )
    branches = f"{rotary}:w3 {registers}; interactions=2; heads=2"
    data = made.imagefolder(tmp_path / "data", 4)
    classification = make(read_settings(made.settings(tmp_path, data, "linear", branches, batch_size=2)))
    network = classification.network().train()
    batch = classification.collate([classification.samples("train")[0, row] for row in range(2)])
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        losses = classification.losses(network, batch, CPU)
    torch.stack(list(losses.values())).sum().backward()
    tokens = [parameter for name, parameter in network.named_parameters() if name.endswith("reg_token")]
    assert [token.grad.abs().sum() > 0 for token in tokens] == [True, True]
