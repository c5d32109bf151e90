"""The pages' logic, without a browser."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from piip_explore.cli import main
from piip_explore.dashboard import address, choices, exports, limits, pins, selection, studies, validity
from piip_explore.dashboard import spaces as counted_spaces
from piip_explore.dashboard.comparison import side_by_side
from piip_explore.dashboard.figures import contents
from piip_explore.dashboard.options import Options
from piip_explore.dashboard.pages import design, study
from piip_explore.dashboard.server.application import MAIN
from piip_explore.dashboard.trials import Traits, Trials
from piip_explore.design import Design
from piip_explore.errors import InputError
from piip_explore.export import TARGETS, exporter
from piip_explore.space import SearchSpace
from tests.dashboard import synthetic
from tests.dashboard.conftest import PATIENCE


@pytest.fixture
def app(studies: Path, spaces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    options = Options((str(studies),), None, spaces, (tmp_path,))
    monkeypatch.setattr(sys, "argv", ["main.py", *options.arguments()])
    return AppTest.from_file(str(MAIN), default_timeout=PATIENCE)


@pytest.fixture(scope="module")
def demo(studies: Path) -> Trials:
    return _trials(studies)


def _trials(folder: Path) -> Trials:
    return studies.open_live(studies.find(Options((str(folder),)))[0][0]).trials()[1]


def figures(app: AppTest) -> list[dict[str, Any]]:
    return [json.loads(sent["figure"]) for sent in sent_to_charts(app) if "figure" in sent]


def view_of(app: AppTest, name: str) -> list[str]:
    """What the address holds for a name; AppTest gives a single word bare."""
    words = app.query_params[name]
    return [words] if isinstance(words, str) else list(words)


def sent_to_charts(app: AppTest) -> list[dict[str, Any]]:
    """What goes to the browser's charts: figures, and what lies over them."""
    return [json.loads(element.proto.json or element.proto.mixed.json) for element in app.get("bidi_component")]


def test_the_front_page_draws_all_scored_trials(app: AppTest) -> None:
    app.run()
    assert not app.exception
    (figure,) = figures(app)
    assert "Pareto front" in [trace["name"] for trace in figure["data"]]
    assert "published" in [trace["name"] for trace in figure["data"]]


def test_a_pick_leaves_the_figure_as_it_is(app: AppTest) -> None:
    before = figures(app.run())[0]
    app.button(key="next").click().run()
    assert figures(app)[0] == before
    (over,) = (sent for sent in sent_to_charts(app) if sent.get("over") == "front_chart")
    assert [str(mark["trial"]) for mark in over["marks"] if mark["selected"]] == view_of(app, "pick")


def test_the_accounting_changes_the_axis(app: AppTest) -> None:
    app.query_params["accounting"] = "built"
    (figure,) = figures(app.run())
    assert figure["layout"]["xaxis"]["title"]["text"] == "GFLOPs (built)"


def budget_of(app: AppTest) -> dict[str, float]:
    (over,) = (sent for sent in sent_to_charts(app) if sent.get("over") == "front_chart")
    found: dict[str, float] = over["budget"]
    return found


def test_a_budget_of_another_cost_is_no_limit(app: AppTest) -> None:
    app.query_params["budget"] = "300"
    assert budget_of(app.run())["value"] == 300
    app.selectbox(key="x").set_value("params").run()
    assert not app.exception
    assert budget_of(app)["value"] == budget_of(app)["high"]


def test_no_budget_stays_none_when_the_costs_change(app: AppTest) -> None:
    app.run()
    app.segmented_control(key="accounting").set_value("built").run()
    app.multiselect(key="branches").set_value([2]).run()
    app.multiselect(key="branches").set_value([]).run()
    assert budget_of(app)["value"] == budget_of(app)["high"]
    assert "budget" not in app.query_params


