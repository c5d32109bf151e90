"""Supernets: trained once per family, whose parts are networks of designs, and where a run starts."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from piip_explore import Design, cache, models
from piip_explore.errors import InputError
from piip_explore.proxy import Shrink, SupernetRecipe, Weights, evaluate, trainer
from piip_explore.proxy.first_weights import first_weights
from piip_explore.proxy.network import Network
from piip_explore.proxy.run import Run
from piip_explore.proxy.supernet import Supernet, supernet, whole
from piip_explore.proxy.supernet.parts import matches, part
from piip_explore.proxy.supernet.sampling import draw
from piip_explore.proxy.tasks import Classification
from tests.damage import damaged

CPU = torch.device("cpu")
DESIGN = Design.parse("vit_tiny@896:w14 vit_small@448; interactions=6; merge=linear")
SIZES = (448, 672, 896, 1120, 1344)


@pytest.fixture
def shared(tiny, tmp_path, monkeypatch):
    """A preset whose designs take their weights from supernets of eight steps, cached in a folder of the test's own."""
    samples = cache.folder() / "samples"  # those that all tests share
    samples.mkdir(parents=True, exist_ok=True)
    (tmp_path / "samples").symlink_to(samples)
    monkeypatch.setenv("PIIP_EXPLORE_CACHE", str(tmp_path))
    return replace(tiny, samples=16, supernet=SupernetRecipe("everything", samples=64, rate=1e-3, resolutions=SIZES))


BRANCHES = SupernetRecipe("branches", samples=32, rate=1e-3, resolutions=SIZES)


def test_sizes_that_patches_of_14_do_not_tile_are_rounded_down(shared):
    recipe = replace(shared.supernet, resolutions=(96, 128, 192))
    family = whole(Design.parse("vit_tiny@224 dinov2_reg_small@112; interactions=2; merge=linear"), (96, 128, 192))
    assert str(family).startswith("vit_tiny@192 dinov2_reg_small@126;")
    for step in range(5):
        small = draw(family, recipe, Shrink(2, 16, 2, 6), 0, step)
        assert small.branches[1].spec.registers == 4


def _first(preset, design=DESIGN, seed=0, progress=None):
    run = Run(preset.shrink(design.sorted()), preset, seed, 1.0, CPU)
    return first_weights(design, run, progress)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("vit_tiny@1120 vit_small@448", "vit_small@672:w14 vit_tiny@896; interactions=3; direction=up", True),
        ("vit_tiny@1120 vit_small@448", "vit_tiny@1120 vit_small@448; interactions=0", True),
        ("vit_tiny@1120 vit_small@448", "vit_tiny@1120 vit_small@448; out=2", True),
        ("vit_tiny@1120 vit_small@448", "vit_tiny@448 vit_small@1120", False),  # the narrow one gives the width
        ("vit_tiny@1120 vit_small@448", "vit_tiny@1120 vit_small@448; attention=regular", False),
        ("vit_tiny@1120 vit_small@448", "vit_tiny@1120 vit_small@448; merge=linear", False),
        ("vit_tiny@1120 vit_small@448", "vit_tiny@1120 vit_small@448; weighting=channel", False),
        ("vit_tiny@1120 vit_small@448", "vit_tiny@1120 vit_base@448", False),
        ("vit_base@1120", "vit_base@448:w14", True),
    ],
)
def test_designs_of_the_same_models_in_order_are_a_family(one, other, same):
    families = [whole(Design.parse(text), SIZES) for text in (one, other)]
    assert (families[0] == families[1]) == same


def test_a_family_holds_every_interaction_and_branch():
    family = whole(Design.parse("vit_tiny@1120 vit_small@896 vit_base@448; interactions=2; direction=up; out=1"), SIZES)
    assert family.interaction.count == 12
    assert family.interaction.direction == "both"
    assert family.merge.out is None
    assert whole(family, SIZES) == family


def test_the_whole_takes_all_weights_and_computes_the_same(shared):
    torch.manual_seed(0)
    family = whole(DESIGN, SIZES)
    net = Supernet(family, shared, 0)
    design = Design.parse(str(net.small))
    other = Network(design, shared)
    tensors = net.network.state_dict()
    found = part(tensors, net.small, design, {name: value.shape for name, value in other.state_dict().items()})
    assert set(found) == set(tensors)
    other.load_state_dict(found)
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    assert torch.equal(other.eval()(images), net.network.eval()(images))


