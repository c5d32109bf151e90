"""The fault of the authors' detection class of four branches: told, and recognised in checkpoints."""

from __future__ import annotations

import contextlib
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from piip_explore import Design
from piip_explore.cli import main
from piip_explore.export import exporter
from piip_explore.export.checkpoints import read_ours, torch_file
from piip_explore.export.conversion import to_official
from piip_explore.export.pyconfig import plain
from piip_explore.models import build, load_official
from piip_explore.official.network import read_network

REST = "vit[depth=2,dim=96,heads=3]@64 vit[depth=2,dim=128,heads=4]@32; interactions=2; heads=2"
WRITTEN = f"vit[depth=2,dim=32,heads=2]@128:w2 vit[depth=2,dim=64,heads=4]@96:w3 {REST}"
TRAINED = f"vit[depth=2,dim=64,heads=4]@128:w3 vit[depth=2,dim=64,heads=4]@96:w3 {REST}"


def arguments(text: str) -> dict[str, Any]:
    made: dict[str, Any] = plain(exporter("official-detection").arguments(Design.parse(text)))  # type: ignore[attr-defined]
    return made


def as_their_code_builds_it(config: dict[str, Any]) -> dict[str, Any]:
    """Do what their class does: branch 4's own ranges and size, everything else of branch 3."""
    own = {key: config["branch4"][key] for key in ("interaction_indexes", "real_size")}
    return {**config, "branch4": {**config["branch3"], **own}}


def trained(text: str, config: dict[str, Any]) -> tuple[torch.nn.Module, dict[str, Tensor]]:
    """Return a design's network with random weights, and these under the authors' names."""
    torch.manual_seed(0)
    model = build(Design.parse(text))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model.eval(), to_official(model.state_dict(), read_network(config, "detection"))


def same_outputs(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    image = torch.randn(1, 3, 128, 128)
    with torch.no_grad():
        return all(torch.allclose(x, y, rtol=1e-5, atol=1e-5) for x, y in zip(a(image), b(image), strict=True))


def test_a_checkpoint_of_the_faulty_class_is_recognised() -> None:
    config = arguments(WRITTEN)
    model, state = trained(TRAINED, as_their_code_builds_it(config))
    with pytest.warns(UserWarning, match="branch 4 has the structure of branch 3"):
        loaded = load_official("detection", config, state).eval()
    assert same_outputs(loaded, model)


def test_a_checkpoint_of_mended_code_loads_as_the_config_says() -> None:
    config = arguments(WRITTEN)
    model, state = trained(WRITTEN, config)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert same_outputs(load_official("detection", config, state).eval(), model)


def test_blocks_behind_the_last_range_are_not_run() -> None:
    deeper = WRITTEN.replace("depth=2,dim=64", "depth=4,dim=64")
    model, state = trained(
        deeper.replace("depth=2,dim=32,heads=2]@128:w2", "depth=2,dim=64,heads=4]@128:w3"),
        {
            **arguments(deeper),
            "branch4": arguments(TRAINED)["branch4"],
        },
    )
    third = {name: tensor for name, tensor in state.items() if name.startswith("branch3.blocks")}
    state |= {name.replace("branch3", "branch4"): t for name, t in third.items() if name.split(".")[2] in ("2", "3")}
    with pytest.warns(UserWarning, match="structure of branch 3"):
        loaded = load_official("detection", arguments(deeper), state).eval()
    assert {name.split(".")[2] for name in loaded.unused} == {"2", "3"}
    assert same_outputs(loaded, model)


def test_windows_that_shapes_cannot_tell_are_those_of_the_config() -> None:
    text = TRAINED.replace("@128:w3", "@128:w2")
    config = arguments(text)
    model, state = trained(text, config)
    with pytest.warns(UserWarning, match="shapes cannot tell"):
        loaded = load_official("detection", config, state).eval()
    assert same_outputs(loaded, model)


def test_exports_say_it_at_the_top(tmp_path: Path) -> None:
    ((_, text),) = exporter("official-detection").export(Design.parse(WRITTEN)).items()
    assert isinstance(text, str)
    lines = text.splitlines()
    assert "self.branch4 = vit_models(**branch4)" in " ".join(lines[:3])
    ((_, text),) = exporter("official-detection").export(Design.parse(WRITTEN.split(" ", 1)[1])).items()
    assert isinstance(text, str)
    assert "branch4" not in text


def run(*command: str) -> None:
    with contextlib.suppress(SystemExit):
        main(list(command))


def test_import_names_the_design_that_was_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ((name, text),) = exporter("official-detection").export(Design.parse(WRITTEN)).items()
    assert isinstance(text, str)
    (tmp_path / name).write_text(text)
    model, state = trained(TRAINED, as_their_code_builds_it(arguments(WRITTEN)))
    (tmp_path / "theirs.pth").write_bytes(torch_file(state, "state_dict"))
    run("import", str(tmp_path / name), "--json")
    alone = json.loads(capsys.readouterr().out)
    assert alone["design"] == str(Design.parse(WRITTEN))
    assert "vit_models(**branch4)" in alone["notes"][0]
    out = tmp_path / "ours.safetensors"
    run("import", str(tmp_path / name), "--weights", str(tmp_path / "theirs.pth"), "--out", str(out), "--json")
    printed = json.loads(capsys.readouterr().out)
    assert printed["design"] == str(Design.parse(TRAINED))
    assert "structure of branch 3" in printed["notes"][-1]
    ours = build(read_ours(out).design).eval()
    ours.load_state_dict(read_ours(out).state)
    assert same_outputs(ours, model)
