"""Weights under the authors' names and ours, both ways."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from piip_explore import Design
from piip_explore.errors import InputError
from piip_explore.export import exporter, write_files
from piip_explore.export.checkpoints import OurWeights, our_file, read_checkpoint, read_ours, torch_file
from piip_explore.export.conversion import convert, in_sorted_order, to_official
from piip_explore.export.pyconfig import plain
from piip_explore.models import build, load_official
from piip_explore.official.import_design import import_backbone, import_config
from piip_explore.official.names import official_name
from piip_explore.official.network import read_network
from tests.export.test_checkpoints import PARITY, reference, same


@pytest.mark.parametrize("path", PARITY, ids=lambda path: path.stem)
def test_official_to_ours_to_official_is_the_identity(path: Path) -> None:
    family, config, state = reference(path)
    model = load_official(family, config, state)
    assert same(to_official(model.state_dict(), read_network(config, family), model.unused), state)


@pytest.mark.parametrize("path", PARITY, ids=lambda path: path.stem)
def test_weights_that_only_we_have_make_a_loadable_official_state(path: Path) -> None:
    family, config, state = reference(path)
    model = load_official(family, config, state).eval()
    theirs = to_official(model.state_dict(), read_network(config, family))
    never_read = {name for name in state if name not in theirs}
    assert all("fpn1" in name or "cls_token" in name or ".norm." in name or ".head." in name for name in never_read)
    assert {name: t.shape for name, t in theirs.items()} == {n: t.shape for n, t in state.items() if n in theirs}
    image = torch.randn(1, 3, *[max(model.resolutions)] * 2)
    again = load_official(family, config, theirs).eval()
    for got, want in zip(again(image), model(image), strict=True):
        assert torch.equal(got, want)


def test_branch_classes_without_a_way_back_are_refused() -> None:
    family, config, state = reference(PARITY[-1])
    model = load_official(family, config, state)
    beit = config | {"branch2": config["branch2"] | {"pretrained": "beitv2_base.pth"}}
    with pytest.raises(InputError, match="weights of branch 2 cannot be written for the authors' BEiT class"):
        to_official(model.state_dict(), read_network(beit, family))


@pytest.mark.parametrize("merge", ["linear", "conv", "conv-multilevel", "separate-heads"])
def test_renaming_to_sorted_order_keeps_the_network(merge: str) -> None:
    sizes = ["vit[depth=4,dim=64,heads=2]@32", "vit[depth=4,dim=32,heads=2]@96", "vit[depth=4,dim=32,heads=1]@64"]
    design = Design.parse(f"{' '.join(sizes)}; interactions=4; heads=2; merge={merge}")
    assert design.order != (0, 1, 2)
    torch.manual_seed(0)
    model, ordered = build(design).eval(), build(design.sorted()).eval()
    ordered.load_state_dict(in_sorted_order(model.state_dict(), design))
    image = torch.randn(1, 3, 96, 96)
    for got, want in zip(ordered(image), model(image), strict=True):
        assert torch.allclose(got, want, atol=1e-6)


SMALL = "vit[depth=2,dim=32,heads=2]@96 vit[depth=2,dim=64,heads=2]@64; interactions=2; heads=2"


def random_weights(design: Design, **options: Any) -> dict[str, Tensor]:
    torch.manual_seed(0)
    model = build(design, **options)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return model.state_dict()


def exported(target: str, design: Design, state: dict[str, Tensor], folder: Path, **options: Any) -> Path:
    """Export a design with weights; return the config's path."""
    ours = folder / "ours.safetensors"
    ours.write_bytes(our_file(OurWeights(design, state, {})))
    files = exporter(f"official-{target}", weights=ours, **options).export(design)
    write_files(files, folder)
    (config,) = folder.glob("*.py")
    return config


@pytest.mark.parametrize("target", ["detection", "segmentation"])
def test_the_backbone_and_its_branches_find_their_files(target: str, tmp_path: Path) -> None:
    design = Design.parse("vit_tiny@112 vit_small@64; interactions=2")
    state = random_weights(design)
    config = exported(
        target, design, state, tmp_path, pretrain={"vit_small": "dinov2"} if target == "detection" else {}
    )
    arguments = import_config(config).backbone
    # The backbone strips these words off the names of a file that it reads itself.
    whole = torch.load(tmp_path / arguments["pretrained"], weights_only=True)["module"]
    assert all(name.startswith("backbone.") for name in whole)
    for number, side in ((1, 4), (2, 7)):
        section = arguments[f"branch{number}"]
        # A branch resamples what it reads from the pre-training's grid to its own: nothing, here.
        part = torch.load(tmp_path / section["pretrained"], weights_only=True)["model"]
        assert set(part) == {"pos_embed", "patch_embed.proj.weight"}
        slot = int("deit" not in section["pretrained"])  # the word chooses the class, one of which has a class slot
        assert part["pos_embed"].shape[1] == side**2 + slot
        assert section["pretrain_img_size"] // section["pretrain_patch_size"] == side
        assert torch.equal(part["pos_embed"], whole[f"backbone.branch{number}.pos_embed"])
    assert ("deit" in arguments["branch1"]["pretrained"]) == (target == "segmentation")


