"""Embedded scenes: drawn from real instances, the same every time, and never shared between the splits."""

import hashlib

import numpy as np
import pytest
import torch

from piip_explore.errors import InputError
from piip_explore.proxy.data import EmbeddedScenes, SceneRules
from piip_explore.proxy.data.materials import TEXTURE_SCALES, TEXTURES, materials
from piip_explore.proxy.data.render import render
from piip_explore.proxy.data.sample_cache import cached
from piip_explore.proxy.data.scenes import Scenes, draw
from tests.damage import damaged

CPU = torch.device("cpu")


def test_same_arguments_same_pixels_and_from_the_cache_too(tmp_path, monkeypatch):
    monkeypatch.setenv("PIIP_EXPLORE_CACHE", str(tmp_path))
    first = EmbeddedScenes().load("train", 40, 48, CPU)
    assert len(list(tmp_path.rglob("*.samples"))) == 1
    cached = EmbeddedScenes().load("train", 40, 48, CPU)
    drawn = EmbeddedScenes()._render("train", 40, 48, CPU)
    for name, column in vars(first).items():
        assert torch.equal(column, getattr(cached, name)), name
        assert torch.equal(column, getattr(drawn, name)), name


def test_damaged_samples_are_made_again(tmp_path, monkeypatch):
    monkeypatch.setenv("PIIP_EXPLORE_CACHE", str(tmp_path))
    samples, made = EmbeddedScenes().load("train", 4, 32, CPU), []
    make = lambda: made.append(samples) or samples  # noqa: E731
    cached("key", CPU, make)
    (path,) = tmp_path.glob(f"samples/{hashlib.sha256(b'key').hexdigest()[:16]}*")
    for times, whole in enumerate(damaged(path, flips=400), start=2):
        again = cached("key", CPU, make)
        assert all(torch.equal(column, getattr(again, name)) for name, column in vars(samples).items())
        assert path.read_bytes() == whole
        assert len(made) == times


def test_a_scene_does_not_depend_on_its_neighbours():
    bank = materials("train", 48)
    many = draw(SceneRules(), bank, 0, 0, 8)
    alone = draw(SceneRules(), bank, 0, 5, 1)
    assert np.array_equal(many.center[5], alone.center[0])


def test_seeds_and_splits_differ():
    images = [EmbeddedScenes(seed=seed).load(split, 8, 48, CPU).images for seed in (0, 1) for split in ("train", "val")]
    assert all(not torch.equal(a, b) for i, a in enumerate(images) for b in images[:i])


def test_no_instance_is_in_both_splits():
    train, val = materials("train", 64), materials("val", 64)
    digits = {mask.numpy().tobytes() for mask in train.masks[2:]}
    assert len(train.masks) + len(val.masks) == 1797 + 4
    assert not any(mask.numpy().tobytes() in digits for mask in val.masks[2:])
    fills = [fill.numpy().tobytes() for fill in (*train.fills, *val.fills)]
    assert len(set(fills)) == len(fills)


def test_coarse_statistics_do_not_tell_textures_apart():
    bank = materials("train", 128)
    tiles = bank.fills[bank.photos :]
    assert len(tiles) == len(TEXTURES) * len(TEXTURE_SCALES)
    assert torch.allclose(tiles.mean((1, 2, 3)), torch.tensor(0.5), atol=0.02)
    contrast = tiles.flatten(1).std(1)
    assert contrast.max() < 1.2 * contrast.min()
    # A branch at a quarter of the source's size sees grey where one at the full size sees structure.
    coarse = torch.nn.functional.interpolate(tiles, scale_factor=0.25, mode="bilinear", antialias=True)
    finest = coarse[:: len(TEXTURE_SCALES)].flatten(1).std(1)
    assert finest.max() < 0.4 * contrast.min()


