"""What NVML's counter becomes, with a counter of our own in its place: no GPU is needed."""

import sys
from types import SimpleNamespace

import pytest
import torch

from piip_explore import Design
from piip_explore.device import energy, profile
from piip_explore.errors import InputError
from piip_explore.search.launch import Request
from tests.search.replayed import replayed_pool, start

GPU = torch.device("cuda", 1)


class NVMLError(Exception):
    pass


@pytest.fixture
def nvml(monkeypatch):
    """NVML with one GPU, which has taken 5 J so far."""
    module = SimpleNamespace(NVMLError=NVMLError, nvmlInit=lambda: None, taken=5_000)
    module.nvmlDeviceGetHandleByUUID = lambda uuid: {"GPU-1234": "handle"}[uuid]
    module.nvmlDeviceGetTotalEnergyConsumption = lambda handle: {"handle": module.taken}[handle]
    monkeypatch.setitem(sys.modules, "pynvml", module)
    monkeypatch.setattr(torch.cuda, "get_device_properties", {GPU: SimpleNamespace(uuid="1234")}.__getitem__)
    return module


def test_the_counter_is_read_in_joules(nvml):
    joules = energy.meter(GPU)
    assert joules() == 5
    nvml.taken = 5_250
    assert joules() == 5.25


def test_nobody_counts_on_a_cpu_without_nvml_or_on_an_old_gpu(nvml, monkeypatch):
    def refuse(handle):
        raise NVMLError("Not Supported")

    assert energy.meter(torch.device("cpu")) is None
    nvml.nvmlDeviceGetTotalEnergyConsumption = refuse
    assert energy.meter(GPU) is None
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert energy.meter(GPU) is None


def test_a_profile_shares_what_was_taken_among_its_steps(monkeypatch):
    readings = iter([100.0, 106.0])
    monkeypatch.setattr(energy, "meter", lambda device: lambda: next(readings))
    monkeypatch.setattr(energy, "LEAST_SECONDS", 0.0)
    design = Design.parse("vit[depth=1,dim=32,heads=2]@32")
    assert profile(design, device="cpu", training=False, steps=3).forward.energy == 2.0
    monkeypatch.setattr(energy, "meter", lambda device: None)
    assert profile(design, device="cpu", training=False, steps=3).forward.energy is None


def test_a_search_for_energy_says_what_it_lacks(tmp_path, monkeypatch):
    from piip_explore.testing.synthetic import evaluator

    def ask(device):
        request = Request(trials=4, objectives=("score", "energy"), device=device)
        start(replayed_pool(), evaluator(replayed_pool()), str(tmp_path / "s.journal"), "s", request)

    with pytest.raises(InputError, match="the objective 'energy' needs a GPU: on the CPU, nobody counts"):
        ask("cpu")
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"the objective 'energy' needs pynvml, .* 'piip-explore\[energy\]'"):
        ask("cuda")
