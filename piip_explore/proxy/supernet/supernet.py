"""The supernet: its forward pass, its training, its cache, and the part of it that a run starts from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import torch
from safetensors.torch import load, save
from torch import Tensor

from piip_explore import cache, phases
from piip_explore.design import Design
from piip_explore.files import exclusive
from piip_explore.proxy.network import Network, Trainable
from piip_explore.proxy.presets import Preset, SupernetRecipe
from piip_explore.proxy.run import Run
from piip_explore.proxy.supernet.family import whole
from piip_explore.proxy.supernet.parts import part
from piip_explore.proxy.supernet.sampling import draw
from piip_explore.proxy.trainer import Progress, Training

_ONLY_BRANCH = "pyramid.branches.0."
_VIT_B_WIDTH = 768
_FIRST_SEED = 0
"""Where branches are all that is shared, every seed of a candidate starts from these, as from a public checkpoint."""


class Supernet(Trainable):
    """The network of a family's whole design; every step runs one design's part of it.

    Args:
        design: the whole design, at full scale.
        preset: the recipe; its `supernet` says what is drawn.
    """

    def __init__(self, design: Design, preset: Preset, seed: int) -> None:
        super().__init__()
        self.design, self.preset, self.seed = design, preset, seed
        self.small = preset.shrink(design)
        self.network = Network(self.small, preset)

    def forward(self, images: Tensor, step: int) -> Tensor:
        """Return the head's output for images (B, 3, S, S) in 0..255 through the design that `step` draws."""
        assert self.preset.supernet is not None
        small = draw(self.design, self.preset.supernet, self.preset.shrink, self.seed, step)
        skeleton, shapes = _skeleton(small, self.preset)
        skeleton.train(self.training)
        tensors = dict(self.network.named_parameters()) | dict(self.network.named_buffers())
        output: Tensor = torch.func.functional_call(skeleton, part(tensors, self.small, small, shapes), (images,))
        return output

    def parameter_groups(self, preset: Preset) -> list[dict[str, object]]:
        """Return AdamW's groups, as those of a run."""
        return self.network.parameter_groups(preset)


@lru_cache(maxsize=64)
def _skeleton(small: Design, preset: Preset) -> tuple[Network, dict[str, torch.Size]]:
    """Return a network without storage, and the shapes of its tensors: it borrows them from the supernet."""
    with torch.device("meta"):
        network = Network(small, preset)
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    return network, {name: tensor.shape for name, tensor in tensors.items()}


def weights(
    design: Design, preset: Preset, seed: int, device: torch.device, progress: Progress | None
) -> dict[str, Tensor]:
    """Return the tensors that the network of a full-scale design starts from, on the CPU.

    They are its part of its family's supernet of this seed, or its branches' parts of theirs. What the cache does not
    have is trained first; of several workers one trains and the others wait. In both, `progress` is called with no
    samples seen; while waiting, with a loss of NaN.
    """
    recipe = preset.supernet
    assert recipe is not None
    if recipe.shared == "everything":
        return _part_of(design.sorted(), preset, recipe, seed, device, progress)
    return _branches(design.sorted(), preset, recipe, _FIRST_SEED, device, progress)


def _branches(
    design: Design, preset: Preset, recipe: SupernetRecipe, seed: int, device: torch.device, progress: Progress | None
) -> dict[str, Tensor]:
    """Return the tensors of a sorted design's branches, each trained alone."""
    found = {}
    for index, branch in enumerate(_alone([design])):
        for name, tensor in _part_of(branch, preset, recipe, seed, device, progress).items():
            if name.startswith(_ONLY_BRANCH):
                found[f"pyramid.branches.{index}.{name.removeprefix(_ONLY_BRANCH)}"] = tensor
    return found


