"""What exported configs train with, against the facts of the published ones."""

from __future__ import annotations

import re
from typing import Any

import pytest

from piip_explore import Design
from piip_explore.export import exporter
from piip_explore.export.pyconfig import plain

TSB = "vit_tiny@1120:w14 vit_small@896:w14 vit_base@448:w14"
SBL = "vit_small@1568:w28 vit_base@896:w28 vit_large@672:w28"
CONVNEXT = "convnext_tiny@1024 convnext_small@672 convnext_base@448; merge=conv-multilevel"


def config(target: str, text: str, **options: Any) -> dict[str, Any]:
    made: dict[str, Any] = plain(exporter(f"official-{target}", **options).config(Design.parse(text)))  # type: ignore[attr-defined]
    return made


@pytest.mark.parametrize(
    ("text", "lr", "layers", "rate", "strides"),
    [
        (TSB, 1e-4, 12, 0.85, [1, 1]),
        (SBL, 1e-4, 24, 0.85, [2, 2]),
        ("vit_tiny@1344:w28 vit_small@896:w28 vit_base@672:w28 vit_large@448", 1e-4, 24, 0.85, [2, 2, 2]),
        ("vit_huge@1024 intern_vit_6b@512; project=no", 1e-4, 48, 0.85, [1.5]),
        ("vit_large@1536 vit_huge@1024 intern_vit_6b@512; interactions=4; project=no", 2e-4, 48, 0.85, [1.5, 2.0]),
        (CONVNEXT, 2e-4, 12, 0.8, [1, 3]),
        ("convnext_tiny@1024 vit_small@672 convnext_base@448; merge=conv-multilevel", 2e-4, 12, 0.8, [1, 3]),
        ("vit_tiny@1024 convnext_small@672 vit_base@448; merge=conv-multilevel", 2e-4, 12, 0.8, [1, 1]),
        ("vit_base@1024:w14g3", 1e-4, 12, 0.95, None),
    ],
)
def test_optimizers_of_the_published_detectors(
    text: str, lr: float, layers: int, rate: float, strides: list[float] | None
) -> None:
    optimizer = config("detection", text)["optimizer"]
    assert optimizer["lr"] == lr
    assert optimizer["weight_decay"] == 0.05
    assert optimizer["constructor"] == "CustomLayerDecayOptimizerConstructorMMDet"
    expected: dict[str, Any] = {"num_layers": layers, "layer_decay_rate": rate}
    assert optimizer["paramwise_cfg"] == expected | ({} if strides is None else {"skip_stride": strides})


def test_a_convnext_alone_trains_without_layer_decay() -> None:
    optimizer = config("detection", "convnext_base@1024")["optimizer"]
    assert (optimizer["lr"], "constructor" in optimizer) == (1e-4, False)


@pytest.mark.parametrize(
    ("text", "scale", "divisor", "mean", "widths"),
    [
        (TSB, (1120, 672), 224, 127.5, [768] * 4),
        (SBL, (1568, 941), 224, 127.5, [1024] * 4),
        ("vit_huge@1024 intern_vit_6b@512; project=no", (1024, 614), 64, 127.5, [3200] * 4),
        (CONVNEXT, (1024, 614), 32, 123.675, [128, 256, 512, 1024]),
        ("vit_tiny@1024 convnext_small@672 vit_base@448; merge=conv-multilevel", (1024, 614), 32, 123.675, [768] * 4),
    ],
)
def test_images_and_necks_of_the_published_detectors(
    text: str, scale: tuple[int, int], divisor: int, mean: float, widths: list[int]
) -> None:
    made = config("detection", text)
    steps = {step["type"]: step for step in made["train_pipeline"]}
    assert steps["Resize"]["img_scale"] == scale
    assert steps["Pad"]["size_divisor"] == divisor
    assert steps["Normalize"]["mean"][0] == mean
    assert made["model"]["neck"] == {"type": "FPN", "in_channels": widths, "out_channels": 256, "num_outs": 5}


@pytest.mark.parametrize("target", ["detection", "segmentation"])
def test_mm_based_training_runs_under_deepspeed(target: str) -> None:
    made = config(target, "vit_tiny@640 vit_base@320")
    assert made["deepspeed"] is True
    assert made["deepspeed_config"] == "zero_configs/adam_zero1_bf16.json"
    assert made["checkpoint_config"]["deepspeed"] is True  # else the sharded optimizer is not saved
    assert made["custom_hooks"][0]["type"] == ("ToBFloat16HookMMDet" if target == "detection" else "ToBFloat16Hook")


