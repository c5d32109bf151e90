"""Task and preset follow from the space and the device, for every shipped space."""

import pytest

from piip_explore.errors import InputError
from piip_explore.search.task_choice import preset_of, task_of
from piip_explore.space import SearchSpace
from piip_explore.space.shipped import shipped

POOL = """
name: own
pool: {{models: [vit_tiny, vit_small], branches: [{branches}], resolutions: [224, 448]}}
interactions: [6]
merge: {merge}
"""

PAPER = {
    "ade20k_tsb_sbl": ("cpu-supernet", "gpu-60s"),
    "coco_h6b": ("cpu-detection", "gpu-detection-60s"),
    "coco_hetero": ("cpu-detection", "gpu-detection-60s"),
    "coco_sbl": ("cpu-detection", "gpu-detection-60s"),
    "coco_tsb": ("cpu-detection", "gpu-detection-60s"),
    "coco_tsbl": ("cpu-detection", "gpu-detection-60s"),
    "demo": ("demo", "demo"),
    "imagenet_scratch": ("cpu-classification", "gpu-classification-60s"),
    "imagenet_tsb_sbl": ("cpu-classification", "gpu-classification-60s"),
}


def own(merge: str, branches: int = 2, more: str = "") -> SearchSpace:
    return SearchSpace.parse(POOL.format(merge=merge, branches=branches) + more, "own.yaml")


@pytest.mark.parametrize("name", [name for name in shipped() if name != "llava"])
def test_every_shipped_space_is_scored_by_its_own_task(name):
    space = SearchSpace.load(name)
    assert (preset_of(space, "cpu"), preset_of(space, "cuda:0")) == PAPER[name]


def test_a_space_that_no_preset_can_score_is_refused_with_what_to_write():
    space = SearchSpace.load("llava")
    with pytest.raises(InputError, match=r"choose a near task with --task \(segmentation, detection, classification\)"):
        preset_of(space, "cpu")
    assert preset_of(space, "cpu", task="segmentation") == "cpu-supernet"
    with pytest.raises(InputError, match=r"merge=none cannot be trained for classification: add --task segmentation"):
        preset_of(space, "cpu", task="classification")


def test_without_a_task_in_the_file_the_merges_tell():
    assert task_of(own("conv")) == "segmentation"
    assert task_of(own("[linear, separate-heads]")) == "classification"
    assert preset_of(own("separate-heads"), "cuda:1") == "gpu-classification-60s"
    assert preset_of(own("conv"), "cpu", preset="demo-detection") == "demo-detection"
    assert preset_of(own("conv"), "cpu", task="detection") == "cpu-detection"


def test_the_file_s_preset_counts_unless_another_task_is_asked_for():
    space = own("conv", more="proxy: {preset: demo}\n")
    assert preset_of(space, "cuda:0") == "demo"
    assert preset_of(space, "cpu", task="detection") == "cpu-detection"


@pytest.mark.parametrize(
    ("space", "asked", "sentence"),
    [
        ("coco_tsb", {"preset": "cpu"}, "write --preset cpu-detection, or --task segmentation to score its designs by"),
        ("llava", {"preset": "cpu"}, "is about multimodal and preset 'cpu' trains segmentation: write --task segment"),
        ("coco_tsb", {"preset": "cpu", "task": "detection"}, "--task detection and --preset cpu contradict each other"),
        ("coco_tsb", {"preset": "cqu"}, "unknown preset 'cqu': did you mean 'cpu'?"),
        ("coco_tsb", {"task": "classification"}, "merge=conv cannot be trained for classification"),
        (
            "imagenet_tsb_sbl",
            {"task": "detection"},
            "cannot be trained for detection: add --task c",
        ),
    ],
)
def test_a_mismatch_is_refused_with_what_to_write(space, asked, sentence):
    with pytest.raises(InputError, match=r".*") as error:
        preset_of(SearchSpace.load(space), "cpu", **asked)
    assert sentence in str(error.value)


def test_designs_that_no_one_task_can_judge_are_refused():
    with pytest.raises(InputError, match="merge=conv cannot be trained for classification: take them out of its file"):
        preset_of(own("[conv, separate-heads]"), "cpu")
    assert preset_of(own("conv", branches=1), "cpu", task="classification") == "cpu-classification"


def test_an_explicit_task_allows_another_preset():
    assert preset_of(SearchSpace.load("coco_tsb"), "cpu", "cpu", "segmentation") == "cpu"
