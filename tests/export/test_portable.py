"""Programs for other runtimes give what the network gives."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from piip_explore import Design
from piip_explore.errors import InputError
from piip_explore.export import exporter
from piip_explore.export.checkpoints import OurWeights, our_file
from piip_explore.export.portable import trace
from piip_explore.models import build
from piip_explore.models.program import plain_deformable_attention, program, write_onnx
from piip_explore.ops import deformable_attention

pytestmark = pytest.mark.slow

DESIGN = Design.parse(
    "vit[depth=1,dim=64,heads=2]@32 vit[depth=1,dim=32,heads=2]@112:w3; interactions=1; heads=2; points=2; "
    "merge=linear; weighting=channel"
)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, torch.nn.Module]:
    torch.manual_seed(0)
    model = build(DESIGN, num_classes=5).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    path = tmp_path_factory.mktemp("weights") / "ours.safetensors"
    path.write_bytes(our_file(OurWeights(DESIGN, model.state_dict(), {})))
    return path, model


def test_torch_export(weights: tuple[Path, torch.nn.Module]) -> None:
    path, model = weights
    files = exporter("torch-export", weights=path).export(DESIGN)
    program = torch.export.load(io.BytesIO(files[f"piip_{DESIGN.id}.pt2"]))
    assert not [node for node in program.graph.nodes if "piip" in str(node.target)]
    for batch in (1, 3):
        images = torch.randn(batch, 3, 112, 112)
        with torch.no_grad():
            assert torch.allclose(program.module()(images), model(images), atol=1e-5)


def test_onnx(weights: tuple[Path, torch.nn.Module]) -> None:
    pytest.importorskip("onnxscript", reason="ONNX is written by onnx and onnxscript; they are not installed")
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime runs the exported model; it is not installed")
    path, model = weights
    files = exporter("onnx", weights=path).export(DESIGN)
    session = runtime.InferenceSession(files[f"piip_{DESIGN.id}.onnx"])
    for batch in (1, 3):
        images = torch.randn(batch, 3, 112, 112)
        (got,) = session.run(["output_0"], {"images": images.numpy()})
        with torch.no_grad():
            assert torch.allclose(torch.from_numpy(got), model(images), atol=1e-5)
    described = json.loads(files[f"piip_{DESIGN.id}.json"])
    assert (described["design"], described["outputs"]) == (str(DESIGN), ["output_0"])


TINY, DEEP = "[depth=1,dim=32,heads=2,patch=16]", "[depth=4,dim=32,heads=2,patch=16]"
PLAIN = "attention=regular; heads=2"
KINDS = {
    **{
        merge: f"vit{TINY}@64 clip_base{TINY}@112; interactions=1; {PLAIN}; merge={merge}"
        for merge in ("linear", "conv", "none", "separate-heads")
    },
    "conv-multilevel": f"vit{DEEP}@64 clip_base{DEEP}@112; interactions=4; direction=up; {PLAIN}; "
    "merge=conv-multilevel",
    "one branch": f"clip_base{TINY}@112:w3",
    "registers, SwiGLU, RoPE": f"dinov2_reg_giant{TINY}@64 dinov3_small_plus{TINY}@112:w3; interactions=1; {PLAIN}; "
    "merge=linear",
    "SigLIP 2, PE": f"siglip2_base{TINY}@64 pe_spatial_base{TINY}@112; interactions=1; {PLAIN}; merge=linear",
    "ConvNeXt": f"pe_core_base{TINY}@32 convnext[depths=1-1-1-1,dims=32-32-32-32]@64; interactions=1; {PLAIN}; "
    "merge=conv",
}


@pytest.mark.parametrize("kind", KINDS)
def test_programs_of_every_kind_take_any_number_of_images(kind: str, tmp_path: Path) -> None:
    """One image above all: its layout is ambiguous, and programs are traced with two."""
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime runs the exported model; it is not installed")
    torch.manual_seed(0)
    design = Design.parse(KINDS[kind])
    classes = 5 if design.merge.kind in ("linear", "separate-heads") else None
    model = build(design, num_classes=classes).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    images = torch.zeros(2, 3, design.resolution, design.resolution)
    traced = program(model, (images,), any_batch=True)
    names = [f"output_{number}" for number in range(len(traced.graph_signature.user_outputs))]
    write_onnx(traced, tmp_path / "model.onnx", ["images"], names)
    session = runtime.InferenceSession(tmp_path / "model.onnx")
    for batch in (1, 3):
        images = torch.randn(batch, 3, design.resolution, design.resolution)
        with torch.no_grad():
            wants, gots = model(images), traced.module()(images)
        if classes:
            wants, gots = [wants], [gots]
        ran = [torch.from_numpy(x) for x in session.run(names, {"images": images.numpy()})]
        for want, got, of_runtime in zip(wants, gots, ran, strict=True):
            assert torch.allclose(got, want, atol=1e-5)
            assert torch.allclose(of_runtime, want, atol=1e-4)


def test_positions_at_the_grid_of_a_pre_training_are_resampled(
    weights: tuple[Path, torch.nn.Module], tmp_path: Path
) -> None:
    """A detector's checkpoint keeps its positions at the pre-training's grid, whatever the branch's is."""
    _, model = weights
    imported = build(DESIGN, num_classes=5).eval()
    state = model.state_dict()
    for name in ("branches.0.pos_embed", "branches.1.pos_embed"):
        state[name] = torch.randn(1, 5 * 5, state[name].shape[2])
        branch = imported.branches[int(name[9])]
        branch.pos_embed = torch.nn.Parameter(torch.empty_like(state[name]))
    imported.load_state_dict(state)
    path = tmp_path / "imported.safetensors"
    path.write_bytes(our_file(OurWeights(DESIGN, state, {})))
    program, _, _ = trace(DESIGN, path)
    images = torch.randn(2, 3, 112, 112)
    with torch.no_grad():
        assert torch.allclose(program.module()(images), imported(images), atol=1e-5)


