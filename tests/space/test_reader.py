"""What a space file may say, and the sentence for everything it may not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from piip_explore.design import Design
from piip_explore.errors import InputError
from piip_explore.space import BranchChoices, Constraints, SearchSpace, SettingChoices, choices_of

ROOT = Path(__file__).parents[2]

TWO = """\
name: two
branches:
  - models: vit_tiny
    resolutions: [448, 224]
    windows: [w14, none]
  - models: [vit_small, vit_base]
    resolutions: {from: 112, to: 336, step: 112}
interactions: [12, 0]
merge: [linear]
project: [yes, no]
out: [all, [1], 2]
constraints:
  decreasing_resolution: yes
  max_resolution_ratio: 2
  max_gflops: 100
  min_mparams: 1.5
  accounting: built
proxy: {preset: demo, budget: 12}
"""


def test_reads_slots_settings_and_constraints():
    space = SearchSpace.parse(TWO, "two.yaml")
    assert space.slots == (
        BranchChoices(("vit_tiny",), (224, 448), ("w14", "none")),
        BranchChoices(("vit_small", "vit_base"), (112, 224, 336)),
    )
    assert space.counts == (2,)
    assert space.settings == SettingChoices(
        interactions=(0, 12), merge=("linear",), project=(True, False), out=(None, (1,), (2,))
    )
    assert space.constraints == Constraints(
        decreasing_resolution=True, max_resolution_ratio=2, max_gflops=100, min_mparams=1.5, accounting="built"
    )
    assert space.proxy == {"preset": "demo", "budget": 12}
    # 224 over 112, or 448 (windowed or not) over 224 or 336; two models below; none, or 12 interactions with and
    # without projections; three choices of out.
    assert space.size == (1 + 2 * 2) * 2 * 3 * 3
    assert Design.parse("vit_tiny@448:w14 vit_base@224; merge=linear; out=2; project=no") in space
    assert Design.parse("vit_tiny@448:w14 vit_base@112; merge=linear") not in space


def test_reads_a_pool_and_settings_default_to_those_of_a_design():
    text = "name: p\npool: {models: [vit_tiny, vit_small], branches: [2, 1], resolutions: 224}"
    space = SearchSpace.parse(text, "p")
    assert space.counts == (1, 2)
    assert [str(design) for design in space.designs(range(space.size))] == [
        "vit_tiny@224",
        "vit_small@224",
        "vit_tiny@224 vit_tiny@224",
        "vit_tiny@224 vit_small@224",
        "vit_small@224 vit_small@224",
    ]


def test_the_summary_is_plain():
    summary = SearchSpace.parse(TWO, "two.yaml").summary()
    choices = summary["choices"]
    assert choices["branches"] == [2]
    assert choices["branches[1].resolutions"] == [224, 448]
    assert choices["branches[2].models"] == ["vit_small", "vit_base"]
    assert choices["project"] == ["yes", "no"]
    assert choices["out"] == ["all", "1", "2"]
    assert summary["constraints"]["max_gflops"] == 100
    assert json.loads(json.dumps(summary)) == summary


def test_choices_are_read_from_summaries_of_before():
    """Studies of earlier versions hold the demo's space like this."""
    branch = {
        "model": ["vit[depth=6,dim=96,heads=3]", "vit_tiny", "vit_small"],
        "resolution": [224, 336, 448, 560, 672, 784, 896],
        "window": ["none"],
    }
    axes = {
        "branches": [2, 3],
        **{f"branch{number}.{name}": values for number in (1, 2, 3) for name, values in branch.items()},
        "interactions": [3, 6],
        **{"attention": ["deformable"], "heads": [16], "points": [4], "ratio": [0.5], "ffn": [0.25]},
        **{"project": ["yes"], "direction": ["both"], "merge": ["conv"], "out": ["all"]},
    }
    stored = {"name": "demo", "axes": axes, "constraints": {"parameter_inverted": True}, "size": 196}
    now = choices_of(SearchSpace.load(ROOT / "search_spaces" / "demo.yaml").summary())
    assert choices_of(stored) == {name: now[name] for name in choices_of(stored)}