def test_a_kept_range_narrows_chart_and_lines_are_drawn_whole(app: AppTest, demo: Trials) -> None:
    app.query_params.update({"lines": "true", "ranges": ["branches~1.5_2.5", "nonsense", "px 1~a_b"]})
    app.run()
    assert not app.exception
    alts = [sent["alt"] for sent in sent_to_charts(app) if "figure" in sent]
    two = int((demo.scored & np.array([design.count("@") == 2 for design in demo.designs])).sum())
    assert any(f"of {two} trials" in alt for alt in alts)
    assert f"Choices of {int(demo.scored.sum())} trials" in alts
    (over,) = (sent for sent in sent_to_charts(app) if sent.get("over") == "trial_lines")
    assert over["brush"] == {"branches": [[1.5, 2.5]]}
    (lines,) = (figure for figure in figures(app) if figure["data"][0]["type"] == "parcoords")
    assert {"branches", "model 1", "px 3", "interactions", "GFLOPs", "score"} <= {
        axis["label"] for axis in lines["data"][0]["dimensions"]
    }
    next(button for button in app.button if button.label == "Clear the ranges").click().run()
    assert "ranges" not in app.query_params


def test_every_pin_that_an_address_keeps_has_a_colour_of_its_own() -> None:
    assert len(set(pins.COLORS)) == len(pins.COLORS) == address.MOST_PINNED


def test_filters_that_nothing_fits_are_said(app: AppTest) -> None:
    app.query_params.update({"branches": "2", "models": ["vit_tiny", "vit_small", "vit_base"]})
    app.run()
    assert not app.exception
    assert "No trial fits" in app.info[0].value


def test_tokens_name_trials_and_designs(demo: Trials) -> None:
    found, problems = selection.resolve(("3", "vit_base@448", "9999", "nonsense@448", "3"), demo)
    assert [chosen.trial for chosen in found] == [3, None]
    assert [chosen.token for chosen in found] == ["3", "vit_base@448"]
    missing, unknown = problems
    assert "trial 9999 is not in this study" in missing
    assert "unknown model" in unknown


def test_a_broken_token_is_said_and_can_be_dropped(studies: Path, spaces: Path, tmp_path: Path) -> None:
    app = open_page("design", studies, spaces, tmp_path, pick=["nonsense@448", "3"])
    assert not app.exception
    assert "unknown model" in app.warning[0].value
    assert app.header, "the design that can be shown is shown"
    app.button(key="drop").click().run()
    assert not [warning for warning in app.warning if "Selected" in warning.value]


def test_a_wrong_design_stays_in_its_field_with_what_is_wrong(studies: Path, spaces: Path, tmp_path: Path) -> None:
    app = open_page("design", studies, spaces, tmp_path)
    app.text_input(key="written").set_value("vit_smal@448").run()
    assert "unknown model" in app.error[0].value
    assert app.text_input(key="written").value == "vit_smal@448"
    assert "pick" not in app.query_params
    app.text_input(key="written").set_value("vit_small@448").run()
    assert not app.error
    assert app.header
    assert app.text_input(key="written").value == ""


def test_the_nearest_published_design_of_one_is_itself() -> None:
    rows = design._published()
    row, distance = design.nearest(
        Design.parse("vit_tiny@1120:w14 vit_small@896:w14 vit_base@448:w14; merge=linear"), rows
    )
    assert row["row"] == "tsb-1120-896-448"
    assert distance == 0
    row, distance = design.nearest(
        Design.parse("vit_tiny@1120:w14 vit_small@896:w14 vit_base@448:w14; interactions=6"), rows
    )
    assert row["row"] == "tsb-1120-896-448"
    assert 0 < distance < 0.5


def test_a_design_shows_its_score_at_every_share_of_a_run_and_its_further_metrics(tmp_path: Path, spaces: Path) -> None:
    path = tmp_path / "studies" / "demo.journal"
    designs = synthetic.write(path, "demo", 3)
    short = {"fidelity": 0.25, "rung": 0, "metrics": {"pixel accuracy": 81.25}}
    line = synthetic.trial_line(3, designs[1], np.random.default_rng(0), state=2, user_attrs=short)
    with path.open("a") as file:
        file.write(json.dumps(line, separators=(",", ":")) + "\n")
    app = open_page("design", path.parent, spaces, tmp_path, pick="1")
    assert not app.exception
    assert any("over the share of a full run" in sent.get("alt", "") for sent in sent_to_charts(app))
    measured = next(one.value for one in app.dataframe if "pixel accuracy" in one.value)
    assert measured["pixel accuracy"].dropna().tolist() == [81.25]


