"""`piip-explore export` and `import`: from a design to the authors' files with weights, and back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from piip_explore import Design
from piip_explore.cli import main
from piip_explore.export.checkpoints import OurWeights, our_file, read_checkpoint, read_ours
from piip_explore.models import build, load_official

TEXT = "vit_tiny@112:w3 vit_small@64; interactions=2"
MERGES = {"official-detection": "conv", "official-segmentation": "conv", "official-classification": "linear"}


def run(*arguments: str | Path) -> int:
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    capsys.readouterr()
    assert run(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("piip-explore: ")
    assert err.count("\n") == 1
    return err


def test_export_and_import_print_what_they_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("export", TEXT, "--target", "official-detection", "--out", tmp_path, "--json") == 0
    exported = json.loads(capsys.readouterr().out)
    (config,) = exported["files"]
    assert run("import", config, "--json") == 0
    imported = json.loads(capsys.readouterr().out)
    assert imported["id"] == exported["id"] == Design.parse(TEXT).id
    assert run("import", config) == 0
    assert TEXT in capsys.readouterr().out
    assert run("export", "--config", config, "--target", "official-detection", "--out", tmp_path / "again") == 0
    again = (tmp_path / "again" / Path(config).name).read_text()
    assert "deit_3_small" in again


def test_bad_input_is_one_line_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    detection = ("--target", "official-detection", "--out", out)
    assert "nearest it can express" in refused(capsys, "export", f"{TEXT}; direction=up", *detection)
    assert "unknown model" in refused(capsys, "export", "vit_tinny@64", *detection)
    assert "no option 'head'" in refused(capsys, "export", TEXT, "--target", "json", "--out", out, "--head", "dino")
    assert "head 'yolo'" in refused(capsys, "export", TEXT, *detection, "--head", "yolo")
    assert "give one of" in refused(capsys, "export", *detection)
    assert "--trial" in refused(capsys, "export", "--study", "s", *detection)
    assert "MODEL=FAMILY" in refused(capsys, "export", TEXT, *detection, "--pretrain", "mae")
    assert "no such file" in refused(capsys, "export", TEXT, *detection, "--weights", tmp_path / "gone.safetensors")
    assert not out.exists()
    assert "cannot read" in refused(capsys, "import", tmp_path / "gone.py")
    assert "go together" in refused(capsys, "import", tmp_path / "gone.py", "--weights", "w.pth")
    config = tmp_path / "evil.py"
    config.write_text(f"open({str(out)!r}, 'w')")
    assert "nothing was executed" in refused(capsys, "import", config)
    assert not out.exists()


def test_nothing_is_overwritten_without_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("export", TEXT, "--target", "official-detection", "--out", tmp_path)
    assert run(*arguments) == 0
    (written,) = tmp_path.iterdir()
    written.write_text("mine")
    assert "--force" in refused(capsys, *arguments)
    assert written.read_text() == "mine"
    assert run(*arguments, "--force") == 0
    assert written.read_text() != "mine"


@pytest.mark.slow
@pytest.mark.parametrize("target", MERGES)
def test_weights_travel_both_ways(target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    design = Design.parse(
        f"vit_small@64 vit_tiny@112:w3; interactions=2; merge={MERGES[target]}"
    )  # not in sorted order
    classes = 1000 if target == "official-classification" else None
    model = build(design, num_classes=classes).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)  # interactions start at zero: let them matter
    ours = tmp_path / "ours.safetensors"
    ours.write_bytes(our_file(OurWeights(design, model.state_dict(), {})))
    assert run("export", str(design), "--target", target, "--out", tmp_path, "--weights", ours) == 0
    (config,) = tmp_path.glob("*piip*.py")
    checkpoint = config.with_suffix(".pth")
    if target != "official-classification":
        assert f"pretrained='{checkpoint.name}'" in config.read_text()
    back = tmp_path / "back.safetensors"
    assert run("import", config, "--weights", checkpoint, "--out", back, "--json") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["left_out"] == {}
    assert "--force" in refused(capsys, "import", config, "--weights", checkpoint, "--out", back)
    weights = read_ours(back)
    assert weights.design == design.sorted()
    again = build(weights.design, num_classes=classes).eval()
    again.load_state_dict(weights.state)
    images = torch.randn(1, 3, 112, 112)
    with torch.no_grad():
        for got, want in zip(again(images), model(images), strict=True):
            assert torch.allclose(got, want, atol=1e-5)
    # A checkpoint of another architecture, a damaged one and another config: refused in one line.
    other = "vit_tiny@112:w3 vit_base@64; interactions=2"
    assert "holds weights of" in refused(
        capsys, "export", f"{other}; merge={MERGES[target]}", "--target", target, "--out", tmp_path, "--weights", ours
    )
    tensors = read_checkpoint(checkpoint).tensors
    wrong = tmp_path / "wrong.safetensors"
    save_file({name: tensor for name, tensor in tensors.items() if "interactions.1" not in name}, wrong)
    assert "do not fit" in refused(capsys, "import", config, "--weights", wrong, "--out", tmp_path / "x.safetensors")
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    assert "cannot read" in refused(
        capsys, "import", config, "--weights", checkpoint, "--out", tmp_path / "x.safetensors"
    )
    assert not (tmp_path / "x.safetensors").exists()


def test_the_exported_arguments_build_the_exported_weights(tmp_path: Path) -> None:
    """What the authors' code reads, arguments and names, makes a network with our network's output."""
    from piip_explore.official.import_design import import_config

    torch.manual_seed(0)
    design = Design.parse("vit_tiny@112 vit_small@64; interactions=2")
    model = build(design).eval()
    ours = tmp_path / "ours.safetensors"
    ours.write_bytes(our_file(OurWeights(design, model.state_dict(), {})))
    arguments = ("--out", tmp_path, "--weights", ours, "--pretrain", "vit_small=dinov2")
    assert run("export", str(design), "--target", "official-detection", *arguments) == 0
    (config,) = tmp_path.glob("*.py")
    state = read_checkpoint(config.with_suffix(".pth")).tensors
    assert state["branch1.pos_embed"].shape == (1, 4 * 4 + 1, 384)  # InternViT6B keeps a class slot
    assert "branch1.blocks.0.ls1.gamma" in state
    assert "branch2.blocks.0.gamma_1" in state
    network = load_official("detection", import_config(config).backbone, state).eval()
    images = torch.randn(1, 3, 112, 112)
    with torch.no_grad():
        for got, want in zip(network(images), model(images), strict=True):
            assert torch.allclose(got, want, atol=1e-5)
