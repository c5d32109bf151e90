"""Runs end to end: learning, resuming bit for bit, divergence, and what a score says about itself."""

import math
import shutil
from dataclasses import replace

import pytest
import torch

from piip_explore import Design, cost, phases
from piip_explore.errors import InputError
from piip_explore.proxy import evaluate, trainer, validation
from piip_explore.proxy.network import Network
from piip_explore.proxy.run import Run
from piip_explore.proxy.score import Score
from tests.damage import damaged

DESIGN = Design.parse("vit_tiny@896:w14 vit_small@448; interactions=6; merge=linear")


class KilledError(Exception):
    pass


@pytest.fixture(scope="module", autouse=True)
def glances():
    """Three glances at held-out images in a run of 40 steps: after 13, 27 and 40."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validation, "_STEPS_PER_GLANCE", 13)
        yield


@pytest.fixture(scope="module")
def whole(tiny):
    return evaluate(DESIGN, tiny, device="cpu")


def test_a_run_learns_and_says_what_it_is(whole, tiny):
    assert whole.status == "ok"
    assert whole.metric == "likelihood"
    classes = len(tiny.data.classes("masks"))
    assert 100 / classes < whole.value < 100  # more than saying that everything may be anything
    assert whole.details["mIoU"] > 100 / classes  # more than calling everything background
    assert whole.train_loss[-1][0] == tiny.samples
    assert whole.train_loss[-1][1] < whole.train_loss[0][1]
    assert [seen for seen, _ in whole.metric_curve] == [13 * tiny.batch, 27 * tiny.batch, tiny.samples]
    assert whole.metric_curve[0][1] < whole.metric_curve[-1][1]
    assert whole.seeds == (0,)
    assert whole.seconds > 0
    assert whole.peak_memory > 0
    assert (whole.conditions.preset, whole.conditions.preset_hash) == ("tiny", tiny.hash)
    assert whole.conditions.backend == "torch"


def test_branches_with_registers_rotary_positions_and_gates_are_trained(tiny):
    design = Design.parse("dinov3_small_plus@896:w14 dinov2_reg_small@448; interactions=6; merge=linear")
    score = evaluate(design, tiny, device="cpu")
    assert score.status == "ok"
    assert score.train_loss[-1][1] < score.train_loss[0][1]
    run = Run(tiny.shrink(design), tiny, 0, 1.0, torch.device("cpu"))
    first, second = (branch.spec for branch in run.design.branches)
    assert (first.registers, first.activation, second.registers) == (4, "swiglu", 4)
    assert first.rotary is not None


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_compiled_blocks_train_alike(tiny):
    design = Design.parse("vit_tiny@448")
    eager, compiled = (
        evaluate(design, replace(tiny, compile=blocks), device="cpu", fidelity=0.1) for blocks in (False, True)
    )
    assert [loss for _, loss in compiled.train_loss] == pytest.approx([loss for _, loss in eager.train_loss], rel=1e-3)
    assert compiled.conditions.preset_hash != eager.conditions.preset_hash


@pytest.mark.slow
def test_every_design_of_a_process_is_compiled(tiny, monkeypatch):
    """More kinds and shapes of block than Dynamo's own limit, 8, without the seconds of a real compiler."""
    compiling = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **how: compiling(self, backend="eager", **how))
    texts = ("vit_tiny@1344:w14 vit_small@896:w14 vit_base@448", "vit_tiny@896 vit_small@672:w14 vit_large@448")
    # Not by monkeypatch: it deletes what a module's own class looks up, and torch then has no such limit any more.
    with torch._dynamo.config.patch(fail_on_recompile_limit_hit=True, recompile_limit=8):
        for text in texts:
            network = Network(tiny.shrink(Design.parse(f"{text}; interactions=6")), replace(tiny, compile=True))
            network(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))
            network.eval()(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))


@pytest.mark.parametrize("error", [ModuleNotFoundError("No module named 'fvcore'"), RuntimeError("tracing failed")])
def test_a_design_that_cannot_be_counted_keeps_its_score(tiny, monkeypatch, error):
    def count(*_, **__):
        raise error

    monkeypatch.setattr(cost, "count", count)
    run = Run(tiny.shrink(DESIGN), tiny, 0, 1.0, torch.device("cuda"))
    with pytest.warns(RuntimeWarning, match=f"no TFLOP/s for vit.*: {error}"):
        assert trainer.throughput(run, 7.0) == {"samples per second": 7.0}


