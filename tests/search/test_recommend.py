"""The best designs within limits, against brute force over all of a study's trials."""

import itertools
import json
import math

import numpy as np
import pytest

from piip_explore.cli import main
from piip_explore.cost import count, traffic
from piip_explore.cost.design_memory import training_gb
from piip_explore.design import Design
from piip_explore.errors import InputError
from piip_explore.search import columns, predicted
from piip_explore.search.evaluators import Place
from piip_explore.search.launch import Request
from piip_explore.search.recommend import recommend
from piip_explore.testing.synthetic import evaluator
from tests.search.replayed import replayed_pool, start

SCORES = evaluator(replayed_pool(), noise=0.6)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("recommend") / "s.journal"
    study = start(replayed_pool(), SCORES, str(path), "s", Request(trials=60, sampler="random")).study
    while (task := study.next(Place("cpu"))) is not None:
        study.complete(task, SCORES.evaluate(task, lambda share: None))
    return path


@pytest.fixture(scope="module")
def study(path):
    return columns.read(path, "s")


def plain(study, costs):
    """All trials as dictionaries."""
    return [
        {
            "row": row,
            "score": study.values[row, 0],
            "error": study.standard_error[row],
            "design": Design.parse(study.attributes["design"][row]),
            **{name: values[row] for name, values in costs.items()},
        }
        for row in range(len(study))
    ]


def by_hand(trials, limits):
    """The best trial, and those as good as it, the simplest first."""
    fitting = [trial for trial in trials if all(trial[name] <= bound for name, bound in limits.items())]
    if not fitting:
        return None, []
    best = max(fitting, key=lambda trial: trial["score"])
    equal = [t for t in fitting if best["score"] - t["score"] <= math.hypot(best["error"], t["error"])]
    equal.sort(key=lambda t: (len(t["design"].branches), t["design"].interaction.count, t["gflops"]))
    return best, equal


def test_recommend_is_brute_force(study):
    rng = np.random.default_rng(0)
    latency = study.costs["gflops"] ** 0.8 * rng.uniform(0.5, 2.0, len(study))
    latency[::7] = np.nan
    costs = study.costs | {"latency_ms@box": latency}
    trials = plain(study, costs)
    bounds = {name: [np.nanquantile(values, q) for q in (0.02, 0.3, 0.7)] for name, values in costs.items()}
    several = 0
    for names in itertools.chain.from_iterable(itertools.combinations(bounds, n) for n in range(4)):
        for chosen in itertools.product(*(bounds[name] for name in names)):
            limits = dict(zip(names, chosen, strict=True))
            answer = recommend(study, limits, {"latency_ms@box": latency})
            can = [t for t in trials if not any(np.isnan(t[name]) for name in names)]
            best, equal = by_hand(can, limits)
            assert answer.best == (best and best["row"])
            assert answer.equal.tolist() == [t["row"] for t in equal]
            assert (answer.designs, answer.unknown) == (len(can), len(trials) - len(can))
            several += len(equal) > 1 and answer.simplest != answer.best
            for price in answer.prices:
                without, _ = by_hand(can, {name: b for name, b in limits.items() if name != price.limit})
                assert price.best == (without and without["row"])
                assert price.gain == (without["score"] - best["score"] if best and without else math.inf)
    assert several > 5, "the simplest is often another than the best"


def test_a_looser_limit_never_costs(study):
    loose = recommend(study, {"gflops": 1e9, "mparams": 1e9})
    assert [price.gain for price in loose.prices] == [0, 0]
    assert len(loose.within) == len(study)


@pytest.mark.parametrize(
    ("limits", "words"),
    [({"gflop": 3}, "'gflop'.*gflops"), ({"gflops": 0}, "gflops 0: expected a number above 0")],
)
def test_bad_limits(study, limits, words):
    with pytest.raises(InputError, match=words):
        recommend(study, limits)


def test_command(path, study, capsys):
    bound = float(np.median(study.costs["gflops"]))
    main(["recommend", str(path), "--max-gflops", str(bound), "--max-params", "1000", "--json"])
    told = json.loads(capsys.readouterr().out)
    answer = recommend(study, {"gflops": bound, "mparams": 1000})
    assert told["simplest"]["trial"] == answer.simplest
    assert [entry["trial"] for entry in told["as_good"]] == answer.equal.tolist()
    assert told["limits"][0]["gain"] == pytest.approx(answer.prices[0].gain)
    main(["recommend", str(path), "--max-gflops", str(bound)])
    out = capsys.readouterr().out
    assert study.attributes["design"][answer.simplest] in out
    assert f"{len(answer.within)} of 60" in out
    main(["recommend", str(path), "--max-gflops", "0.001"])
    assert "None of 60 designs is within" in capsys.readouterr().out


def test_a_limit_on_what_training_takes(path, study, capsys):
    taken = predicted.train_gb(study, 8)
    design = Design.parse(study.attributes["design"][0])
    assert taken[0] == pytest.approx(training_gb(count(design, "built").params, traffic(design).kept, 8))
    bound = float(f"{np.median(taken):.6g}")
    main(["recommend", str(path), "--max-train-gb", f"{bound}@8", "--json"])
    told = json.loads(capsys.readouterr().out)
    answer = recommend(study, {"train_gb@8": bound}, {"train_gb@8": taken})
    assert [entry["trial"] for entry in told["as_good"]] == answer.equal.tolist()
    assert told["limits"][0]["limit"] == "train_gb@8"