def test_textures_of_a_longer_period_need_less_resolution():
    def left(**finest: float) -> float:
        """Return the share of the finest textures' contrast that a quarter of the source's size keeps."""
        bank = materials("train", 128, **finest)
        tiles = bank.fills[bank.photos :: len(TEXTURE_SCALES)]
        coarse = torch.nn.functional.interpolate(tiles, scale_factor=0.25, mode="bilinear", antialias=True)
        return float((coarse.flatten(1).std(1) / tiles.flatten(1).std(1)).mean())

    assert left(finest=64.0) > 1.3 * left()
    rules = SceneRules(finest=64.0)
    assert EmbeddedScenes(rules).id != EmbeddedScenes().id
    images = [EmbeddedScenes(r).load("val", 4, 128, CPU).images for r in (rules, SceneRules())]
    assert not torch.equal(*images)


def _one(kind: int, **changes) -> Scenes:
    """A single object in the middle, half the image wide, on a dark photograph."""
    values = {
        "background": np.array([[0, 0, 0, 0.0]]),
        "kind": np.array([[kind]]),
        "mask": np.array([[1]]),
        "fill": np.array([[0]]),
        "center": np.array([[[0.5, 0.5]]]),
        "half": np.array([[[0.25, 0.25]]]),
        "angle": np.zeros((1, 1)),
        "tint": np.ones((1, 1, 3)),
        "gain": np.zeros((1, 1)),
        "quarters": np.zeros((1, 1)),
        "offset": np.zeros((1, 1, 2)),
    }
    return Scenes(**values | changes)


def test_a_square_lands_where_it_was_drawn():
    samples = render(_one(3), materials("train", 32), 32, CPU)
    expected = torch.zeros(32, 32, dtype=torch.uint8)
    expected[8:24, 8:24] = 4
    assert torch.equal(samples.masks[0], expected)
    assert samples.boxes.tolist() == [[8, 8, 24, 24]]
    assert samples.box_classes.tolist() == [3]
    assert samples.box_start.tolist() == [0, 1]
    assert samples.labels.tolist() == [3]
    assert (samples.images[0, :, 10:22, 10:22] == 255).all()
    assert (samples.images[0, :, 0, 0] == 128).all()  # a background of no contrast is mid-grey


def test_quarters_have_opposite_signs():
    scene = _one(3, tint=np.full((1, 1, 3), 0.5), quarters=np.array([[0.25]]))
    image = render(scene, materials("train", 32), 32, CPU).images[0, 0]
    assert image[10, 10] == image[20, 20] == 191
    assert image[10, 20] == image[20, 10] == 64


def test_hidden_objects_have_no_box():
    under, over = _one(3), _one(5)
    both = Scenes(
        **{
            name: a if name == "background" else np.concatenate([a, getattr(over, name)], 1)
            for name, a in vars(under).items()
        }
    )
    samples = render(both, materials("train", 32), 32, CPU)
    assert samples.box_classes.tolist() == [5]
    assert samples.labels.tolist() == [5]


def test_boxes_and_masks_agree():
    samples = EmbeddedScenes().load("val", 24, 64, CPU)
    assert samples.box_start[0] == 0
    assert samples.box_start[-1] == len(samples.boxes)
    assert samples.masks.max() <= len(SceneRules().classes)
    for n in range(len(samples)):
        rows = slice(int(samples.box_start[n]), int(samples.box_start[n + 1]))
        for (x0, y0, x1, y1), kind in zip(
            samples.boxes[rows].int().tolist(), samples.box_classes[rows].tolist(), strict=True
        ):
            assert 0 <= x0 < x1 <= 64
            assert 0 <= y0 < y1 <= 64
            assert (samples.masks[n, y0:y1, x0:x1] == kind + 1).any()


def test_small_objects_are_the_rule():
    rules = SceneRules()
    scenes = draw(rules, materials("train", 32), 0, 0, 200)
    sizes = 2 * scenes.half.max(2)[scenes.kind >= 0]
    assert rules.smallest <= sizes.min()
    assert sizes.max() <= rules.largest
    assert np.median(sizes) < (rules.smallest + rules.largest) / 3


def test_more_digits_than_there_are_is_an_error():
    with pytest.raises(InputError, match="digits=11"):
        EmbeddedScenes(SceneRules(digits=11))
