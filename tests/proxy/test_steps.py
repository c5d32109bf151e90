"""One step of training, three ways to do it: to the same bits, without waiting, and with a way back."""

from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from piip_explore import Design
from piip_explore.errors import InputError
from piip_explore.proxy import steps
from piip_explore.proxy.network import Network
from piip_explore.proxy.run import Run
from piip_explore.proxy.steps import GraphedStep, LeanStep, PlainStep
from piip_explore.proxy.tasks import Classification, Detection
from piip_explore.proxy.trainer import Training

CPU = torch.device("cpu")
DESIGN = Design.parse("vit_tiny@448:w8 vit_small@448; interactions=3; merge=linear")
STEPS = 6


def training(preset, design=DESIGN, kind=PlainStep):
    """A run on the CPU, in bfloat16 as on a GPU; with as few weights as the preset's shrinking leaves."""
    run = Run(preset.shrink(design), preset, 0, 1.0, CPU)
    torch.manual_seed(0)
    made = Training(run, Network(run.design, preset))
    setting = replace(made.train_on.setting, autocast=torch.bfloat16)
    made.train_on = kind(setting)
    made.network.train()
    return made


def trained(made, count=STEPS):
    """Losses and weights after some steps."""
    losses = []
    for _ in range(count):
        batch = made.run.preset.batch
        losses.append(made._step(made.order[made.state.step * batch : (made.state.step + 1) * batch]).item())
        made.state.step += 1
    return losses, [parameter.detach().clone() for parameter in made.network.parameters()]


def assert_same(found, wanted):
    assert found[0] == wanted[0]
    assert all(torch.equal(one, other) for one, other in zip(found[1], wanted[1], strict=True))


class Watch(TorchDispatchMode):
    """Counts casts, and lists what waits for the device or comes from the host."""

    def __init__(self, device="cpu"):
        super().__init__()
        self.device, self.operations, self.casts, self.faults = device, 0, 0, []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.operations += 1
        self.casts += func is torch.ops.aten._to_copy.default
        tensors = [leaf for leaf in tree_leaves((args, kwargs, out)) if isinstance(leaf, torch.Tensor)]
        if any(tensor.device.type != self.device for tensor in tensors):
            self.faults.append(str(func))
        return out


@pytest.fixture(scope="module")
def plain(tiny):
    return trained(training(tiny))


def test_a_lean_step_comes_to_the_same_bits(tiny, plain):
    lean = training(tiny, kind=LeanStep)
    assert_same(trained(lean), plain)
    copied = set(lean.train_on.copies)
    assert {parameter.dtype for parameter in lean.network.parameters()} == {torch.float32}
    matrices = {name for name, p in lean.network.named_parameters() if p.ndim > 1 and "sampling_offsets" not in name}
    assert {name for name in matrices if not name.endswith("pos_embed")} <= copied
    assert not any("sampling_offsets" in name or "norm" in name or "gamma" in name for name in copied)


def test_a_lean_step_with_frozen_branches_comes_to_the_same_bits(tiny):
    made = []
    for kind in (PlainStep, LeanStep):
        run = training(tiny, kind=kind)
        run.network.pyramid.branches.requires_grad_(False)
        run.train_on = kind(run.train_on.setting)
        before = [parameter.clone() for parameter in run.network.pyramid.branches.parameters()]
        made.append(trained(run))
        assert all(map(torch.equal, before, run.network.pyramid.branches.parameters()))
    assert_same(made[1], made[0])
    assert any("pyramid.branches" in name for name in run.train_on.copies), "cast once, not in every step"


def test_a_lean_step_casts_no_weight_by_itself(tiny):
    counts = []
    for kind in (PlainStep, LeanStep):
        made = training(tiny, kind=kind)
        trained(made, 1)
        with Watch() as watch:
            trained(made, 1)
        counts.append(watch)
    assert counts[0].casts - counts[1].casts == 2 * len(made.train_on.copies)  # forward, and the gradient back
    assert counts[1].operations < counts[0].operations


def test_steps_change_their_tensors_in_place(tiny):
    """What a graph was captured with is what later steps use."""
    made = training(tiny, kind=LeanStep)
    trained(made, 1)
    places = [tensor.data_ptr() for tensor in made.train_on.tensors()]
    rates = [group["lr"].data_ptr() for group in made.optimizer.param_groups]
    trained(made, 2)
    assert [tensor.data_ptr() for tensor in made.train_on.tensors()] == places
    assert [group["lr"].data_ptr() for group in made.optimizer.param_groups] == rates
    assert len(set(rates)) == len(rates)


def test_rates_are_those_of_the_schedule_after_a_checkpoint_too(tiny, tmp_path):
    run = Run(tiny.shrink(DESIGN), tiny, 0, 1.0, CPU)
    for _ in range(2):
        made = Training(run, Network(run.design, tiny), tmp_path / "a.checkpoint")
        trained(made, 2)
        made._save()
        factor = 2 * made.state.step / round(0.2 * run.steps)  # warm-up, of a tenth of the steps
        made.state.step -= 1
        wanted = [group["peak"] * made._rate_factor() for group in made.optimizer.param_groups]
        assert [float(group["lr"]) for group in made.optimizer.param_groups] == wanted
        assert made._rate_factor() == pytest.approx(factor)
        made.state.step += 1


