"""All designs of a space as integer columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from piip_explore.design import Branch, Interaction, Merge


@dataclass(frozen=True)
class SpaceColumns:
    """All structurally valid designs of a space, one row each, as codes into two small tables.

    `branches` is `(n, max_branches)` and column-major: row i holds the codes into `branch_options` of design i's
    branches from the highest resolution to the lowest, as in `Design.sorted()`, then -1 where there are fewer branches.
    `setting` is `(n,)`: codes into `settings`. Codes are the smallest integers that hold them (int8, int16, ...).
    Limits on GFLOPs and parameters are not applied here.
    """

    branch_options: tuple[Branch, ...]
    settings: tuple[tuple[Interaction | None, Merge], ...]
    branches: npt.NDArray[np.signedinteger]
    setting: npt.NDArray[np.integer]
