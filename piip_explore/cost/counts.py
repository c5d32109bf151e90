"""Counts: how many multiply-adds of every kind, and how many parameters. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from math import comb
from typing import Any


@dataclass(frozen=True)
class Counts:
    """Multiply-adds by kind of operator, parameters and traffic, of one image through one part of a network.

    `activations` are the elements of the outputs of all linear layers, convolutions and attentions; `moved` the
    elements that all counted operators read (weights included) and write, and `kept` those that automatic
    differentiation keeps for the backward pass (`cost.saved`). Values are whole numbers: Python integers, or NumPy
    integer arrays where many parts are counted at once.
    """

    linear: Any = 0
    conv: Any = 0
    norm: Any = 0
    relu: Any = 0
    attention: Any = 0
    deformable: Any = 0
    params: Any = 0
    activations: Any = 0
    moved: Any = 0
    kept: Any = 0

    @property
    def macs(self) -> Any:
        """Multiply-adds of all kinds."""
        return self.linear + self.conv + self.norm + self.relu + self.attention + self.deformable

    def values(self) -> tuple[Any, ...]:
        """Return the counts in the order of the fields."""
        return tuple(getattr(self, field.name) for field in fields(self))

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(a + b for a, b in zip(self.values(), other.values(), strict=True)))

    def __sub__(self, other: Counts) -> Counts:
        return self + other * -1

    def __mul__(self, factor: Any) -> Counts:
        return Counts(*(value * factor for value in self.values()))

    def __floordiv__(self, divisor: int) -> Counts:
        return Counts(*(value // divisor for value in self.values()))


@dataclass(frozen=True)
class Polynomial:
    """Counts as an exact polynomial of a whole number, by its differences at 1 (Newton's form)."""

    differences: tuple[Counts, ...]

    @classmethod
    def through(cls, values: Sequence[Counts]) -> Polynomial:
        """Return the polynomial of the least degree through values at 1, 2, 3, ..."""
        differences = []
        while values:
            differences.append(values[0])
            values = [after - before for before, after in pairwise(values)]
        return cls(tuple(differences))

    def at(self, number: int) -> Counts:
        """Return the counts at `number`, 1 or more."""
        return sum((d * comb(number - 1, k) for k, d in enumerate(self.differences)), Counts())


@dataclass(frozen=True)
class Bilinear:
    """Counts of a small module as an exact function of the tokens of its map, and of the map it reads (`keys`)."""

    constant: Counts
    per_token: Counts
    per_key: Counts = Counts()
    per_token_and_key: Counts = Counts()

    def at(self, tokens: Any, keys: Any = 0) -> Counts:
        """Return the counts for maps of `tokens` and `keys` tokens (integers or integer arrays)."""
        of_map: Counts = self.constant + self.per_token * tokens
        of_key: Counts = self.per_key * keys + self.per_token_and_key * (tokens * keys)
        return of_map + of_key

    def __add__(self, other: Bilinear) -> Bilinear:
        return Bilinear(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def named(self) -> dict[str, Counts]:
        """Return the coefficients by name; `Bilinear(**named)` is this value again."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def to_json(named: Mapping[str, Counts]) -> dict[str, list[int]]:
    """Return named counts as JSON values."""
    return {name: list(counts.values()) for name, counts in named.items()}


def from_json(data: Any) -> dict[str, Counts]:
    """Return the named counts of `to_json`."""
    return {name: Counts(*values) for name, values in data.items()}
