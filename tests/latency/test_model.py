"""From parts' times to the latencies of designs."""

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings

from piip_explore import Design, SearchSpace
from piip_explore.catalog import ViT
from piip_explore.cost import count, part_sizes
from piip_explore.design import Interaction
from piip_explore.errors import InputError
from piip_explore.latency.kinds import FeaturePyramid, Gather, Unit, ViTBlock, counts, name
from piip_explore.latency.model import CONSTANT, LatencyModel, PartTimes, calibrate, error
from piip_explore.latency.plan import SIZES, points
from piip_explore.latency.terms import terms
from tests.cost.designs import designs
from tests.latency.made import SPACE, Rate, made_profile


class Multiplications:
    """A device that takes a second per multiply-add."""

    def seconds(self, kind, *sides):
        return 0 if isinstance(kind, Gather) else counts(kind, tuple(int(side) for side in sides)).macs


@settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck), print_blob=True)
@given(designs())
@example(Design.parse("vit_tiny@368 vit_small@192 vit_base@128; merge=separate-heads"))
@example(Design.parse("convnext_tiny@140 vit_tiny@112:w3g3; interactions=12; merge=conv-multilevel; project=no"))
def test_the_parts_are_the_whole_network(design):
    """Every multiply-add of a built design is in exactly one of its parts, heads aside."""
    sorted_ = design.sorted()
    total = 0
    for term in terms(Multiplications(), {}, design.interaction, sorted_.merge, len(design.branches)):
        total += term.counts(*(sorted_.branches[place] for place in term.places)).seconds
    heads = sorted_.out if design.merge.kind == "separate-heads" else ()
    head_macs = sum(part_sizes.head(sorted_.branches[place].spec.out_dim).macs for place in heads)
    assert total == count(design, "built").macs - head_macs


def test_profiles_of_before_name_the_parts_as_today():
    assert name(FeaturePyramid((192, 96))) == "Pyramid(widths=(192, 96))"
    assert name(ViTBlock(ViT(1, 192, 3), 7, False)).startswith("Block(spec=ViT(depth=1, dim=192, heads=3, ")


@pytest.fixture
def space():
    return SearchSpace.parse(SPACE, "test")


def test_the_column_is_the_latency_of_each_design(space):
    model = made_profile(space).model
    column = model.column(space.columns())
    for row in range(0, space.size, 37):
        assert column[row] == pytest.approx(model.seconds(space.design(row)), rel=1e-12)
    assert column.min() > 0.002


def test_times_between_measured_sizes_are_those_of_the_device(space):
    """Seconds per work change little with the size, and a direction is bilinear: interpolation is close."""
    model, device = made_profile(space).model, LatencyModel(Rate())
    plain = LatencyModel(model.times)
    for row in range(0, space.size, 61):
        assert plain.seconds(space.design(row)) == pytest.approx(device.seconds(space.design(row)), rel=0.01)


def test_parts_are_measured_at_few_sizes(space):
    found = points(space.columns())
    by_kind: dict[str, list] = {}
    for point in found:
        by_kind.setdefault(name(point.kind), []).append(point.sides)
    assert len(found) == len(set(found))
    assert all(len(sides) <= SIZES for sides in by_kind.values())
    sides = next(sides for kind, sides in by_kind.items() if kind.startswith("Stem") and "dim=192" in kind)
    assert (sides[0], sides[-1]) == ((14,), (28,)), "the smallest and the largest are among them"


def test_one_direction_is_fitted_by_its_tokens():
    kind = Unit(192, 384, Interaction(count=1, heads=4))
    truth = {(q, s): 1e-4 + 2e-7 * q * q + 3e-7 * s * s for q in (8, 16) for s in (4, 20)}
    times = PartTimes({name(kind): truth})
    assert times.seconds(kind, 11, 13) == pytest.approx(1e-4 + 2e-7 * 121 + 3e-7 * 169)
    array = times.seconds(kind, np.array([[8], [16]]), np.array([4, 20]))
    assert array == pytest.approx(np.array(list(truth.values())).reshape(2, 2))


def test_calibration_finds_the_weights_of_the_modules(space):
    times = made_profile(space).model.times
    truth = LatencyModel(times, {"branch": 1.3, "interactions": 0.7, "merge": 1.1, "pyramid": 1.0, CONSTANT: 0.004})
    chosen = [space.design(row) for row in range(0, space.size, space.size // 40)]
    found = calibrate(times, chosen, [truth.seconds(design) for design in chosen])
    for design in (space.design(row) for row in range(5, space.size, 71)):
        assert found.seconds(design) == pytest.approx(truth.seconds(design), rel=0.03)
    assert all(factor >= 0 for factor in found.factors.values())


def test_error_by_hand():
    found = error([1.1, 1.8, 3.0], [1.0, 2.0, 3.0], [3, 2, 1])
    assert found.mape == pytest.approx(0.2 / 3)
    assert found.worst == pytest.approx(0.1)
    assert (found.tau, found.tau_flops, found.designs) == (1.0, -1.0, 3)


def test_a_part_that_was_not_measured_is_named(space):
    model = made_profile(space).model
    with pytest.raises(InputError, match=r"no time of Stem\(spec=ViT\(depth=1, dim=1024.*measure-device"):
        model.seconds(Design.parse("vit_large@224"))
