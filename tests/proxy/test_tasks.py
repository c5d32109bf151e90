"""The package's tasks: the contract, and what annotations are to each."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from piip_explore import Design
from piip_explore.proxy import evaluate
from piip_explore.proxy.data import EmbeddedScenes, SceneRules
from piip_explore.proxy.network import Network
from piip_explore.proxy.tasks import TASKS
from piip_explore.proxy.tasks.detection import BoxLoss, positions
from piip_explore.testing.tasks import TaskContract

RULES = SceneRules(digits=1, crowd=4, clutter=1, smallest=0.3)
PAIR = "vit_tiny@896:w14 vit_small@448; interactions=6; merge={}"


@pytest.fixture(params=sorted(TASKS))
def task(request):
    kind = TASKS[request.param]
    return kind() if request.param == "classification" else kind(head_size=8, dim=8)


@pytest.fixture
def preset(task, tiny):
    return replace(tiny, task=task)


@pytest.fixture
def samples(preset):
    return preset.data.load("val", 8, preset.size, torch.device("cpu"))


def _perfect(task, samples, classes):
    """Return the output of a model that knows every annotation."""
    if task.name == "segmentation":
        return 50 * F.one_hot(samples.masks.long(), classes).permute(0, 3, 1, 2).float()
    if task.name == "classification":
        return 50 * F.one_hot(samples.labels, classes).float()
    truth = BoxLoss(samples, 32)
    held = F.one_hot(truth.kinds.long().clamp(min=0), classes) * (truth.kinds >= 0)[..., None]
    return torch.cat([100.0 * held - 50, truth.boxes], -1)


REFUSED = "vit_tiny@448 vit_small@224; merge={}"


class TestSegmentation(TaskContract):
    fits = (*map(PAIR.format, ("linear", "conv", "none")), "vit_base@448")
    refused = (REFUSED.format("separate-heads"),)

    def make(self):
        return TASKS["segmentation"](head_size=8, dim=8)


class TestDetection(TaskContract):
    fits = (*map(PAIR.format, ("linear", "conv")), "vit_base@448")
    refused = (REFUSED.format("separate-heads"),)

    def make(self):
        return TASKS["detection"](head_size=8, dim=8)


class TestClassification(TaskContract):
    fits = (PAIR.format("linear"), "vit_base@448")
    refused = (REFUSED.format("conv"),)

    def make(self):
        return TASKS["classification"]()


def test_names_agree(task):
    assert isinstance(TASKS[task.name](), type(task))


def test_a_perfect_model_scores_a_hundred(task, preset, samples):
    classes = len(preset.data.classes(task.needs))
    metric = task.evaluation(samples, classes)
    output = _perfect(task, samples, classes)
    for index in torch.arange(len(samples)).split(3):
        metric.update(output[index], index)
    values = metric.compute()
    if task.name == "detection":
        # A box that no position of its level lies in cannot be learnt; the rest must all be found, exactly.
        learnt = len({tuple(b) for b in BoxLoss(samples, 32).boxes.flatten(0, 1).tolist()} - {(0.0,) * 4})
        assert values["AP"] > 100 * 0.8 * learnt / len(samples.boxes)
        assert values["AP"] == pytest.approx(values["AP75"])
    else:
        # The likelihood is by how much a model is sure; what it calls most probable is all right.
        assert values["mIoU" if task.name == "segmentation" else task.metric] == pytest.approx(100)


def test_a_perfect_model_predicts_the_truth(task, preset, samples):
    predicted = task.predicted(_perfect(task, samples, len(preset.data.classes(task.needs))), samples)
    assert torch.equal(predicted.samples.masks, samples.masks)
    assert torch.equal(predicted.samples.labels, samples.labels)
    assert ((predicted.sure > 0) & (predicted.sure <= 1)).all()
    if task.name != "detection":
        assert predicted.sure.tolist() == pytest.approx([1] * len(samples))
        return
    # As many as are true, from the surest on: what no position can learn makes room for what nobody is sure of.
    assert (predicted.samples.box_start.diff() <= samples.box_start.diff()).all()
    truth, found = _objects(samples), _objects(predicted.samples)
    assert len(truth & found) > 0.8 * len(truth)


def _objects(samples):
    """Return every object as its image, class and box in whole pixels."""
    images = torch.arange(len(samples)).repeat_interleave(samples.box_start.diff())
    columns = torch.cat([images[:, None], samples.box_classes[:, None], samples.boxes.round().long()], 1)
    return set(map(tuple, columns.tolist()))


def test_the_first_samples_are_samples(samples):
    few = samples.first(3)
    assert len(few) == 3
    assert torch.equal(few.images, samples.images[:3])
    assert torch.equal(few.masks, samples.masks[:3])
    assert torch.equal(few.labels, samples.labels[:3])
    assert _objects(few) == {found for found in _objects(samples) if found[0] < 3}
    assert len(samples.first(100)) == len(samples)


def test_the_loss_prefers_the_truth(task, preset, samples):
    classes = len(preset.data.classes(task.needs))
    if task.name != "classification":
        task = replace(task, head_size={"detection": 32, "segmentation": 16}[task.name])  # no pixel is left out
    objective, index = task.objective(samples, classes), torch.arange(len(samples))
    right = _perfect(task, samples, classes)
    wrong = right.clone()
    if task.name == "detection":
        wrong[..., -4:] = torch.tensor([0.0, 0.0, 1.0, 1.0])
    else:
        wrong = wrong.roll(1, 1)
    assert objective(right, index) < 0.01
    assert objective(wrong, index) > 10 * objective(right, index) + 0.1


def test_a_model_that_knows_nothing_scores_little(task, preset):
    samples = preset.data.load("val", 100, preset.size, torch.device("cpu"))
    classes = len(preset.data.classes(task.needs))
    metric = task.evaluation(samples, classes)
    network = Network(preset.shrink(Design.parse("vit_tiny@448")), preset)
    with torch.no_grad():
        metric.update(network(samples.images), torch.arange(len(samples)))
    # Eight or nine classes, none of which one image or pixel in three shows, bar the background.
    assert metric.compute()[task.metric] < 100 / 3


def test_separate_heads_classify(tiny):
    preset = replace(tiny, task=TASKS["classification"](), data=EmbeddedScenes(replace(RULES, crowd=1)))
    score = evaluate(Design.parse(PAIR.format("separate-heads")), preset, fidelity=0.25, device="cpu")
    assert score.status == "ok"


def test_levels_cover_the_image_at_three_strides():
    centers, strides = positions(4)
    assert len(centers) == 16 + 4 + 1
    assert centers[0].tolist() == [0.125, 0.125]
    assert centers[-1].tolist() == [0.5, 0.5]
    assert strides.unique().tolist() == [0.25, 0.5, 1.0]