def missing(designs: Sequence[Design], preset: Preset, device: torch.device) -> list[tuple[str, Run]]:
    """Return the training runs, with their models, of what a first seed of designs starts from and the cache lacks."""
    recipe = preset.supernet
    assert recipe is not None
    if recipe.shared != "everything":
        families = _lacking(_alone(designs), preset, recipe, device)
    else:
        families = _lacking(designs, preset, recipe, device)
        if recipe.branches is not None:
            families = [*_lacking(_alone(family for family, _ in families), preset, recipe.branches, device), *families]
    return [(_models(family), run) for family, run in families]


def _lacking(
    designs: Iterable[Design], preset: Preset, recipe: SupernetRecipe, device: torch.device
) -> list[tuple[Design, Run]]:
    """Return the families of these designs whose supernet the cache lacks, with its training run."""
    families = dict.fromkeys(whole(design, recipe.resolutions) for design in designs)
    runs = [(family, _run(family, preset, recipe, _FIRST_SEED, device)) for family in families]
    return [(family, run) for family, run in runs if not _path(run).exists()]


def _alone(designs: Iterable[Design]) -> Iterator[Design]:
    return (Design((branch,)) for design in designs for branch in design.branches)


def _run(family: Design, preset: Preset, recipe: SupernetRecipe, seed: int, device: torch.device) -> Run:
    """Return the training run of a family's supernet."""
    share = family.branches[0].spec.out_dim / _VIT_B_WIDTH if recipe.by_width else 1
    training = _training_preset(preset, recipe, round(share * recipe.samples))
    return Run(preset.shrink(family), training, seed, 1.0, device)


def _path(run: Run) -> Path:
    return cache.folder() / "supernets" / f"{run.key}.weights"


def _models(family: Design) -> str:
    return " and ".join(dict.fromkeys(branch.model for branch in family.branches))


def _part_of(
    design: Design, preset: Preset, recipe: SupernetRecipe, seed: int, device: torch.device, progress: Progress | None
) -> dict[str, Tensor]:
    """Return a sorted design's part of its family's supernet, from the cache or trained now."""
    family = whole(design, recipe.resolutions)
    run = _run(family, preset, recipe, seed, device)
    path, models = _path(run), _models(family)
    tell = progress and (lambda seen, total, loss: progress(0, total, loss))

    def wait() -> None:
        phases.tell(f"waiting for another process, which trains what {models} starts from")
        if tell is not None:
            tell(0, run.samples, math.nan)

    with exclusive(path.with_suffix(".lock"), wait):
        content = cache.read(path, run.key)
        if content is None:
            with phases.named(f"training what {models} starts from (once, then cached)"):
                content = _train(family, run, path, tell)
    wanted = preset.shrink(design)
    return part(load(content), run.design, wanted, _skeleton(wanted, preset)[1])


def _training_preset(preset: Preset, recipe: SupernetRecipe, samples: int) -> Preset:
    """Return the preset of the supernet's own training: what only concerns candidates is left out of its key."""
    return replace(
        preset,
        name="supernet",
        samples=samples,
        rate=recipe.rate,
        fresh_rate=recipe.fresh_rate,
        supernet=recipe,
        weights=(),
        val_images=1,
        compile=False,  # the same weights for both, and designs that differ at every step
    )


def _train(family: Design, run: Run, path: Path, progress: Progress | None) -> bytes:
    """Train a supernet and keep its weights at `path`; return them as a safetensors file's content."""
    recipe = run.preset.supernet
    assert recipe is not None
    torch.manual_seed(run.seed)
    supernet = Supernet(family, run.preset, run.seed)
    if recipe.branches is not None:
        supernet.network.freeze_branches()
        branches = _branches(family, run.preset, recipe.branches, run.seed, run.device, progress)
        supernet.network.load_state_dict(branches, strict=False)
    checkpoint = path.with_suffix(".checkpoint")
    status = Training(run, supernet, checkpoint).fit(progress)
    if status != "ok":
        raise RuntimeError(f"the supernet of '{family}' {status}: lower its rate ({run.preset.rate:g})")
    tensors = supernet.network.state_dict()
    content = save({name: value.cpu().contiguous() for name, value in tensors.items()})
    cache.write(path, run.key, content)
    checkpoint.unlink(missing_ok=True)
    return content
