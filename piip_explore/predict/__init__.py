"""What a design would reach under the papers' recipes: a small regression on the published results.

Never a measurement. `expect` gives a metric with an interval, or says how a design differs from every published row;
`columns` and `table` do so for many designs; `leave_tables_out` shows how far to trust it.
"""

from piip_explore.predict.calibration import Held, expected_elsewhere, leave_tables_out, stacked
from piip_explore.predict.expectation import Expectation, ExpectedOrder, columns, compare, expect, table
from piip_explore.predict.rows import METRICS, USUAL, none_predicted

__all__ = [
    "METRICS",
    "USUAL",
    "Expectation",
    "ExpectedOrder",
    "Held",
    "columns",
    "compare",
    "expect",
    "expected_elsewhere",
    "leave_tables_out",
    "none_predicted",
    "stacked",
    "table",
]
