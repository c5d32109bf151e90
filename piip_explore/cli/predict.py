"""`piip-explore predict`: the metric that full training is expected to give."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from piip_explore.predict import Expectation


@click.command("predict")
@click.argument("design")
@click.argument("other", required=False)
@click.option("--metric", default="box_ap", show_default=True, help="box_ap, miou or top1.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(design: str, other: str | None, metric: str, as_json: bool) -> None:
    """Predict what DESIGN reaches under the papers' recipes, and whether it beats the OTHER one.

    This is a regression on published results, not a measurement. It prints the metric with an interval that holds in
    80 % of cases, and the probability that the first design is better. For a design unlike any published row it says so
    and gives no number.
    """
    from piip_explore import predict
    from piip_explore.design import Design

    first = Design.parse(design)
    if other is None:
        expected = predict.expect(first, metric)
        if as_json:
            click.echo(json.dumps({"metric": metric, "recipe": predict.USUAL[metric], **_as_json(expected)}, indent=2))
        else:
            click.echo(_text(expected))
        return
    both = predict.compare(first, Design.parse(other), metric)
    if as_json:
        probability = None if math.isnan(both.probability) else both.probability
        result = {
            "metric": metric,
            "recipe": predict.USUAL[metric],
            "designs": [_as_json(both.first), _as_json(both.second)],
        }
        click.echo(json.dumps(result | {"probability": probability, "better": both.order}, indent=2))
        return
    click.echo(f"{_text(both.first)}\n{_text(both.second)}")
    if math.isnan(both.probability):
        click.echo("Cannot tell which is better.")
    elif both.order == "cannot tell":
        click.echo(f"Cannot tell which is better: the first with probability {both.probability:.2f}.")
    else:
        sure = max(both.probability, 1 - both.probability)
        click.echo(f"The {both.order} is better with probability {min(sure, 0.99):.2f}{' or more' * (sure > 0.99)}.")


def _text(expected: Expectation) -> str:
    from piip_explore.predict import METRICS, USUAL

    name, recipe = METRICS[expected.metric], USUAL[expected.metric]
    if expected.unlike:
        return f"{expected.design}\n  {name} cannot be predicted: {'; '.join(expected.unlike)}"
    interval = f"{expected.low:.1f} to {expected.high:.1f} in 80 % of cases"
    assumed = "".join(f"\n  no row with {name} has it: {one}" for one in expected.assumed)
    return f"{expected.design}\n  expected {name} {expected.mean:.1f}, {interval} ({recipe}; not measured){assumed}"


def _as_json(expected: Expectation) -> dict[str, Any]:
    numbers = {"expected": expected.mean, "low": expected.low, "high": expected.high}
    told = {name: None if math.isnan(value) else value for name, value in numbers.items()}
    return {
        "design": str(expected.design),
        "id": expected.design.id,
        **told,
        "unlike": list(expected.unlike),
        "assumed": list(expected.assumed),
    }
