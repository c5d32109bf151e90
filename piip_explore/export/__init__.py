"""From a chosen design to real training: one module per target, and the way back.

from piip_explore.export import exporter, write_files
write_files(exporter("official-detection").export(design), Path("out"))
"""

from __future__ import annotations

import importlib
from dataclasses import fields
from typing import Any

from piip_explore.errors import InputError, expected
from piip_explore.export.exporter import Exporter, Files, Misfit, Origin, write_files

TARGETS = {
    "official-detection": "piip_explore.export.detection:OfficialDetection",
    "official-segmentation": "piip_explore.export.segmentation:OfficialSegmentation",
    "official-classification": "piip_explore.export.classification:OfficialClassification",
    "official-llava": "piip_explore.export.llava:OfficialLlava",
    "native": "piip_explore.export.native:Native",
    "torch-export": "piip_explore.export.portable:TorchExport",
    "onnx": "piip_explore.export.portable:Onnx",
    "json": "piip_explore.export.design_json:DesignJson",
}
"""Every target's name and the class that writes it."""


def exporter(target: str, **options: Any) -> Exporter:
    """Return the exporter of a target, with its options.

    Raises:
        InputError: unknown target, or an option that it does not take.
    """
    if target not in TARGETS:
        raise InputError(f"unknown target '{target}': {expected(target, TARGETS)}")
    module, _, name = TARGETS[target].partition(":")
    kind = getattr(importlib.import_module(module), name)
    known = [field.name for field in fields(kind)]
    for option in options:
        if option not in known:
            taken = f"its options are {', '.join(known)}" if known else "it has no options"
            raise InputError(f"target '{target}' takes no option '{option}': {taken}")
    made = kind(**options)
    assert isinstance(made, Exporter)
    return made


__all__ = ["TARGETS", "Exporter", "Files", "Misfit", "Origin", "exporter", "write_files"]
