"""What every export target is: a check of what it can express, and the files it writes.

A target that cannot express a design refuses it with the reason and the nearest design that it can express; it changes
nothing silently.
"""

from __future__ import annotations

import importlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from piip_explore.design import Design
from piip_explore.errors import InputError, expected
from piip_explore.files import write_whole

if TYPE_CHECKING:
    from piip_explore.search.columns import Columns  # loads Optuna, which a design's text does not need

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

_UNSAID = ("design", "id", "worker", "curve", "metric_curve")
"""Attributes of a trial that are not conditions of its scores."""

Files = dict[str, str | bytes]
"""File names, relative to the output directory, and their contents."""


@dataclass(frozen=True)
class Misfit:
    """Why a target cannot express a design, and the smallest change of the design that mends it."""

    reason: str
    mended: Design


Rule = Callable[[Design], Misfit | None]
"""One thing that a target may be unable to express."""


@dataclass(frozen=True)
class Origin:
    """Where an exported design comes from: a study's trial, its scores, and everything that they depend on."""

    study: str
    trial: int
    scores: Mapping[str, float]
    conditions: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, study: Columns, row: int) -> Origin:
        """Return the origin of a design that is exported as the trial in a row of a study."""
        values = zip(study.objectives, study.values[row].tolist(), strict=True)
        scores = {name: value for name, value in values if math.isfinite(value)}
        conditions = {"state": study.state_of(row), "accounting": study.record.get("accounting")}
        conditions |= {name: value for name, value in study.attributes_of(row).items() if name not in _UNSAID}
        return cls(study.study, int(study.number[row]), scores, conditions)


class Exporter(ABC):
    """One export target. Its options are the fields of its (frozen) dataclass."""

    name: ClassVar[str]
    rules: ClassVar[Sequence[Rule]] = ()

    @abstractmethod
    def files(self, design: Design, origin: Origin | None = None) -> Files:
        """Return the contents of the files that express `design`, which passed `check`."""

    def misfits(self, design: Design) -> list[Misfit]:
        """Return all that this target cannot express in `design`, each mended on top of those before it."""
        found = []
        for rule in self.rules:
            misfit = rule(design)
            if misfit is not None:
                found.append(misfit)
                design = misfit.mended
        return found

    def nearest(self, design: Design) -> Design:
        """Return the nearest design that this target can express: `design` itself where it can."""
        misfits = self.misfits(design)
        return misfits[-1].mended if misfits else design

    def check(self, design: Design) -> None:
        """Refuse a design that this target cannot express.

        Raises:
            InputError: the reasons, and the nearest design that can be exported.
        """
        misfits = self.misfits(design)
        if misfits:
            reasons = "; ".join(misfit.reason for misfit in misfits)
            raise InputError(
                f"target '{self.name}' cannot express this design: {reasons}. "
                f"The nearest it can express is '{misfits[-1].mended}'"
            )

    def export(self, design: Design, origin: Origin | None = None) -> Files:
        """Return the files (name and contents) that express `design` for this target.

        Raises:
            InputError: the target cannot express the design; the sentence gives the reason and the nearest design.
        """
        self.check(design)
        return self.files(design, origin)


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


def write_files(files: Files, folder: Path, *, force: bool = False) -> list[Path]:
    """Write all files into a folder, or none: existing ones stay unless `force` is given.

    Every file is written whole or not at all, so an interrupted export leaves no partial file.

    Raises:
        InputError: a file exists already, or the folder cannot be written to.
    """
    paths = [folder / name for name in files]
    existing = [path for path in paths if path.exists()]
    if existing and not force:
        raise InputError(f"'{existing[0]}' exists already: choose another folder or overwrite it with --force")
    try:
        for path, content in zip(paths, files.values(), strict=True):
            write_whole(path, _writer(content))
    except OSError as error:
        raise InputError(f"cannot write to '{folder}': {error.strerror or error}") from None
    return paths


def _writer(content: str | bytes) -> Callable[[Path], object]:
    data = content.encode() if isinstance(content, str) else content
    return lambda path: path.write_bytes(data)