def test_images_have_the_channels_of_the_weights(tmp_path: Path) -> None:
    model = build(DESIGN, in_channels=4).eval()
    path = tmp_path / "four.safetensors"
    path.write_bytes(our_file(OurWeights(DESIGN, model.state_dict(), {})))
    files = exporter("torch-export", weights=path).export(DESIGN)
    assert json.loads(files[f"piip_{DESIGN.id}.json"])["input"]["shape"] == ["batch", 4, 112, 112]
    program = torch.export.load(io.BytesIO(files[f"piip_{DESIGN.id}.pt2"]))
    images = torch.randn(1, 4, 112, 112)
    with torch.no_grad():
        (want,) = model(images)
        assert torch.allclose(program.module()(images)[0], want, atol=1e-5)


def test_weights_of_another_design_are_refused(weights: tuple[Path, torch.nn.Module], tmp_path: Path) -> None:
    path, model = weights
    with pytest.raises(InputError, match="holds weights of"):
        exporter("torch-export", weights=path).export(Design.parse("vit[depth=2,dim=64,heads=2]@32"))
    state = {name: tensor for name, tensor in model.state_dict().items() if "ca_gamma" not in name}
    (tmp_path / "less.safetensors").write_bytes(our_file(OurWeights(DESIGN, state, {})))
    with pytest.raises(InputError, match="does not fit") as refusal:
        exporter("torch-export", weights=tmp_path / "less.safetensors").export(DESIGN)
    assert "\n" not in str(refusal.value)


grids = st.tuples(st.integers(1, 6), st.integers(1, 6))


@settings(max_examples=30, deadline=None)
@given(key=grids, query=grids, heads=st.integers(1, 3), points=st.integers(1, 3), reach=st.floats(0, 8))
def test_plain_operators_compute_the_operator(
    key: tuple[int, int], query: tuple[int, int], heads: int, points: int, reach: float
) -> None:
    value = torch.randn(2, key[0] * key[1], heads * 4)
    offsets = torch.randn(2, query[0] * query[1], heads, points, 2) * reach
    logits = torch.randn(2, query[0] * query[1], heads, points)
    want = deformable_attention(value, offsets, logits, key, query)
    assert torch.allclose(plain_deformable_attention(value, offsets, logits, key, query), want, atol=1e-5)
