"""Pictures as they are trained on: each drawn from random numbers that its place in the run decides."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from piip_explore.datasets import SplitRows
from piip_explore.errors import InputError

Key = tuple[int, int]
"""The epoch and row of a picture."""


def reseed(*place: int) -> None:
    """Seed every generator that augmentation, dropout and sampling draw from, by a place in the run.

    A run that resumes draws what it would have drawn without the interruption, and has no generators to restore.
    """
    first, second = (int(n) for n in np.random.SeedSequence(place).generate_state(2))
    torch.manual_seed(first << 32 | second)
    np.random.seed(second)  # timm's augmentation draws from here
    random.seed(first)


class PreparedPictures(Dataset[Any]):
    """Rows of a split, each as `prepare` makes it of picture and annotation; its index is a `Key`.

    Raises:
        InputError: when an item is read, that cannot be trained on.
    """

    def __init__(self, rows: SplitRows, prepare: Callable[[int, Any, Any], Any], seed: int) -> None:
        self.rows, self.prepare, self.seed = rows, prepare, seed

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: Key) -> Any:
        epoch, row = key
        reseed(self.seed, epoch, row)
        return self.prepare(row, *self.rows.read(row))


def shares(count: int, batch: int, at_once: int, rank: int, world: int, seed: int, steps: range) -> Iterator[list[Key]]:
    """Yield the keys of one process, `at_once` or fewer at a time, step by step.

    Which rows a step sees depends on `seed` and its number alone, not on the number of processes.

    Args:
        count: rows of the split, at least `batch`.
        batch: rows of a step, over all `world` processes, which it is a multiple of.
        at_once: rows that a device runs at once.
        rank: the process.
        world: how many processes there are.
        seed: of the order.
        steps: the steps to yield, by their number in the run.
    """
    per_epoch = count // batch
    for step in steps:
        epoch, place = divmod(step, per_epoch)
        if place == 0 or step == steps.start:
            rows = np.random.default_rng((seed, epoch)).permutation(count)
        mine = rows[place * batch : (place + 1) * batch][rank::world]
        for start in range(0, len(mine), at_once):
            yield [(epoch, int(row)) for row in mine[start : start + at_once]]


def in_own_words(loader: Iterable[Any]) -> Iterator[Any]:
    """Yield the batches of a loader.

    Raises:
        InputError: a picture cannot be trained on; with its own sentence, even where another process read it.
    """
    try:
        yield from loader
    except InputError as error:  # PyTorch puts the traceback of the other process before the sentence
        raise InputError(str(error).rpartition("InputError: ")[2].strip()) from None