def test_a_step_of_the_supernet_is_a_step_of_the_design_it_draws(shared):
    """The borrowed tensors get the gradients that the design's own network has."""
    torch.manual_seed(0)
    net = Supernet(whole(DESIGN, SIZES), shared, 0)
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    for step in range(6):
        small = draw(net.design, shared.supernet, shared.shrink, 0, step)
        own = Network(small, shared)
        shapes = {name: value.shape for name, value in own.state_dict().items()}
        own.load_state_dict(part(net.network.state_dict(), net.small, small, shapes))
        net.zero_grad()
        expected, output = own(images), net(images, step)
        assert torch.allclose(output, expected, atol=1e-5)
        output.square().sum().backward()
        expected.square().sum().backward()
        theirs = dict(net.network.named_parameters())
        for name, parameter in own.head.named_parameters(prefix="head"):
            assert torch.allclose(theirs[name].grad, parameter.grad, rtol=1e-3, atol=1e-4), name
        scale = "pyramid.branches.0.blocks.0.mlp.fc1.weight"
        assert torch.allclose(theirs[scale].grad, own.get_parameter(scale).grad, rtol=1e-3, atol=1e-4)


def test_heads_take_the_weights_of_their_branches(shared):
    labels = replace(shared, task=Classification())
    text = "vit_tiny@896 vit_small@448; interactions=6; merge=separate-heads; weighting=channel"
    net = Supernet(whole(Design.parse(text), SIZES), labels, 0)
    design = replace(net.small, merge=replace(net.small.merge, out=(2,)))
    tensors = net.network.state_dict()
    wanted = {name: value.shape for name, value in Network(design, labels).state_dict().items()}
    found = part(tensors, net.small, design, wanted)
    assert set(found) == set(wanted)
    assert found["pyramid.head.scales.0"] is tensors["pyramid.head.scales.1"]


def test_interactions_take_those_at_their_depth():
    family = Shrink(14, 8, 2)(whole(Design.parse("vit_tiny@1120 vit_large@448"), SIZES))
    for count, expected in ((12, list(range(12))), (6, [1, 3, 5, 7, 9, 11]), (2, [5, 11]), (1, [11])):
        design = Shrink(14, 8, 2)(Design.parse(f"vit_tiny@1120 vit_large@448; interactions={count}"))
        assert matches(family, design) == expected
    assert matches(family, Shrink(14, 8, 2)(Design.parse("vit_tiny@1120 vit_large@448; interactions=0"))) == []


def test_interactions_between_other_widths_start_fresh():
    text = "convnext_tiny@1120 convnext_small@448; merge=conv-multilevel"
    family = Shrink(14, 8, 2)(whole(Design.parse(text), SIZES))
    six = Shrink(14, 8, 2)(Design.parse(f"{text}; interactions=6"))
    assert matches(family, six)[0] is None  # after the first stage of one and the second of the other
    assert None not in matches(family, family)


@settings(max_examples=30, deadline=None)
@given(
    step=st.integers(0, 10**6),
    text=st.sampled_from(
        [
            "vit_tiny@1120 vit_small@896 vit_base@448",
            "vit_base@896 vit_base@448",
            "vit_tiny@448 vit_base@896",
            "convnext_tiny@1024 vit_small@672 convnext_base@448; merge=conv-multilevel",
            "vit_large@1024",
        ]
    ),
)
def test_every_draw_is_a_part_of_the_whole(step, text):
    recipe, shrink = SupernetRecipe("everything", samples=1, rate=1.0), Shrink(14, 8, 2)
    family = whole(Design.parse(text), recipe.resolutions)
    small, large = draw(family, recipe, shrink, 0, step), shrink(family)
    assert small == draw(family, recipe, shrink, 0, step)
    assert [b.model for b in small.sorted().branches] == [b.model for b in small.branches]
    assert [b.model for b in small.branches] == [b.model for b in large.branches]
    assert None not in matches(large, small)


def test_draws_reach_every_kind_of_design():
    recipe = SupernetRecipe("everything", samples=1, rate=1.0)
    family = whole(Design.parse("vit_tiny@1120 vit_small@896 vit_base@448; weighting=channel"), recipe.resolutions)
    drawn = [draw(family, recipe, Shrink(14, 8, 2), 0, step) for step in range(300)]
    assert {d.interaction.count if d.interaction else 0 for d in drawn} == {0, 1, 2, 3, 4, 6, 12}
    assert {d.interaction.direction for d in drawn if d.interaction} == {"both", "up", "down"}
    assert {d.merge.weighting for d in drawn} == {"channel"}
    assert {d.out for d in drawn} == {(0, 1, 2), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2)}