def test_slots_in_order_of_resolution_are_not_swapped():
    text = (
        "name: s\nbranches: [{models: vit_tiny, resolutions: [112, 224]}, {models: vit_small, resolutions: [112, 224]}]"
    )
    free = SearchSpace.parse(text, "s")
    ordered = SearchSpace.parse(text + "\nconstraints: {decreasing_resolution: yes}", "s")
    upside_down = Design.parse("vit_small@224 vit_tiny@112")
    assert upside_down in free
    assert upside_down not in ordered
    assert (free.size, ordered.size) == (4, 1)


POOL = "name: p\npool: {models: [vit_tiny, vit_small], branches: 2, resolutions: [224, 448]%s}\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "f, line 1: the file is empty: expected a mapping with the keys name, "),
        ("- 1", "f, line 1: expected a mapping with the keys name, "),
        ("name: [", "f, line 1: not YAML: "),
        ("name: p", "f, line 1: expected either 'branches' (a list with one entry per branch) or 'pool'"),
        ("\nname: p\ninteraction: 3", "f, line 3: unknown key 'interaction': did you mean 'interactions'?"),
        ("name: p\nzzz: 3", "f, line 2: unknown key 'zzz': expected one of name, description, "),
        ("name: p\nname: q", "f, line 2: key 'name' is given twice"),
        ("pool: {models: vit_tiny, branches: 1, resolutions: 224}", "f, line 1: key 'name' is missing"),
        (
            "name: p\npool:\n  branches: 2\n  resolutions: 224",
            "f, line 2, pool: key 'models' is missing",
        ),
        (
            "name: p\nbranches:\n  - {models: vit_tiny, resolutions: 224}\n\n  - models: vit_tine\n    resolutions: 22",
            "f, line 5, branches[2].models: unknown model 'vit_tine': did you mean 'vit_tiny'?",
        ),
        (
            "name: p\nbranches:\n  - {models: vit_tiny, resolutions: 224}\n  - {model: vit_tiny, resolutions: 224}",
            "f, line 4, branches[2]: unknown key 'model': did you mean 'models'?",
        ),
        ("name: p\nbranches: 3", "f, line 2, branches: expected a list"),
        ("name: p\nbranches: []", "f, line 2, branches: expected a list"),
        (
            "name: p\npool:\n  models: vit_tiny\n  branches: 2\n  resolutions:\n    - 224\n    - 230",
            "f, line 7, pool.resolutions: resolution 230 of 'vit_tiny': expected a multiple of its patch, 16",
        ),
        (
            "name: p\npool:\n  models: vit_tiny\n  branches: 2\n  resolutions: {from: 224, to: 448, step: 50}",
            "f, line 5, pool.resolutions.to: steps of 50 from 224 do not reach 448: the last before it is 424",
        ),
        (
            "name: p\npool:\n  models: vit_tiny\n  branches: 2\n  resolutions: {from: 224, to: 448, step: 56}",
            "f, line 5, pool.resolutions: resolution 280 of 'vit_tiny': expected a multiple of its patch, 16",
        ),
        (
            "name: p\npool:\n  models: vit_tiny\n  branches: 2\n  resolutions: {from: 224, to: 48, step: 56}",
            "f, line 5, pool.resolutions.to: 48 is below 'from', 224",
        ),
        (
            "name: p\npool:\n  models: vit_tiny\n  branches: 2\n  resolutions: {from: 224, to: 448, step: 0}",
            "f, line 5, pool.resolutions.step: expected a positive step, not 0",
        ),
        (
            "name: p\npool:\n  models: vit_tiny\n  branches: 2\n  resolutions: {from: 224, to: 448}",
            "f, line 5, pool.resolutions: key 'step' is missing",
        ),
        (POOL % ", windows: 14", "f, line 2, pool.windows: expected a text, not '14'"),
        (
            POOL % ", windows: g14",
            "f, line 2, pool.windows: window 'g14': expected none, wN or wNgK, such as w14 or w14g3",
        ),
        (POOL % ", windows: [none, none]", "f, line 2, pool.windows: none is listed twice"),
        (POOL % ", windows: []", "f, line 2, pool.windows: the list is empty"),
        (
            "name: p\npool: {models: convnext_tiny, branches: 2, resolutions: 224, windows: w14}",
            "f, line 2, pool.windows: windows are for ViT models, and there is none here",
        ),
        (
            "name: p\npool: {models: vit_tiny, branches: 0, resolutions: 224}",
            "f, line 2, pool.branches: a design of a space has 1 to 8 branches, not 0",
        ),
        (
            "name: p\npool: {models: vit_tiny, branches: [2, 1000000000], resolutions: 224}",
            "f, line 2, pool.branches: a design of a space has 1 to 8 branches, not 1000000000",
        ),
        (
            "name: p\nbranches:" + "\n  - {models: vit_tiny, resolutions: 224}" * 9,
            "f, line 2, branches: expected at most 8 branches, not 9",
        ),
        (
            "name: p\npool: {models: vit_tiny, branches: 2, resolutions: {from: 16, to: 160000000000, step: 16}}",
            "f, line 2, pool.resolutions.to: expected at most 65536 pixels, not 160000000000",
        ),
        (
            "name: p\npool: {models: vit_tiny, branches: 2, resolutions: {from: -16, to: 160, step: 16}}",
            "f, line 2, pool.resolutions.from: expected a positive resolution, not -16",
        ),
        (
            "name: p\npool: {models: vit_tiny, branches: !!timestamp x, resolutions: 224}",
            "f, line 2, pool.branches: 'x' ",
        ),
        (
            "name: p\npool: {models: vit_tiny, branches: !!bool x, resolutions: 224}",
            "f, line 2, pool.branches: 'x' is not bool",
        ),
        ("name: p\n? [pool]\n: 1", "f, line 2: expected a name before the colon"),
        ("[" * 20_000, "f, line 1: lists and mappings are nested too deeply to be a space"),
        (POOL % "" + "interactions: [12, 13]", "f, line 3, interactions: 13 is in no design of the space: "),
        (
            POOL % "" + "interactions: -1",
            "f, line 3, interactions: interactions -1: expected a whole ",
        ),
        (POOL % "" + "interactions: yes", "f, line 3, interactions: expected a whole number, not 'True'"),
        (POOL % "" + "interactions: null", "f, line 3, interactions: expected a whole number, not nothing"),
        (
            POOL % "" + "attention: flash",
            "f, line 3, attention: attention 'flash': expected one of deformable, regular",
        ),
        (
            POOL % "" + "direction: down_up",
            "f, line 3, direction: direction 'down_up': did you mean 'down'?",
        ),
        (POOL % "" + "merge: sum", "f, line 3, merge: merge 'sum': expected one of conv, linear, "),
        (POOL % "" + "ratio: 0", "f, line 3, ratio: ratio 0: expected a number above 0 and up to 16"),
        (POOL % "" + "ratio: a", "f, line 3, ratio: expected a number, not 'a'"),
        (POOL % "" + "ffn: .nan", "f, line 3, ffn: expected a number, not 'nan'"),
        (POOL % "" + "project: maybe", "f, line 3, project: expected yes or no, not 'maybe'"),
        (POOL % "" + "out: [all, 3]", "f, line 3, out: out=3: expected different branch numbers from 1 to 2"),
        (POOL % "" + "out: first", "f, line 3, out: expected 'all' or branch numbers such as 1,3, not 'first'"),
        (POOL % "" + "out: [[]]", "f, line 3, out: expected 'all' or branch numbers such as 1,3, not '[]'"),
        (
            POOL % "" + "heads: [16, 7]",
            "f, line 3, heads: 7 is in no design of the space: heads=7 does not divide the attention width 96 of ",
        ),
        (
            POOL % "" + "heads: 7",
            "f, line 1: the space is empty: heads=7 does not divide the attention width 96 of 'vit_tiny@448' ",
        ),
        (
            POOL % "" + "interactions: [3, 12]\nmerge: conv-multilevel",
            "f, line 3, interactions: 3 is in no design of the space: "
            "merge=conv-multilevel merges after interactions too",
        ),
        (
            POOL % "" + "constraints:\n  max_resolution_ratio: 1\n  decreasing_resolution: yes",
            "f, line 3, constraints: the space is empty: no combination of branches meets the constraints "
            "(without decreasing_resolution or max_resolution_ratio there would be some)",
        ),
        (POOL % "" + "constraints: {max_gflop: 1}", "f, line 3, constraints: unknown key 'max_gflop': did you mean "),
        (
            POOL % "" + "constraints: [1]",
            "f, line 3, constraints: expected a mapping with the keys parameter_inverted, ",
        ),
        (
            POOL % "" + "constraints: {max_gflops: 1, min_gflops: 2}",
            "f, line 3, constraints.min_gflops: 2 is above max_gflops, 1",
        ),
        (
            POOL % "" + "constraints: {max_mparams: 0}",
            "f, line 3, constraints.max_mparams: expected a number above 0, not 0",
        ),
        (
            POOL % "" + "constraints: {max_resolution_ratio: 0.5}",
            "f, line 3, constraints.max_resolution_ratio: the largest resolution over the smallest is never below 1",
        ),
        (
            POOL % "" + "constraints: {accounting: mine}",
            "f, line 3, constraints.accounting: unknown accounting 'mine': expected one of published, built",
        ),
        (POOL % "" + "proxy: demo", "f, line 3, proxy: expected a mapping with the keys preset, budget"),
        (POOL % "" + "proxy: {preset: [demo]}", "f, line 3, proxy.preset: expected a text, not '['demo']'"),
        (POOL % "" + "proxy: {preset: dmo}", "f, line 3, proxy.preset: unknown preset 'dmo': did you mean 'demo'?"),
        (POOL % "" + "task: detecting", "f, line 3, task: unknown task 'detecting': did you mean 'detection'?"),
        (POOL % "" + "task: detection\nproxy: {preset: demo}", "f, line 4, proxy: preset 'demo' trains segmentation"),
        (POOL % "" + "proxy: {budget: many}", "f, line 3, proxy.budget: expected a whole number, not 'many'"),
        (POOL % "" + "proxy: {budget: 0}", "f, line 3, proxy.budget: expected a positive number of designs, not 0"),
        (POOL % "" + "proxy: {prest: demo}", "f, line 3, proxy: unknown key 'prest': did you mean 'preset'?"),
    ],
)
def test_every_mistake_has_its_sentence(text, sentence):
    with pytest.raises(InputError) as caught:
        SearchSpace.parse(text, "f")
    assert str(caught.value).startswith(sentence), str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_value_that_would_grow_without_bounds_is_refused():
    bomb = "interactions:\n  - &a0 {k: 1}\n"
    for level in range(1, 40):
        bomb += f"  - &a{level} {{<<: [" + ", ".join([f"*a{level - 1}"] * 9) + "]}\n"
    with pytest.raises(InputError, match="line 4, interactions: expected a single value or a list of them"):
        SearchSpace.parse(POOL % "" + bomb, "f")


def test_a_text_that_is_far_too_long_is_refused_before_it_is_read():
    with pytest.raises(InputError, match="10,000,006 characters are too many for a space: expected at most 1,000,000"):
        SearchSpace.parse("name: " + "x" * 10_000_000, "f")


def test_a_free_model_in_a_flow_list_gets_a_hint():
    text = "name: p\npool: {models: [vit[depth=12,dim=96,heads=3]], branches: 1, resolutions: 224}"
    with pytest.raises(InputError, match=r"f, line 2: not YAML: .*put quotes around"):
        SearchSpace.parse(text, "f")


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match=r"none.yaml': no such file; expected one of ade20k_tsb_sbl"):
        SearchSpace.load(tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"bytes.yaml': it is not UTF-8 text"):
        SearchSpace.load(tmp_path / "bytes.yaml")
