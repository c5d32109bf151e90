"""Our table of the authors' defaults against their constructors'."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from piip_explore import official
from piip_explore.errors import InputError
from piip_explore.official.arguments import (
    BACKBONE_DEFAULTS,
    BRANCH_DEFAULTS,
    CLASS_NAMES,
    BranchClass,
    CodeBase,
    branch_class,
    complete,
)

TABLE: dict[str, dict[str, dict[str, str]]] = json.loads(
    (Path(__file__).parent / "data" / "official_arguments.json").read_text()
)


def constructor(code_base: str, name: str) -> dict[str, Any]:
    """Return a constructor's defaults, those that are not plain values as their text."""

    def value(text: str) -> Any:
        try:
            return ast.literal_eval(text)
        except ValueError:
            return text

    (found,) = [rows for title, rows in TABLE[code_base].items() if name in title]
    return {argument: value(text) for argument, text in found.items()}


@pytest.mark.parametrize("code_base", ["detection", "segmentation", "classification"])
@pytest.mark.parametrize("kind", BRANCH_DEFAULTS)
def test_branch_defaults(code_base: CodeBase, kind: BranchClass) -> None:
    if code_base != "detection" and kind in ("BEiT", "UnifiedBertEncoder"):
        return  # classes of the detection code alone
    theirs = constructor(code_base, f"branch: {kind}")
    ours = complete({}, kind, code_base)
    assert ours == {name: theirs[name] for name in ours}


@pytest.mark.parametrize("code_base", ["detection", "segmentation", "classification"])
def test_backbone_defaults(code_base: str) -> None:
    for kind in CLASS_NAMES.values():
        theirs = TABLE[code_base].get(kind) and constructor(code_base, kind)
        for name in BACKBONE_DEFAULTS.keys() & (theirs or {}):
            assert BACKBONE_DEFAULTS[name] == theirs[name], (kind, name)


@pytest.mark.parametrize(
    ("section", "code_base", "kind"),
    [
        ({"pretrained": "./deit_3_base.pth"}, "detection", "vit_models"),
        ({"pretrained": "./deit_3_base.pth"}, "segmentation", "vit_models"),
        ({"pretrained": "beitv2_base.pth"}, "detection", "BEiT"),
        ({"pretrained": "uni-perceiver-base.pth"}, "detection", "UnifiedBertEncoder"),
        ({"pretrained": "facebook/convnext-tiny-224"}, "detection", "ConvNextHFWrapper"),
        ({"pretrained": "mae_base.pth"}, "detection", "InternViT6B"),
        ({}, "detection", "InternViT6B"),
        ({"pretrained": "mae_base.pth"}, "classification", "vit_models"),
        ({"model_type": "augreg", "pretrained": "deit.pth"}, "classification", "InternViT6B"),
        ({"type": "BEiT", "pretrained": "deit.pth"}, "detection", "BEiT"),
    ],
)
def test_the_class_of_a_branch(section: dict[str, Any], code_base: CodeBase, kind: str) -> None:
    assert branch_class(section, code_base) == kind


def test_a_class_that_cannot_be_told_is_named() -> None:
    with pytest.raises(InputError, match="model_type='mae': expected deit or augreg"):
        branch_class({"model_type": "mae"}, "classification")


def test_the_dialect_is_read_without_torch() -> None:
    modules = [f"piip_explore.official.{path.stem}" for path in Path(official.__file__).parent.glob("[a-z]*.py")]
    assert len(modules) >= 7
    script = f"import sys, {', '.join(modules)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