def test_a_supernet_is_trained_once_for_all_its_designs(shared, tmp_path, monkeypatch):
    seen = []
    first = _first(shared, progress=lambda *now: seen.append(now)).state_dict()
    assert {done for done, _, _ in seen} == {0}
    assert {total for _, total, _ in seen} == {64}
    assert len(list(tmp_path.rglob("*.weights"))) == 1
    monkeypatch.setattr(supernet, "_train", lambda *_: pytest.fail("trained twice"))
    other = Design.parse("vit_tiny@1344 vit_small@672; interactions=2; merge=linear")
    second = _first(shared, other).state_dict()
    for name in first.keys() & second.keys():
        if "interactions" not in name and "pos_embed" not in name:
            assert torch.equal(first[name], second[name]), name
    cold = _first(replace(shared, supernet=None)).state_dict()
    assert not torch.equal(cold["head.classify.weight"], first["head.classify.weight"])


def test_every_seed_has_a_supernet_of_its_own(shared, tmp_path):
    """So the standard error of a score over seeds contains what sharing weights adds to it."""
    preset = replace(shared, supernet=replace(shared.supernet, branches=BRANCHES))
    first, other = (_first(preset, seed=seed).state_dict() for seed in (0, 1))
    for name in ("head.classify.weight", "pyramid.branches.0.blocks.0.attn.qkv.weight"):
        assert not torch.equal(first[name], other[name]), name
    assert len(list(tmp_path.rglob("*.weights"))) == 2 * 3


def test_branches_alone_are_shared_and_all_else_is_fresh(shared, tmp_path):
    preset = replace(shared, supernet=replace(shared.supernet, shared="branches"))
    first, other = (_first(preset, seed=seed).state_dict() for seed in (0, 1))
    assert len(list(tmp_path.rglob("*.weights"))) == 2  # one per model
    for name, value in first.items():
        if name.startswith("pyramid.branches."):
            assert torch.equal(value, other[name]), name
    assert not torch.equal(first["head.classify.weight"], other["head.classify.weight"])
    cold = _first(replace(shared, supernet=None)).state_dict()
    name = "pyramid.branches.1.blocks.0.attn.qkv.weight"
    assert not torch.equal(first[name], cold[name])
    larger = _first(preset, Design.parse("vit_tiny@1344 vit_small@672; interactions=6; merge=linear")).state_dict()
    assert torch.equal(first[name], larger[name])


def test_a_killed_supernet_resumes_to_the_same_bits(shared, tmp_path, monkeypatch):
    expected = _first(shared).state_dict()
    (path,) = (tmp_path / "supernets").glob("*.weights")
    path.unlink()
    monkeypatch.setattr(trainer, "_LOOK_EVERY", 2)
    killed = []

    def kill(done, total, loss):
        killed.append(loss)
        if len(killed) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _first(shared, progress=kill)
    assert [file.suffix for file in (tmp_path / "supernets").iterdir() if file.suffix != ".lock"] == [".checkpoint"]
    resumed = []
    again = _first(shared, progress=lambda *now: resumed.append(now)).state_dict()
    assert len(resumed) == 2  # of four looks
    assert all(torch.equal(again[name], expected[name]) for name in expected)


def test_a_damaged_supernet_is_trained_again(shared, tmp_path, monkeypatch):
    expected = _first(shared).state_dict()
    (path,) = (tmp_path / "supernets").glob("*.weights")
    content, trained, used = cache.read(path, path.stem), [], []

    def train(family, run, path, progress):
        trained.append(run)
        return content

    monkeypatch.setattr(supernet, "_train", train)
    with monkeypatch.context() as quick:  # nothing is made of the content
        quick.setattr(supernet, "load", used.append)
        quick.setattr(supernet, "part", lambda *_: {})
        quick.setattr(supernet, "_skeleton", lambda *_: ((), ()))
        for times, _ in enumerate(damaged(path, flips=400), start=1):
            supernet._part_of(DESIGN, shared, shared.supernet, 0, CPU, None)
            assert len(trained) == times
    assert set(used) == {content}
    path.write_bytes(b"")
    again = _first(shared).state_dict()
    assert all(torch.equal(again[name], expected[name]) for name in expected)
    assert len(trained) == times + 1


def test_the_score_of_the_first_weights_is_a_fidelity(shared):
    untuned, again, tuned = (evaluate(DESIGN, shared, fidelity=f, device="cpu") for f in (0, 0, 1))
    assert untuned.value == again.value
    assert untuned.train_loss == ()
    assert untuned.seconds > 0, "a search estimates its time from this"
    assert untuned.status == tuned.status == "ok"
    assert untuned.value != tuned.value


def test_candidates_tune_for_the_samples_of_the_preset(shared, monkeypatch):
    score = evaluate(DESIGN, shared, device="cpu")
    assert score.train_loss[-1][0] == shared.samples
    assert score.conditions.preset_hash == shared.hash != replace(shared, supernet=None).hash


