"""The cost of a design against independent counts: the built network traced whole, and the papers' formulas."""

import subprocess
import sys

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings

from piip_explore import Design
from piip_explore.cost import ACCOUNTINGS, count, difference
from piip_explore.cost.trace import trace
from piip_explore.errors import InputError
from piip_explore.models import build
from tests.cost.designs import designs

from .formulas import published

FOUR = (
    "vit_tiny@560:w14 convnext_tiny@320 clip_base@208:w6g2 beit_base@96; interactions=4; heads=4; "
    "direction=all; merge=conv-multilevel; weighting=channel"
)
SETTINGS = settings(deadline=None, max_examples=50, suppress_health_check=list(HealthCheck), print_blob=True)


@pytest.mark.slow
@SETTINGS
@given(designs())
@example(Design.parse(FOUR))
@example(Design.parse("vit_tiny@368 vit_small@192 vit_base@128; merge=separate-heads"))
@example(Design.parse("vit_tiny@368 vit_small@192; merge=separate-heads; out=2; weighting=channel"))
@example(Design.parse("convnext_tiny@140 vit_huge@112; interactions=12; merge=conv; project=no"))
@example(Design.parse("intern_vit_6b@112"))
def test_built_is_the_trace_of_the_built_network(design):
    with torch.device("meta"):
        network = build(design)
    whole = trace(network, torch.empty(1, 3, design.resolution, design.resolution, device="meta"))[""]
    cost = count(design, "built")
    assert cost.macs == whole.macs
    assert cost.params == whole.params == sum(p.numel() for p in network.parameters())
    assert type(cost.macs) is type(cost.params) is int


@SETTINGS
@given(designs())
@example(Design.parse(FOUR))
@example(Design.parse("convnext_base@1024 clip_large@336; merge=none"))
def test_published_is_what_the_papers_formulas_give(design):
    assert count(design, "published").macs == published(design)


@pytest.mark.slow
@SETTINGS
@given(designs())
def test_the_order_of_branches_does_not_change_the_cost(design):
    for accounting in ACCOUNTINGS:
        there, back = count(design, accounting), count(design.sorted(), accounting)
        assert (there.macs, there.params) == (back.macs, back.params)


@pytest.mark.slow
@SETTINGS
@given(designs())
def test_the_differences_add_up(design):
    before, after = count(design, "published"), count(design, "built")
    changes = difference(design)
    assert sum(macs for _, macs, _ in changes) == after.macs - before.macs
    assert sum(params for _, _, params in changes) == after.params - before.params


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize(
    "text",
    [
        "vit_tiny@96 convnext[depths=1-1-1-1,dims=32-32-64-96]@132; interactions=2; heads=4; merge=linear",
        "clip_base@112",
    ],
)
def test_other_channels_are_counted_as_built(text, channels):
    design = Design.parse(text)
    with torch.device("meta"):
        network = build(design, in_channels=channels)
    images = torch.empty(1, channels, design.resolution, design.resolution, device="meta")
    whole, cost = trace(network, images)[""], count(design, "built", channels)
    assert (cost.macs, cost.params) == (whole.macs, whole.params)
    assert cost.macs != count(design, "built").macs


def test_modules_are_named_in_the_order_of_the_text():
    design = Design.parse("vit_base@448:w14 vit_tiny@1120:w14; interactions=2; direction=up; merge=linear")
    assert list(count(design).by_module) == [
        "vit_base@448:w14",
        "vit_tiny@1120:w14",
        "interactions vit_base -> vit_tiny",
        "merge",
        "heads",
    ]
    twins = Design.parse("vit_tiny@224 vit_tiny@224; interactions=2")
    assert list(count(twins, "built").by_module) == [
        "vit_tiny@224 #1",
        "vit_tiny@224 #2",
        "interactions vit_tiny@224 #1 -> vit_tiny@224 #2",
        "interactions vit_tiny@224 #2 -> vit_tiny@224 #1",
        "merge",
        "pyramid",
    ]


def test_detection_merges_with_convolutions_as_built():
    """The spec's figure for TSB 1120/896/448: about 307 G as built before the pyramid, where Table I prints 243."""
    design = Design.parse("vit_tiny@1120:w14 vit_small@896:w14 vit_base@448:w14")
    built = count(design, "built")
    assert (built.macs - built.by_module["pyramid"][0]) / 1e9 == pytest.approx(307, abs=0.5)
    assert count(design).macs / 1e9 == pytest.approx(243, abs=0.5)
    linear = Design.parse("vit_tiny@1120:w14 vit_small@896:w14 vit_base@448:w14; merge=linear")
    assert count(design).by_module == count(linear).by_module


def test_costs_are_values():
    design = Design.parse("vit_tiny@224")
    assert count(design) == count(design) != count(design, "built")
    with pytest.raises(TypeError):
        count(design).by_module["vit_tiny@224"] = (0, 0)


def test_an_unknown_accounting_is_named():
    with pytest.raises(InputError, match="accounting 'paper': expected one of published, built"):
        count(Design.parse("vit_tiny@224"), "paper")


def test_the_largest_model_takes_little_memory(tmp_path):
    program = (
        "from piip_explore import Design; from piip_explore.cost import count\n"
        "count(Design.parse('vit_huge@1024 intern_vit_6b@512'), 'built')\n"
        # Not getrusage: its peak is inherited from the parent, whatever that was.
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    peak = subprocess.run(
        [sys.executable, "-c", program],
        env={"PIIP_EXPLORE_CACHE": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(peak.stdout) * 1024 < 1e9


def test_kept_parts_are_counted_without_torch(parts_folder):
    program = (
        "import sys; from piip_explore import Design; from piip_explore.cost import count\n"
        "print(count(Design.parse('vit_tiny@224 vit_small@112; interactions=2')).macs, 'torch' in sys.modules)"
    )
    macs = count(Design.parse("vit_tiny@224 vit_small@112; interactions=2")).macs
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == [str(macs), "False"]