def test_dino() -> None:
    made = config("detection", SBL, head="dino", pretrain={"vit_base": "deit3-384"})
    model, head = made["model"], made["model"]["bbox_head"]
    assert model["backbone"]["is_dino"] is True
    assert model["neck"]["in_channels"] == [1024] * 3
    # What the head's classes cannot do without.
    assert head["dn_cfg"]["type"] == "CdnQueryGenerator"
    assert head["num_query"] == head["transformer"]["two_stage_num_proposals"] == 900
    for part in ("encoder", "decoder"):
        assert head["transformer"][part]["transformerlayers"]["feedforward_channels"] == 2048
    assert made["optimizer"]["lr"] == 2e-4
    assert made["optimizer_config"]["grad_clip"] == {"max_norm": 0.1, "norm_type": 2}
    assert {step["type"]: step for step in made["train_pipeline"]}["Normalize"]["mean"][0] == 123.675


@pytest.mark.parametrize(
    ("text", "size", "stride", "skip"),
    [
        ("vit_huge@512 intern_vit_6b@192; project=no", 512, 341, 1.5),
        ("vit_large@640 vit_huge@512 intern_vit_6b@256; project=no", 512, 341, [1.5, 2.0]),
    ],
)
def test_segmentation(text: str, size: int, stride: int, skip: object) -> None:
    """The class of three branches takes images of its second branch's size."""
    made = config("segmentation", text)
    model = made["model"]
    assert model["test_cfg"] == {"mode": "slide", "crop_size": (size, size), "stride": (stride, stride)}
    assert model["decode_head"] == {"num_classes": 150, "channels": 1536, "in_channels": [3200] * 4}
    assert model["auxiliary_head"] == {"num_classes": 150, "channels": 1536, "in_channels": 3200}
    assert {step["type"]: step for step in made["train_pipeline"]}["RandomCrop"]["crop_size"] == (size, size)
    assert made["optimizer"]["paramwise_cfg"] == {"num_layers": 48, "layer_decay_rate": 0.95, "skip_stride": skip}
    assert made["lr_config"]["warmup_iters"] == 1500


@pytest.mark.parametrize(
    ("target", "text", "rates"),
    [
        ("detection", SBL, [0.4, 0.15, 0.05]),
        ("classification", "vit_tiny@368 vit_small@192 vit_base@128; merge=separate-heads", [0.2, 0.05, 0.05]),
        ("detection", CONVNEXT, [0.4, 0.3, 0.3]),
    ],
)
def test_drop_path_rates(target: str, text: str, rates: list[float]) -> None:
    backbone = config(target, text)["model"]["backbone"]
    assert [backbone[f"branch{i}"]["drop_path_rate"] for i in (1, 2, 3)] == rates


def test_beit_has_a_window_in_every_block() -> None:
    """Its relative positions are laid out for one; a window as large as the map is global attention."""
    text = "vit_small@1568:w28 beit_base@1120:w28g3 beit_large@672"
    backbone = config("detection", text)["model"]["backbone"]
    assert backbone["branch1"]["window_size"] == [42] * 24
    assert backbone["branch2"]["window_size"] == [28, 28, 70] * 4
    assert all(all(backbone[name]["window_attn"]) for name in ("branch1", "branch2"))


def test_classification_configs_say_their_class_in_the_name() -> None:
    for text, name in (
        ("vit_tiny@384 vit_base@128; merge=separate-heads", "piip_2branch_"),
        ("vit_tiny@384 vit_small@256 vit_base@128; merge=linear", "piip_3branch_"),
        ("vit_base@224", "deit_"),
    ):
        design = Design.parse(text)
        ((file, _),) = exporter("official-classification").export(design).items()
        assert file == f"{name}{design.id}_imagenet.py"
    (file,) = exporter("official-classification", pretrain={"vit_base": "augreg"}).export(Design.parse("vit_base@224"))
    assert file.startswith("augreg_")


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("detection", TSB),
        ("segmentation", "vit_tiny@640 vit_base@320"),
        ("classification", "vit_tiny@384 vit_base@128; merge=separate-heads"),
        ("llava", "clip_base@512 clip_large@256; merge=none"),
    ],
)
def test_exports_say_where_they_run_and_what_does_elsewhere(target: str, text: str) -> None:
    ((_, file),) = exporter(f"official-{target}").export(Design.parse(text)).items()
    assert isinstance(file, str)
    comments = " ".join(line.removeprefix("# ") for line in file.splitlines() if line.startswith("#"))
    assert re.search(r"Runs with .*(torch 1\.1[12]|transformers 4\.37\.2)", comments)
    assert "build() of piip_explore.models" in comments
    assert ("H100" in comments) == (target != "llava")


def test_a_classifier_says_the_command_that_trains_it() -> None:
    design = Design.parse("vit_tiny@384 vit_base@128; merge=separate-heads")
    ((name, file),) = exporter("official-classification").export(design).items()
    assert isinstance(file, str)
    command = file[: file.index("model =")]
    published = "--weight-decay 0.1|--unscale-lr|--from_scratch_lr_ratio 10|--no-repeated-aug|--reprob 0.0|--lr 3e-5"
    for option in (*published.split("|"), f"--model {name} "):
        assert option in command
    assert "--resume" not in command
