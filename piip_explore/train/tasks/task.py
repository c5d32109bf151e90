"""What every task offers to the loop that trains it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from piip_explore.datasets import DataSet, Split
from piip_explore.errors import InputError
from piip_explore.export.checkpoints import find_weights, read_checkpoint
from piip_explore.models import Pyramid, build
from piip_explore.models.weights import load_branch
from piip_explore.train.samples import PreparedPictures
from piip_explore.train.settings import Settings

Losses = dict[str, Tensor]
Gather = Callable[[list[Any]], list[Any]]
"""Returns the items of all processes, given those of this one."""


class TrainingTask(ABC):
    """One kind of training.

    Attributes:
        settings: what is trained, on what and how.
        data: the pictures.
        metric: the name of the score, in percent.
    """

    metric: str

    def __init__(self, settings: Settings, data: DataSet) -> None:
        self.settings, self.data = settings, data

    @abstractmethod
    def network(self) -> nn.Module:
        """Return the network with its first weights.

        Raises:
            InputError: the design cannot be trained for this, or pre-trained weights do not fit it.
        """

    @abstractmethod
    def pyramid(self, network: nn.Module) -> Pyramid:
        """Return the design's network within a network of this task."""

    @abstractmethod
    def samples(self, split: Split) -> PreparedPictures:
        """Return the pictures of a split: augmented for training, as they are judged for validation."""

    @abstractmethod
    def collate(self, items: list[Any]) -> Any:
        """Return a batch of samples."""

    @abstractmethod
    def losses(self, model: nn.Module, batch: Any, device: torch.device) -> Losses:
        """Return the losses of a training batch by name; their sum is what is minimised."""

    @abstractmethod
    def judge(
        self, network: nn.Module, batches: Iterable[Any], device: torch.device, gather: Gather
    ) -> dict[str, float]:
        """Return the metrics on batches of validation pictures, `score` first; all processes take part."""

    def build(self, **options: Any) -> Pyramid:
        """Return the design's network with the recipe's options and pre-trained branches.

        Raises:
            InputError: the design's merge does not serve the task, or pre-trained weights do not fit it.
        """
        recipe = self.settings.recipe
        if self.settings.design.merge.kind == "separate-heads" and self.settings.task != "classification":
            raise InputError(
                "merge=separate-heads makes a classifier: choose merge=conv, or train on imagefolder:FOLDER"
            )
        pyramid = build(
            self.settings.design,
            drop_path=recipe.drop_path,
            interaction_drop_path=recipe.interaction_drop_path,
            checkpointing=recipe.checkpointing,
            **options,
        )
        for number, name in self.settings.pretrained:
            try:
                load_branch(pyramid.branches[number - 1], _of_branch(number, name))  # type: ignore[arg-type]
            except InputError as error:
                raise InputError(f"branch {number}, '{name}': {error}") from None
        return pyramid


def _of_branch(number: int, name: str) -> dict[str, Tensor]:
    """Return a file's tensors; of a whole network of ours, those of the branch of the same number."""
    tensors, prefix = read_checkpoint(find_weights(name)).tensors, f"branches.{number - 1}."
    mine = {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}
    return mine or tensors
