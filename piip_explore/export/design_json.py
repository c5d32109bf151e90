"""A design as JSON: its costs in both accountings, its scores with their conditions, where it comes from."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from piip_explore import __version__
from piip_explore.cost import ACCOUNTINGS, count, traffic
from piip_explore.design import Design
from piip_explore.export.exporter import Exporter, Files, Origin


@dataclass(frozen=True)
class DesignJson(Exporter):
    """One JSON file with everything that is known of a design."""

    name: ClassVar[str] = "json"

    def files(self, design: Design, origin: Origin | None = None) -> Files:
        """Return the JSON file."""
        content = {
            "design": str(design),
            "id": design.id,
            "branches": [asdict(branch) for branch in design.branches],
            "interaction": asdict(design.interaction) if design.interaction else None,
            "merge": asdict(design.merge),
            "cost": {accounting: _cost(design, accounting) for accounting in ACCOUNTINGS},
            "traffic": asdict(traffic(design)),
            "origin": asdict(origin) if origin else None,
            "piip_explore": __version__,
        }
        return {f"piip_{design.id}.json": json.dumps(content, indent=2) + "\n"}


def _cost(design: Design, accounting: str) -> dict[str, Any]:
    cost = count(design, accounting=accounting)
    return {"gmacs": cost.macs / 1e9, "macs": cost.macs, "params": cost.params}