@pytest.mark.parametrize("kind", ["deformable", "regular"])
def test_branches_that_were_trained_alone_stay_frozen(shared, kind):
    """In the supernet and in the candidate; all else is trained in both."""
    design = replace(DESIGN, interaction=replace(DESIGN.interaction, attention=kind))
    preset = replace(shared, supernet=replace(shared.supernet, branches=BRANCHES))
    alone = _first(replace(shared, supernet=BRANCHES), design).state_dict()
    assert len(list((cache.folder() / "supernets").glob("*.weights"))) == 2, "one per model"
    first = _first(preset, design)
    assert len(list((cache.folder() / "supernets").glob("*.weights"))) == 3, "the supernet starts from these"
    before = {name: value.clone() for name, value in first.state_dict().items()}
    branches = {name for name in before if name.startswith("pyramid.branches.")}
    changed = {name for name in branches if not torch.equal(before[name], alone[name])}
    assert all(name.endswith("pos_embed") for name in changed), "resampled"
    scales = [value for name, value in before.items() if name.endswith("ca_gamma")]
    assert all(0.5 < float(value.mean()) < 2 for value in scales), "interactions start with scales of one"
    run = Run(preset.shrink(design.sorted()), preset, 0, 1.0, CPU)
    assert trainer.Training(run, first).fit(None) == "ok"
    moved = {name for name, value in first.state_dict().items() if not torch.equal(value, before[name])}
    assert not moved & branches
    assert {name.split(".")[0] for name in moved} == {"pyramid", "head"}


@pytest.mark.parametrize("kind", ["deformable", "regular"])
def test_frozen_branches_alone_leave_all_else_to_the_candidate(shared, kind):
    design = replace(DESIGN, interaction=replace(DESIGN.interaction, attention=kind))
    usual = replace(shared, supernet=BRANCHES)
    frozen = replace(shared, supernet=replace(BRANCHES, shared="frozen branches"))
    images = torch.randint(256, (2, 3, 32, 32), dtype=torch.uint8)
    first = _first(frozen, design)
    assert torch.equal(first(images), _first(usual, design)(images)), "interactions change nothing at first either way"
    before = {name: value.clone() for name, value in first.state_dict().items()}
    run = Run(frozen.shrink(design.sorted()), frozen, 0, 1.0, CPU)
    assert trainer.Training(run, first).fit(None) == "ok"
    moved = {name for name, value in first.state_dict().items() if not torch.equal(value, before[name])}
    assert not any(name.startswith("pyramid.branches.") for name in moved)
    assert {name.split(".")[0] for name in moved} == {"pyramid", "head"}


@pytest.mark.parametrize("shared", ["branches", "frozen branches"])
def test_only_a_supernet_starts_from_branches_trained_alone(shared):
    with pytest.raises(InputError, match=f"shares {shared} trains no supernet beside them: leave out `branches`"):
        replace(BRANCHES, shared=shared, branches=BRANCHES)


def test_branches_trained_alone_see_images_by_their_width(shared):
    alone = replace(BRANCHES, samples=768, by_width=True)
    recipe = replace(shared, supernet=replace(shared.supernet, branches=alone))
    design = Design.parse("vit_tiny@896 convnext_large@448; merge=conv")
    seen = {models: run.samples for models, run in supernet.missing([design], recipe, CPU)}
    assert seen == {"vit_tiny": 192, "convnext_large": 1536, "vit_tiny and convnext_large": 64}
    with pytest.raises(InputError, match="give by_width to its `branches`"):
        replace(shared.supernet, by_width=True)


def test_weights_that_the_user_points_to_come_first(shared, tmp_path):
    design = Design.parse("vit_tiny@112 vit[depth=2,dim=64,heads=2]@64; interactions=1; merge=linear")
    source = models.build(Design.parse("vit_tiny@224")).branches[0].state_dict()
    path = tmp_path / "tiny.safetensors"
    save_file({name: value.contiguous() for name, value in source.items()}, path)
    full = replace(shared, shrink=Shrink(1, 1, 1, 1), supernet=None, weights=(Weights("vit_tiny", path),))
    loaded = _first(full, design).pyramid.branches[0].state_dict()
    assert loaded["pos_embed"].shape == (1, 49, 192)
    assert all(torch.equal(loaded[name], source[name]) for name in loaded if name != "pos_embed")
    assert full.hash != replace(full, weights=()).hash
    with pytest.raises(InputError, match="shrinks its branch models"):
        replace(shared, weights=(Weights("vit_tiny", path),))
    path.write_bytes(b"torn")
    with pytest.raises(InputError, match=r"tiny\.safetensors"):
        _first(full, design)


def test_convolutional_branches_and_class_tokens_have_supernets_too(shared):
    evaluate(Design.parse("convnext_tiny@896"), shared, device="cpu", fidelity=0)
    labels = replace(shared, task=Classification())
    design = Design.parse("vit_tiny@896 vit_small@448; interactions=6; merge=separate-heads")
    evaluate(design, labels, device="cpu", fidelity=0)