def test_a_classifier_starts_from_its_checkpoint_alone(tmp_path: Path) -> None:
    design = Design.parse("vit_tiny@112 vit_small@64; interactions=2; merge=separate-heads")
    state = random_weights(design)
    config = exported("classification", design, state, tmp_path, pretrain={"vit_small": "augreg"})
    arguments = import_config(config).backbone
    assert [arguments[name]["pretrained"] for name in ("branch1", "branch2")] == [None, None]
    theirs = torch.load(config.with_suffix(".pth"), weights_only=True)["model"]
    assert theirs["branch1.pos_embed"].shape[1] == 4 * 4 + 1  # InternViT6B keeps a class slot
    assert theirs["branch2.pos_embed"].shape[1] == 7 * 7
    network, ours = load_official("classification", arguments, theirs).eval(), build(design).eval()
    ours.load_state_dict(state)
    images = torch.randn(1, 3, 112, 112)
    assert torch.allclose(network(images), ours(images), atol=1e-5)


def test_what_only_the_design_has_is_fresh(tmp_path: Path) -> None:
    """AugReg classifiers have no LayerScale: ones keep the output, and nothing else goes back."""
    design = Design.parse("vit_tiny@112 vit_small@64; interactions=2; merge=linear")
    config = exported("classification", design, random_weights(design, num_classes=1000), tmp_path)
    arguments = dict(import_config(config).backbone)
    arguments["branch1"] = {
        **{key: value for key, value in arguments["branch1"].items() if key != "init_scale"},
        "model_type": "augreg",
        "init_values": None,
    }
    theirs = {
        name: tensor
        for name, tensor in torch.load(config.with_suffix(".pth"), weights_only=True)["model"].items()
        if not (name.startswith("branch1") and "gamma" in name)
    }
    path = tmp_path / "theirs.pth"
    path.write_bytes(torch_file(theirs, "model"))
    made = convert(import_backbone(arguments), path)
    assert set(made.fresh) == {f"branches.1.blocks.{block}.ls{n}.gamma" for block in range(12) for n in (1, 2)}
    ours = build(made.weights.design, num_classes=1000).eval()
    ours.load_state_dict(made.weights.state)
    images = torch.randn(1, 3, 112, 112)
    official = load_official("classification", arguments, theirs).eval()
    assert torch.allclose(ours(images), official(images), atol=1e-5)
    back = to_official(made.weights.state, read_network(arguments), made.weights.unused)
    assert {name for name in back if name not in theirs} == set()
    trained = made.weights.state | {"branches.1.blocks.0.ls1.gamma": torch.full((384,), 0.5)}
    with pytest.raises(InputError, match=r"set init_values=1\.0"):
        to_official(trained, read_network(arguments), made.weights.unused)


def test_a_dino_detector_lacks_the_finest_level(tmp_path: Path) -> None:
    design = Design.parse("vit_tiny@112 vit_small@64; interactions=2")
    config = exported("detection", design, random_weights(design), tmp_path, head="dino")
    imported = import_config(config)
    theirs = read_checkpoint(config.with_suffix(".pth")).tensors
    path = tmp_path / "theirs.pth"
    path.write_bytes(torch_file({n: t for n, t in theirs.items() if not n.startswith("fpn1")}, "module"))
    made = convert(imported, path)
    assert all(name.startswith("merge.pyramid.fpn1.") for name in made.fresh)
    (tmp_path / "back.safetensors").write_bytes(our_file(made.weights))
    build(design).load_state_dict(read_ours(tmp_path / "back.safetensors").state)


def test_the_finest_level_that_a_dino_checkpoint_holds_is_taken(tmp_path: Path) -> None:
    design = Design.parse(SMALL)
    state = random_weights(design)
    network = read_network({**plain(exporter("official-detection").arguments(design)), "is_dino": True})
    theirs = to_official(state, network)
    assert "fpn1.0.weight" in theirs
    path = tmp_path / "theirs.pth"
    path.write_bytes(torch_file(theirs, "module"))
    made = convert(import_backbone(network.arguments), path)
    assert made.fresh == ()
    assert same(made.weights.state, state)
    assert same(to_official(made.weights.state, network, made.weights.unused), theirs)


