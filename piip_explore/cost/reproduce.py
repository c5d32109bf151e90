"""Published figures beside ours: every row that was printed, counted by the published rules."""

from __future__ import annotations

import math
from dataclasses import dataclass

from piip_explore import published
from piip_explore.cost.design_cost import count
from piip_explore.design import Design

TOLERANCE = 0.005
"""A figure is reproduced within this fraction of it, or to its last printed digit."""

LLAVA = (
    "vision encoders without projectors, merge=none; CLIP with its class token and at patch 16, the baseline's at 14 "
    "without; deformable attention of every interaction counted on the ConvNeXt's map at its first one"
)
"""What the figures of PIIP-LLaVA count."""

_FROM_SCRATCH = "none"
_SCRATCH_ROW = "cls-piip-b-scratch"
_REASONS = {
    "known": "",
    "unknown": "structure unknown: less is printed than the linear layers of these branches cost",
    "merge unknown": "the papers do not say which merge was counted",
    "no interaction projection or norm": "",
}


@dataclass(frozen=True)
class PrintedRow:
    """One printed row beside our count; NaN where nothing is printed.

    `reason` says why a row is not expected to agree; it is empty for those that are.
    """

    row: str
    design: str
    printed_gflops: float
    gflops: float
    printed_mparams: float
    mparams: float
    reason: str
    agrees: bool

    @property
    def difference(self) -> float:
        """Counted over printed GFLOPs, less one; NaN where none are printed."""
        return self.gflops / self.printed_gflops - 1


def designs() -> list[PrintedRow]:
    """Compare the designs of PIIP's tables, ablations included.

    Parameters of the from-scratch rows are printed without the classifier, as in their per-module table.
    """
    rows = []
    for row in [*published.load().to_dict("records"), *published.ablations().to_dict("records")]:
        cost = count(Design.parse(row["design"]))
        params = cost.params - (cost.by_module["heads"][1] if row["pretrain"] == _FROM_SCRATCH else 0)
        reason = "no FLOPs printed" if math.isnan(row["gflops"]) else _REASONS.get(row["structure"], row["structure"])
        rows.append(_compare(row["row"], row["design"], row["gflops"], cost.macs, row["mparams"], params, reason))
    return rows


def llava() -> list[PrintedRow]:
    """Compare the encoders of PIIP-LLaVA; `LLAVA` says what they count."""
    rows = []
    for row in published.llava().to_dict("records"):
        cost = count(Design.parse(row["design"]))
        rows.append(_compare(row["row"], row["design"], row["gflops"], cost.macs, math.nan, cost.params, ""))
    return rows


def scratch_modules() -> list[PrintedRow]:
    """Compare the from-scratch PIIP-B module by module.

    The table rounds some of its figures and cuts others, so they are held to one unit of their last digit.
    """
    table = published.load().set_index("row")
    design = Design.parse(str(table.loc[_SCRATCH_ROW, "design"]))
    parts = _modules(design)
    rows = []
    for row in published.scratch_breakdown().to_dict("records"):
        macs, params = parts[row["module"] if math.isnan(row["dim"]) else int(row["dim"])]
        printed = row["gflops"], macs, row["mparams"], params
        rows.append(_compare(f"{_SCRATCH_ROW}: {row['module']}", str(design), *printed, "", units=1.0))
    return rows


def _modules(design: Design) -> dict[str | int, tuple[int, int]]:
    """Return the modules of the from-scratch table: branches by their width, all interactions, branch merging."""
    cost = count(design)
    found: dict[str | int, tuple[int, int]] = {
        branch.spec.out_dim: cost.by_module[str(branch)] for branch in design.branches
    }
    interactions = [value for name, value in cost.by_module.items() if name.startswith("interactions ")]
    found["interactions"] = sum(macs for macs, _ in interactions), sum(params for _, params in interactions)
    found["branch merging"] = cost.by_module["merge"]
    return found


def _compare(
    row: str,
    design: str,
    printed_gflops: float,
    macs: int,
    printed_mparams: float,
    params: int,
    reason: str,
    units: float = 0.5,
) -> PrintedRow:
    gflops, mparams = macs / 1e9, params / 1e6
    agrees = all(
        math.isnan(printed) or abs(counted - printed) <= max(TOLERANCE * printed, units * _last_digit(printed))
        for printed, counted in ((printed_gflops, gflops), (printed_mparams, mparams))
    )
    return PrintedRow(row, design, printed_gflops, gflops, printed_mparams, mparams, reason, agrees)


def _last_digit(printed: float) -> float:
    """Return the value of the last digit of a printed number (a trailing zero after the point is not kept)."""
    _, _, decimals = f"{printed:g}".partition(".")
    return 10.0 ** -len(decimals) * (1 + 1e-9)
