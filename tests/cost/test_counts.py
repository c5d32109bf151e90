"""Counts as polynomials, by hand."""

from piip_explore.cost.counts import Bilinear, Counts, Polynomial


def test_a_polynomial_goes_on_as_its_values_do():
    # 3 x^2 - x + 7 and x^3
    values = [Counts(linear=3 * x * x - x + 7, params=x**3) for x in (1, 2, 3, 4)]
    polynomial = Polynomial.through(values)
    assert [polynomial.at(x) for x in (1, 2, 3, 4)] == values
    assert polynomial.at(100) == Counts(linear=3 * 100 * 100 - 100 + 7, params=10**6)
    assert Polynomial.through(values[:1]).at(50) == values[0]


def test_a_bilinear_count_has_four_coefficients():
    counts = Bilinear(Counts(1), Counts(10), Counts(100), Counts(1000))
    assert counts.at(2, 3) == Counts(1 + 10 * 2 + 100 * 3 + 1000 * 2 * 3)
    assert counts.at(5) == Counts(51)
    assert (counts + counts).at(2, 3) == counts.at(2, 3) * 2
    assert counts.at(2, 3) * 6 // 3 == counts.at(2, 3) * 2
