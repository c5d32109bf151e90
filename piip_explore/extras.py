"""What only some commands need, and the extra of the package that brings it (`pip install 'piip-explore[proxy]'`)."""

from __future__ import annotations

import importlib.util

from piip_explore.errors import InputError

EXTRAS = {
    "PIL": "proxy",
    "pycocotools": "proxy",
    "skimage": "proxy",
    "plotly": "dashboard",
    "streamlit": "dashboard",
    "psycopg": "postgres",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "onnxscript": "onnx",
    "huggingface_hub": "hub",
    "pynvml": "energy",
    "ray": "ray",
    "accelerate": "train",
    "timm": "train",
    "torchvision": "train",
    "tensorboard": "train",
}
"""Modules of other packages, each with the extra that installs it."""


def need(what: str, *modules: str) -> None:
    """Check that modules which an extra brings can be imported, and import none.

    Args:
        what: what needs them, as the sentence begins: "writing ONNX".
        modules: names of modules, all in `EXTRAS`.

    Raises:
        InputError: one is missing; the sentence says how to install it.
    """
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise InputError(_sentence(what, module))


def sentence(error: ModuleNotFoundError) -> str | None:
    """Return what to install where a module of an extra was not found, None where the module is of no extra."""
    module = (error.name or "").partition(".")[0]
    return _sentence("this", module) if module in EXTRAS else None


def _sentence(what: str, module: str) -> str:
    return f"{what} needs {module}, which is not installed: pip install 'piip-explore[{EXTRAS[module]}]'"
