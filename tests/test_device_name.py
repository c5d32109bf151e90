"""Every command understands the same device names."""

import importlib

import click
import pytest
import torch

from piip_explore.cli import COMMANDS
from piip_explore.device_name import resolve
from piip_explore.errors import InputError


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


def test_names_on_a_machine_with_gpus(two_gpus):
    assert resolve() == resolve("auto") == resolve("cuda") == torch.device("cuda")
    assert resolve("cuda:1") == torch.device("cuda", 1)
    assert resolve("cpu") == torch.device("cpu")
    with pytest.raises(InputError, match="'cuda:2' is not available: this machine has 2 CUDA devices"):
        resolve("cuda:2")


def test_auto_is_the_cpu_without_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve() == torch.device("cpu")
    with pytest.raises(InputError, match="'cuda' is not available: this machine has 0"):
        resolve("cuda")


@pytest.mark.parametrize(
    "name", ["", "tpu", "mps", "cpu:0", "cuda:", "cuda:-1", "cuda:x", "cuda:1:2", "CUDA", "cuda:²"]
)
def test_other_names_are_refused(two_gpus, name):
    with pytest.raises(InputError, match=f"unknown device '{name}': expected auto, cpu, cuda or cuda:N"):
        resolve(name)


def test_no_command_has_device_names_of_its_own():
    options = {}
    for name in COMMANDS:
        command = importlib.import_module(f"piip_explore.cli.{name.replace('-', '_')}").command
        for option in command.params:
            if "--device" in option.opts:
                options[name] = option
    assert set(options) == {"kernel", "measure-device", "profile", "train", "validate"}
    for option in options.values():
        assert option.type is click.STRING
        assert option.default == "auto"
        assert option.help == "auto, cpu, cuda or cuda:N."