def test_a_killed_run_goes_on_to_the_same_bits(whole, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "_SAVE_EVERY", 0.0)
    seen = []

    def kill(done, total, loss):
        seen.append(done)
        if done >= total / 2:
            raise KilledError

    with pytest.raises(KilledError):
        evaluate(DESIGN, tiny, device="cpu", progress=kill, resume_dir=tmp_path)
    assert [path.suffix for path in tmp_path.iterdir()] == [".checkpoint"]
    resumed = []
    score = evaluate(DESIGN, tiny, device="cpu", progress=lambda done, *_: resumed.append(done), resume_dir=tmp_path)
    assert resumed[0] > trainer._LOOK_EVERY * tiny.batch  # it did not start again
    assert (score.value, score.train_loss, score.metric_curve) == (whole.value, whole.train_loss, whole.metric_curve)
    assert score.picture == whole.picture
    assert [path.suffix for path in tmp_path.iterdir()] == [".score"]
    again = evaluate(DESIGN, tiny, device="cpu", progress=kill, resume_dir=tmp_path)  # nothing left to train
    assert again == score


def test_a_run_that_is_stopped_keeps_what_it_trained(whole, tiny, tmp_path):
    def stop(done, total, loss):
        raise KilledError

    for _ in range(2):  # every time one look further, though no checkpoint is due by the clock
        with pytest.raises(KilledError):
            evaluate(DESIGN, tiny, device="cpu", progress=stop, resume_dir=tmp_path)
    resumed = []
    score = evaluate(DESIGN, tiny, device="cpu", progress=lambda done, *_: resumed.append(done), resume_dir=tmp_path)
    assert resumed[0] > 2 * trainer._LOOK_EVERY * tiny.batch
    assert score.value == whole.value


def test_a_run_says_its_phase_at_every_step_and_what_a_stop_interrupts_is_kept(whole, tiny, tmp_path):
    heard = []

    def listen(phase, share):
        heard.append((phase, share))
        if phase == "training" and share * 40 == 13:  # between two looks at the loss, right after a glance
            raise KilledError

    with phases.heard(listen), pytest.raises(KilledError):
        evaluate(DESIGN, tiny, device="cpu", resume_dir=tmp_path)
    assert [share for phase, share in heard if phase == "training"] == [step / 40 for step in range(1, 14)]
    heard.clear()
    with phases.heard(lambda phase, share: heard.append((phase, share))):
        score = evaluate(DESIGN, tiny, device="cpu", resume_dir=tmp_path)
    assert next(share for phase, share in heard if phase == "training") == 14 / 40
    assert "validating" in dict(heard)
    assert (score.value, score.train_loss, score.metric_curve) == (whole.value, whole.train_loss, whole.metric_curve)


def test_glances_change_no_bit_of_the_training(tiny):
    run = Run(tiny.shrink(DESIGN), tiny, 0, 0.1, torch.device("cpu"))
    trained = []
    for steps in ([], range(1, run.steps + 1)):
        torch.manual_seed(0)
        trained.append(trainer.Training(run, Network(run.design, tiny)))
        trained[-1].fit(None, steps)
    plain, watched = trained
    assert (len(plain.state.metric_curve), len(watched.state.metric_curve)) == (0, run.steps)
    assert watched.state.curve == plain.state.curve
    for name, value in plain.network.state_dict().items():
        assert torch.equal(watched.network.state_dict()[name], value), name


def test_a_damaged_checkpoint_costs_only_time(whole, tiny, tmp_path):
    run = Run(tiny.shrink(DESIGN), tiny, 0, 1.0, torch.device("cpu"))
    (tmp_path / f"{run.key}.checkpoint").write_bytes(b"PK torn")
    assert evaluate(DESIGN, tiny, device="cpu", resume_dir=tmp_path).value == whole.value


def test_a_damaged_score_is_not_believed(whole, tiny, tmp_path, monkeypatch):
    trained = []
    monkeypatch.setattr(trainer, "_within_memory", lambda *arguments: trained.append(arguments) or whole)
    evaluate(DESIGN, tiny, device="cpu", resume_dir=tmp_path)
    assert evaluate(DESIGN, tiny, device="cpu", resume_dir=tmp_path) == whole
    assert len(trained) == 1
    (path,) = tmp_path.glob("*.score")
    for times, content in enumerate(damaged(path, flips=400), start=2):
        assert evaluate(DESIGN, tiny, device="cpu", resume_dir=tmp_path) == whole
        assert path.read_bytes() == content
        assert len(trained) == times


