"""The presets at toy size in every process of a command: the same code, a few images and steps."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]

_SITE = """
import importlib.util, sys
from dataclasses import replace
from importlib.abc import MetaPathFinder

def toy(recipe):
    small = replace(recipe, train_images=64, val_images=16, samples=STEPS * 16, batch=16)
    return replace(small, supernet=recipe.supernet and replace(recipe.supernet, samples=WARM_STEPS * 16))

class Presets(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "piip_explore.proxy.presets":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module
        def exec_module(module):
            execute(module)
            for key, recipe in module.PRESETS.items():
                module.PRESETS[key] = toy(recipe)
        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Presets())
"""


def environment(folder: Path, steps: int = 2, warm_steps: int = 1) -> dict[str, str]:
    """Return an environment in which commands train so many steps of every run, and of what runs start from."""
    site = folder / "toy-site"
    site.mkdir(exist_ok=True)
    text = _SITE.replace("WARM_STEPS", str(warm_steps)).replace("STEPS", str(steps))
    (site / "sitecustomize.py").write_text(text)
    return os.environ | {
        "PYTHONPATH": f"{site}:{ROOT}",
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
    }