def test_weights_for_other_channels_have_no_place_there(tmp_path: Path) -> None:
    design = Design.parse(SMALL)
    path = tmp_path / "four.safetensors"
    path.write_bytes(our_file(OurWeights(design, build(design, in_channels=4).state_dict(), {})))
    with pytest.raises(InputError, match="take images of 3 channels, but these weights take 4: use --target onnx"):
        exporter("official-detection", weights=path).export(design)


@pytest.mark.parametrize("text", ["vit[depth=2,dim=32,heads=2]@64", "convnext[depths=1-1-1-1,dims=16-32-32-64]@64"])
def test_a_detector_of_one_branch(text: str, tmp_path: Path) -> None:
    """Its backbone has the names of its pre-training, and a pyramid that the design does not have."""
    design = Design.parse(text)
    state = random_weights(design)
    if "convnext" in text:
        spec = design.branches[0].spec
        sizes = {"depths": list(spec.depths), "hidden_sizes": list(spec.dims)}  # type: ignore[union-attr]
        arguments = {"type": "ConvNextHFWrapper", "real_size": 64, "convnext": sizes, "single_branch": True}
        names = {name: official_name(name, 1, "none").removeprefix("branch1.") for name in state}
    else:
        arguments = plain(exporter("official-detection").arguments(design)) | {"real_size": 64}
        names = {name: official_name(name, 1, "none", (), [0]).removeprefix("branch1.") for name in state}
    theirs = {f"backbone.{names[name]}": tensor for name, tensor in state.items()}
    theirs |= {"backbone.fpn1.0.weight": torch.zeros(2), "neck.lateral_convs.0.conv.weight": torch.zeros(2)}
    path = tmp_path / "theirs.pth"
    path.write_bytes(torch_file(theirs, "state_dict"))
    made = convert(import_backbone(arguments, "detection"), path)
    assert same(made.weights.state, state)
    assert made.left_out == {"neck": 1, "fpn1": 1}
    assert made.fresh == ()


def test_networks_that_the_design_does_not_compute_are_not_converted(tmp_path: Path) -> None:
    design = Design.parse("vit[depth=4,dim=32,heads=2]@96 vit[depth=4,dim=64,heads=2]@64; interactions=2; heads=2")
    arguments = plain(exporter("official-detection").arguments(design))
    arguments["branch1"] |= {"interaction_indexes": [[0, 0], [1, 3]]}
    path = tmp_path / "theirs.pth"
    path.write_bytes(torch_file(to_official(random_weights(design), read_network(arguments)), "module"))
    with pytest.raises(InputError, match=r"branch1 interacts after blocks \[0, 3\].*load_official runs it as it is"):
        convert(import_backbone(arguments), path)
    linear = Design.parse("vit_tiny@112 vit_small@64; interactions=2; merge=linear")
    arguments = plain(exporter("official-classification").arguments(linear))
    arguments["branch2"] |= {"use_cls_token": True}
    imported = import_backbone(arguments)
    assert imported.notes == (
        "branch2 has use_cls_token=True; the branches of merge=linear have no class token in the design's network",
    )
    with pytest.raises(InputError, match="branch2 has use_cls_token=True"):
        convert(imported, path)


def test_code_bases_without_a_checkpoint_to_convert_say_what_to_do(tmp_path: Path) -> None:
    for target, text, words in (
        ("classification", "vit_small@224", "`load_branch`"),
        ("llava", "clip_base@512 clip_large@256; merge=none", "Hugging Face's models"),
    ):
        arguments = plain(exporter(f"official-{target}").arguments(Design.parse(text)))
        with pytest.raises(InputError, match=words):
            convert(import_backbone(arguments), tmp_path / "theirs.pth")


def test_the_segmenter_of_three_branches_takes_the_second_ones_images() -> None:
    design = Design.parse(
        "vit[depth=2,dim=32,heads=2]@96 vit[depth=2,dim=32,heads=2]@64 vit[depth=2,dim=64,heads=2]@32; "
        "interactions=2; heads=2"
    )
    arguments = plain(exporter("official-segmentation").arguments(design))
    state = random_weights(design)
    network = load_official("segmentation", arguments, to_official(state, read_network(arguments))).eval()
    assert [tuple(x.shape[2:]) for x in network(torch.randn(1, 3, 64, 64))] == [(24, 24), (12, 12), (6, 6), (3, 3)]


def test_equal_weights_make_equal_files(tmp_path: Path) -> None:
    design = Design.parse("vit[depth=1,dim=32,heads=2]@32")
    weights = OurWeights(design, build(design).state_dict(), {})
    files = {our_file(weights) for _ in range(8)}
    assert len(files) == 1
    (tmp_path / "ours.safetensors").write_bytes(files.pop())
    read = read_ours(tmp_path / "ours.safetensors")
    assert read.design == design
    assert all(torch.equal(tensor, read.state[name]) for name, tensor in weights.state.items())