@pytest.mark.parametrize(
    ("task", "text"),
    [
        (None, "vit_tiny@896:w14 vit_small@448; interactions=6; merge=linear"),
        (None, "convnext_tiny@896 vit_small@448; interactions=2; merge=conv; attention=regular"),
        (None, "vit_tiny@448:w14g3"),
        (Detection(head_size=8, dim=8), "vit_tiny@896 vit_small@448; interactions=6; merge=conv; out=1"),
        (Classification(), "vit_tiny@224 vit_small@112; interactions=6; merge=separate-heads"),
    ],
)
def test_no_step_waits_for_the_device_or_takes_tensors_from_the_host(tiny, task, text):
    """On tensors without values, where asking for one is an error: a graph can be captured."""
    preset = tiny if task is None else replace(tiny, task=task)
    made = training(preset, Design.parse(text))
    setting = made.train_on.setting
    for name, value in vars(setting.objective).items():
        if isinstance(value, torch.Tensor):
            setattr(setting.objective, name, value.to("meta"))
    setting = replace(setting, images=setting.images.to("meta"), network=setting.network.to("meta"), autocast=None)
    step = PlainStep(setting)
    index = torch.zeros(8, dtype=torch.int64, device="meta")
    with Watch("meta") as watch:
        step._differentiate(index, 0)
        torch.nn.utils.clip_grad_norm_(step.parameters, 1.0)
    assert watch.operations > 100
    assert watch.faults == []


class FakeRecorder:
    """A graph as far as a CPU has one: what is captured is done at every replay, on the tensors of then."""

    def __init__(self, between=lambda work: work()):
        self.asides = self.replays = 0
        self.between = between

    def aside(self, work):
        self.asides += 1
        return work()

    def capture(self, work):
        loss = torch.zeros(())

        def replay():
            self.replays += 1
            loss.copy_(self.between(work))

        return replay, loss


def test_a_graphed_step_comes_to_the_same_bits(tiny, plain, recwarn):
    recorder = FakeRecorder()
    made = training(tiny, kind=lambda setting: GraphedStep(LeanStep(setting), recorder))
    assert_same(trained(made), plain)
    assert (recorder.asides, recorder.replays) == (steps._WARM, STEPS - steps._WARM)
    assert not [warning for warning in recwarn if "CUDA graph" in str(warning.message)]


def nothing(work):
    return torch.zeros(())


def twice(work):
    work()
    return work()


@pytest.mark.parametrize("wrong", [nothing, twice])
def test_a_graph_that_does_something_else_is_given_up(tiny, plain, wrong):
    recorder = FakeRecorder(wrong)
    made = training(tiny, kind=lambda setting: GraphedStep(LeanStep(setting), recorder))
    with pytest.warns(RuntimeWarning, match="not from a CUDA graph, with the same results: a replayed step differs"):
        found = trained(made)
    assert_same(found, plain)
    assert recorder.replays == 1


def test_weights_that_stay_are_noticed_though_the_loss_is_right(tiny, plain):
    recorder = FakeRecorder(lambda work: torch.tensor(plain[0][steps._WARM]))
    made = training(tiny, kind=lambda setting: GraphedStep(LeanStep(setting), recorder))
    with pytest.warns(RuntimeWarning, match=r"1 of the weights' change"):
        found = trained(made)
    assert_same(found, plain)


def test_a_graph_that_cannot_be_captured_is_given_up(tiny, plain):
    recorder = FakeRecorder()

    def fail(work):
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    recorder.capture = fail
    made = training(tiny, kind=lambda setting: GraphedStep(LeanStep(setting), recorder))
    with pytest.warns(RuntimeWarning, match=r"capturing failed \(operation not permitted when stream is capturing\)"):
        found = trained(made)
    assert_same(found, plain)


def test_memory_that_runs_out_in_a_capture_is_no_reason_to_go_on(tiny):
    recorder = FakeRecorder()

    def fail(work):
        raise torch.OutOfMemoryError("CUDA out of memory")

    recorder.capture = fail
    made = training(tiny, kind=lambda setting: GraphedStep(LeanStep(setting), recorder))
    with pytest.raises(torch.OutOfMemoryError):
        trained(made)


def test_which_step_a_run_takes(tiny, monkeypatch):
    setting = training(tiny).train_on.setting
    monkeypatch.setattr(steps, "Recorder", lambda device: FakeRecorder())
    gpu = torch.device("cuda")

    def chosen(device, setting=setting, variable=""):
        monkeypatch.setenv(steps.ENVIRONMENT_VARIABLE, variable)
        return type(steps.choose(setting, device))

    assert chosen(CPU) is PlainStep
    assert chosen(CPU, variable="lean") is LeanStep
    assert chosen(gpu) is GraphedStep
    assert chosen(gpu, variable="plain") is PlainStep
    assert chosen(gpu, replace(setting, parts=4)) is PlainStep
    compiled = Network(tiny.shrink(DESIGN), replace(tiny, compile=True))
    assert chosen(gpu, replace(setting, network=compiled)) is PlainStep
    with pytest.raises(InputError, match="unknown step 'graph': did you mean 'graphed'"):
        chosen(CPU, variable="graph")
    with pytest.raises(InputError, match="graphed needs a GPU, and this run is on 'cpu': use lean or plain"):
        chosen(CPU, variable="graphed")