def test_a_damaged_checkpoint_is_not_loaded(tiny, tmp_path):
    run = Run(tiny.shrink(DESIGN), tiny, 0, 1.0, torch.device("cpu"))
    path = tmp_path / "a.checkpoint"
    training = trainer.Training(run, Network(run.design, tiny), path)
    training.state.step = 7
    training._save()
    for _ in damaged(path, flips=400):
        training.state.step = 0
        training._restore()
        assert training.state.step == 0
    training._save()
    training.state.step = 3
    training._restore()
    assert training.state.step == 0


def test_seeds_change_the_run_and_fidelity_its_length(whole, tiny):
    other = evaluate(DESIGN, tiny, seed=1, fidelity=0.5, device="cpu")
    assert other.train_loss[-1][0] == tiny.samples // 2
    assert other.fidelity == 0.5
    assert other.train_loss[0] != whole.train_loss[0]


def test_divergence_is_a_result_and_not_a_crash(tiny):
    score = evaluate(DESIGN, replace(tiny, rate=1e6, clip=1e9), device="cpu")
    assert score.status == "diverged"
    assert math.isnan(score.value)
    assert "loss" in score.message


@pytest.mark.slow
def test_memory_that_runs_out_once_costs_only_smaller_parts(whole, tiny, monkeypatch):
    step, tried = trainer.Training._step, []

    def short_of_memory(self, index):
        tried.append(self.parts)
        if self.parts == 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3.00 GiB")
        return step(self, index)

    monkeypatch.setattr(trainer.Training, "_step", short_of_memory)
    score = evaluate(DESIGN, tiny, device="cpu")
    assert tried[:2] == [1, 4]
    assert score.status == "ok"
    # The same gradients but for rounding, and for the classes' weights, which are averaged per part.
    assert score.train_loss[0][1] == pytest.approx(whole.train_loss[0][1], rel=0.05)


def test_memory_that_runs_out_twice_makes_a_design_infeasible(tiny, monkeypatch):
    def short_of_memory(self, index):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3.00 GiB")

    monkeypatch.setattr(trainer.Training, "_step", short_of_memory)
    score = evaluate(DESIGN, tiny, device="cpu")
    assert score.status == "infeasible"
    assert math.isnan(score.value)
    assert "3.00 GiB" in score.message


def test_every_design_sees_the_same_samples_in_the_same_order():
    assert torch.equal(trainer._order(10, 25, 3), trainer._order(10, 25, 3))
    order = trainer._order(10, 25, 3)
    assert sorted(order[:10].tolist()) == list(range(10))
    assert len(order) == 25


def test_keys_tell_runs_apart(tiny):
    run = Run(tiny.shrink(DESIGN), tiny, 0, 1.0, torch.device("cpu"))
    others = [
        replace(run, seed=1),
        replace(run, fidelity=0.5),
        replace(run, preset=replace(tiny, rate=1e-3)),
        replace(run, preset=replace(tiny, data=replace(tiny.data, seed=1))),
        replace(run, design=Design.parse("vit_tiny@448")),
    ]
    assert len({run.key, *(other.key for other in others)}) == 6
    swapped = Design.parse("vit_small@448 vit_tiny@896:w14; interactions=6; merge=linear")
    assert replace(run, design=tiny.shrink(swapped)).key == run.key


def test_what_starts_fresh_learns_faster(tiny):
    network = Network(tiny.shrink(DESIGN), tiny)
    branches = {id(p) for p in network.pyramid.branches.parameters()}
    groups = network.parameter_groups(tiny)
    assert sum(len(group["params"]) for group in groups) == len(list(network.parameters()))
    for group in groups:
        mine = {id(p) for p in group["params"]} <= branches
        assert group["peak"] == pytest.approx(tiny.rate * (1 if mine else tiny.fresh_rate))
        assert (group["weight_decay"] > 0) == all(p.ndim > 1 for p in group["params"])


def test_scores_survive_json(whole):
    assert Score.from_dict(whole.to_dict()) == whole


@pytest.mark.parametrize(("arguments", "message"), [({"fidelity": 1.5}, "fidelity 1.5"), ({"device": "tpu"}, "tpu")])
def test_bad_arguments_are_named(tiny, arguments, message):
    with pytest.raises(InputError, match=message):
        evaluate(DESIGN, tiny, **arguments)