def test_an_archive_is_the_same_for_the_same_files() -> None:
    assert exports.zipped({"a.py": "x", "b": b"y"}) == exports.zipped({"a.py": "x", "b": b"y"})


def test_side_by_side_has_a_row_per_property(demo: Trials) -> None:
    found, _ = selection.resolve(("3", "vit_base@448"), demo)
    table = side_by_side({chosen.name: chosen for chosen in found}, demo)
    assert table.loc["branch 1", "vit_base@448"] == "vit_base@448"
    assert table.loc["interactions", "vit_base@448"] == "none"
    assert table.loc[demo.metric, "vit_base@448"] == "–"


def test_trials_that_a_killed_search_left_are_lost(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    synthetic.write(path, "one", 3)
    with path.open("a") as file:
        for lease in ("held", "free"):
            line = synthetic.trial_line(
                3, synthetic.space().design(7), np.random.default_rng(0), state=0, values=None,
                user_attrs={"worker": {"host": "h", "pid": 1, "device": "cpu", "lease": lease}},
            )  # fmt: skip
            file.write(json.dumps(line, separators=(",", ":")) + "\n")
    progress = study.progress_of("one", 1, frozenset({"held"}), _trials(tmp_path))
    assert progress.workers["state"].tolist() == ["running", study.LOST]
    assert progress.workers["trial"].tolist() == [3, 4]


def test_training_time_is_in_hours(tmp_path: Path) -> None:
    synthetic.write(tmp_path / "a.journal", "one", 12)  # 30 seconds each
    progress = study.progress_of("one", 1, frozenset(), _trials(tmp_path))
    assert progress.gpu_hours == pytest.approx(0.1)
    assert progress.history["gpu_hours"].iloc[[0, -1]].tolist() == pytest.approx([0.1 / 12, 0.1])


def test_another_study_keeps_only_designs_selected(app: AppTest) -> None:
    app.query_params["pick"] = ["3", "vit_base@448"]
    app.run()
    app.selectbox(key="study").set_value("other").run()
    assert app.query_params["pick"] in ("vit_base@448", ["vit_base@448"])


PAGES = ["design", "compare", "space", "study", "validity", "published"]


def script(page: str, storage: str, spaces: str, results: str) -> None:
    """One page inside the frame's context; Streamlit runs the source of this function."""
    from importlib import import_module
    from pathlib import Path

    import streamlit as st

    from piip_explore.dashboard.app import PAGES
    from piip_explore.dashboard.context import Context, choose_study
    from piip_explore.dashboard.options import Options

    context = Context(Options((storage,), None, Path(spaces), (Path(results),)))
    for name in PAGES:
        context.pages[name] = st.Page(lambda: None, url_path=name, title=name, default=name == "explore")
    st.navigation(list(context.pages.values()))
    choose_study(context)
    import_module(f"piip_explore.dashboard.pages.{page}").show(context)


def open_page(page: str, studies: Path, spaces: Path, results: Path, **address: Any) -> AppTest:
    given = {"page": page, "storage": str(studies), "spaces": str(spaces), "results": str(results)}
    app = AppTest.from_function(script, kwargs=given, default_timeout=PATIENCE)
    for name, value in address.items():
        app.query_params[name] = value
    return app.run()


@pytest.mark.parametrize("page", PAGES)
def test_every_page_runs(studies: Path, spaces: Path, page: str, tmp_path: Path) -> None:
    app = open_page(page, studies, spaces, tmp_path, pick=["3", "5"])
    assert not app.exception
    assert not app.error
    assert app.title


@pytest.mark.parametrize("target", list(TARGETS))
def test_every_target_shows_a_file_or_says_why_not(studies: Path, spaces: Path, tmp_path: Path, target: str) -> None:
    text = "vit_tiny@224 vit_small@112; interactions=2"
    app = open_page("design", studies, spaces, tmp_path, pick=text, target=target)
    assert not app.exception
    offered = [element.proto.label for element in app.get("download_button")]
    refused = [warning.value for warning in app.warning]
    asked = [button.label for button in app.button]
    assert len([*offered, *refused]) == 1 or "Build it here" in asked


def test_a_page_exports_a_trial_as_the_command_does(studies: Path, spaces: Path, demo: Trials, tmp_path: Path) -> None:
    target = "official-detection"
    able = (n for n, text in enumerate(demo.designs) if not exporter(target).misfits(Design.parse(text)))
    trial = str(next(able))
    app = open_page("design", studies, spaces, tmp_path, pick=trial, target=target)
    (shown,) = [block.value for block in app.code if "Study '" in block.value]
    given = ["--study", "demo", "--storage", str(studies / "demo.journal"), "--trial", trial, "--target", target]
    main(["export", *given, "--out", str(tmp_path / "out")])
    (written,) = (tmp_path / "out").iterdir()
    assert written.read_text().strip() == shown.strip()
    assert f"Study 'demo', trial {trial}: score " in shown


def test_a_validation_is_shown(studies: Path, spaces: Path, validation: Path) -> None:
    app = open_page("validity", studies, spaces, validation.parent)
    assert not app.exception
    sentences = [success.value for success in app.success]
    assert sentences == [f"On {pairs} the proxy beats FLOPs and params\\." for pairs in ("all pairs", "hard pairs")]
    assert len(figures(app)) == 2


def test_a_space_is_aggregated_exactly(spaces: Path) -> None:
    counted = counted_spaces.count(spaces / "synthetic.yaml", "published")
    counts, edges = counted.histogram
    assert counts.sum() == len(counted) == SearchSpace.load(spaces / "synthetic.yaml").size
    budget = float(edges[30])
    assert len(counted.within(budget)) == (counted.table.macs <= budget * 1e9).sum()
    assert (counted.table.macs[counted.sample(100, budget)] <= budget * 1e9).all()
    for row in counted.cheapest:
        rivals = counted.resolution >= counted.resolution[row]
        assert counted.table.macs[rivals].min() == counted.table.macs[row]
    design = Design.parse(counted.texts(np.array([1234]))[0])
    assert counted.resolution[1234] == design.resolution


def test_parallel_coordinates_have_a_place_for_every_branch(spaces: Path) -> None:
    counted = counted_spaces.count(spaces / "synthetic.yaml", "published")
    rows = counted.sample(200)
    found = {dimension.label: dimension for dimension in counted.dimensions(rows)}
    assert {"branches", "model 3", "px 1", "px 3", "merge", "GFLOPs"} <= set(found)
    for row, branches, model, side in zip(
        rows, found["branches"].values, found["model 3"].values, found["px 3"].values, strict=True
    ):
        design = Design.parse(counted.texts([row])[0])
        third = design.sorted().branches[2] if branches == 3 else None
        assert len(design.branches) == branches
        assert found["model 3"].ticks[model] == (third.model if third else "none")
        assert side == (third.resolution if third else 0)
    np.testing.assert_allclose(10 ** found["GFLOPs"].values, counted.gflops[rows], rtol=1e-5)


def test_models_of_one_size_keep_their_places_on_an_axis() -> None:
    """Ranges in an address hold places, which must not depend on how a process hashes names."""
    alike = [f"{family}_base" for family in ("vit", "siglip2", "dinov3", "pe_core", "beit", "clip")]
    designs = ["vit_small@224", *(f"{model}@224" for model in alike)]
    found = choices.of_designs([Traits.of(design) for design in designs], np.arange(1.0, 8.0))
    (axis,) = (dimension for dimension in found if dimension.label == "model 1")
    assert [axis.ticks[place] for place in range(7)] == ["vit_small", *sorted(alike)]


@pytest.mark.parametrize(("low", "high", "first", "last"), [(1.5, 70.0, "2", "50"), (463.0, 1600.0, "500", "1,500")])
def test_ticks_of_a_logarithmic_axis_are_round(low: float, high: float, first: str, last: str) -> None:
    ticks = contents.log_ticks(low, high)
    assert next(iter(ticks.values())) == first
    assert [*ticks.values()][-1] == last
    assert 3 <= len(ticks) <= 7


@pytest.fixture
def validation(tmp_path: Path) -> Path:
    """A validation in which the proxy is always right and FLOPs are always wrong."""
    designs = [f"vit_tiny@{side} vit_small@{side // 2}" for side in (448, 672, 896, 1120, 1344)]
    value = np.array([40.0, 42, 44, 46, 48])
    rows = pd.DataFrame({"row": list("abcde"), "table": "t", "design": designs, "gflops": [9.0, 7, 5, 3, 1]})
    rows = rows.assign(published=value, proxy=value * 2, FLOPs=rows["gflops"], params=1.0)
    tables = {"t": {"rows": 5, "pairs": 10, "accuracy": 1.0, "tau": 1.0, "tau interval": [0.9, 1.0]}}
    tables["t"]["partial tau given log FLOPs"] = 1.0
    folder = tmp_path / "validate-test"
    folder.mkdir()
    rows.to_csv(folder / "rows.csv", index=False)
    (folder / "statistics.json").write_text(
        json.dumps({name: {"tables": tables} for name in ("proxy", "FLOPs", "params")})
    )
    (folder / "recipe.json").write_text(json.dumps({"preset": "cpu", "seeds": [0]}))
    return folder


def test_the_verdict_is_plain(validation: Path) -> None:
    assert validity.find([validation.parent]) == {"validate-test": validation}
    found = validity.read(validation)
    table = found.comparison.accuracies.set_index(["question", "predictor"])["accuracy"]
    assert table["all pairs", "proxy"] == 100
    assert table["all pairs", "FLOPs"] == 0
    assert table["all pairs", "params"] == 50
    assert found.verdicts[0] == "On all pairs the proxy beats FLOPs and params."
    worse = found.rows.assign(proxy=-found.rows["proxy"], FLOPs=-found.rows["FLOPs"])
    assert (
        validity.FinishedValidation({}, found.statistics, worse).verdicts[0]
        == "On all pairs the proxy is worse than FLOPs and params."
    )


def test_statistics_without_a_value_are_shown_as_none(studies: Path, spaces: Path, validation: Path) -> None:
    file = validation / "statistics.json"
    statistics = json.loads(file.read_text())
    statistics["FLOPs"]["tables"]["t"] |= {
        "tau": None,
        "tau interval": [None, None],
        "partial tau given log FLOPs": None,
    }
    statistics["proxy"]["seed-to-seed tau"] = {"t": None}
    file.write_text(json.dumps(statistics))
    app = open_page("validity", studies, spaces, validation.parent)
    assert not app.exception
    assert not app.error
    table = app.dataframe[-1].value.set_index("predictor")
    assert table.loc["FLOPs", "95 % interval"] == "–"
    assert np.isnan(table.loc["FLOPs", "tau"])


def test_the_validation_of_most_designs_comes_first(validation: Path) -> None:
    small = validation.with_name("a-smaller-one")
    small.mkdir()
    for file in validation.iterdir():
        content = file.read_text()
        (small / file.name).write_text(
            content if file.suffix == ".json" else "\n".join(content.splitlines()[:4]) + "\n"
        )
    assert list(validity.find([validation.parent])) == ["validate-test", "a-smaller-one"]


def test_a_torn_validation_is_a_sentence(validation: Path) -> None:
    (validation / "statistics.json").write_text("{")
    with pytest.raises(InputError, match="piip-explore validate"):
        validity.read(validation)
    (validation / "statistics.json").write_text('{"proxy": {"tables": {"t": {"rows": 3}}}}')
    with pytest.raises(InputError, match="lacks accuracy, tau"):
        validity.read(validation)


@pytest.mark.parametrize(("low", "high", "first", "last"), [(1.96, 176.4, 2.0, 200.0), (463.0, 463.0, 500.0, 500.0)])
def test_budgets_are_round_and_reach_above(low: float, high: float, first: float, last: float) -> None:
    found = limits.round_steps(low, high)
    assert found[0] == pytest.approx(first)
    assert found[-1] == pytest.approx(last)
    assert found == sorted(found)
