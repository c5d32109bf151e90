"""Designs: frozen values with one text form, validation and a stable id. No torch.

    vit_tiny@1120:w14 vit_small@896:w14 vit_base@448:w14; interactions=12; merge=linear

`Design.parse` and `str` are inverse: parsing a printed design gives an equal design, and printing a parsed text gives
its canonical form (options at their default are left out, a window as large as the map is dropped).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from piip_explore import catalog
from piip_explore.errors import InputError

Attention = Literal["deformable", "regular"]
Direction = Literal["both", "up", "down", "all"]
MergeKind = Literal["conv", "linear", "conv-multilevel", "separate-heads", "none"]


@dataclass(frozen=True)
class Branch:
    """One branch: a model at a resolution (pixels, square), with optional window attention.

    `window` is the side of the attention windows in patches, None for global attention; with `global_every` = K every
    K-th block (the K-th, 2K-th, ...) is global all the same.

    Raises:
        InputError: unknown model, a resolution that the patch does not divide, or a window on a convolutional model.
    """

    model: str
    resolution: int
    window: int | None = None
    global_every: int | None = None

    def __post_init__(self) -> None:
        spec = catalog.model(self.model)
        object.__setattr__(self, "model", catalog.canonical_name(self.model))
        if self.resolution < 1 or self.resolution % spec.patch:
            raise InputError(
                f"resolution {self.resolution} of '{self.model}': expected a multiple of its patch, {spec.patch}"
            )
        if isinstance(spec, catalog.ConvNeXt):
            if self.window is not None or self.global_every is not None:
                raise InputError(f"'{self.model}': a ConvNeXt branch has no attention windows; drop ':w{self.window}'")
            if self.grid < 8:
                raise InputError(f"'{self}': a ConvNeXt branch needs at least {8 * spec.patch} pixels")
            return
        for name, value in (("window", self.window), ("global_every", self.global_every)):
            if value is not None and value < 1:
                raise InputError(f"{name} {value} of '{self.model}': expected a positive whole number")
        if self.global_every and not self.window:
            raise InputError(f"'{self.model}': every K-th block global (gK) needs a window (wN)")
        if self.window and (self.window >= self.grid or self.global_every == 1):
            object.__setattr__(self, "window", None)
            object.__setattr__(self, "global_every", None)
        if self.global_every and self.global_every > spec.blocks:
            object.__setattr__(self, "global_every", None)

    @property
    def spec(self) -> catalog.Model:
        """The model's structure."""
        return catalog.model(self.model)

    @property
    def grid(self) -> int:
        """Side of the map of patches behind the embedding (ViT) or the stem (ConvNeXt)."""
        return self.resolution // self.spec.patch

    def block_window(self, block: int) -> int | None:
        """Window of block number `block` (from 0), None where its attention is global."""
        if self.global_every and (block + 1) % self.global_every == 0:
            return None
        return self.window

    def __str__(self) -> str:
        window = f":w{self.window}" if self.window else ""
        return f"{self.model}@{self.resolution}{window}" + (f"g{self.global_every}" if self.global_every else "")


@dataclass(frozen=True)
class Interaction:
    """The exchanges between branches: how many, by which attention, and in which directions.

    `ratio` is the width of the deformable attention's values over the query width, `ffn` the hidden width of the
    exchange's feed-forward network over the query width; `project=False` drops the projection and all three norms.
    `direction`: `both` ways between adjacent branches, `up` (the low resolution informs the high), `down`, or `all`
    (both ways between every two branches). Regular attention has no points and keeps the full width: there `points`
    and `ratio` mean nothing and read as their defaults.
    """

    count: int = 12
    attention: Attention = "deformable"
    heads: int = 16
    points: int = 4
    ratio: float = 0.5
    ffn: float = 0.25
    project: bool = True
    direction: Direction = "both"

    def __post_init__(self) -> None:
        for name in ("count", "heads", "points"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} {getattr(self, name)}: expected a positive whole number")
        for name in ("ratio", "ffn"):
            if not 0 < getattr(self, name) <= 16:
                raise InputError(f"{name} {getattr(self, name):g}: expected a number above 0 and up to 16")
        _expect("attention", self.attention, get_args(Attention))
        _expect("direction", self.direction, get_args(Direction))
        if self.attention == "regular":
            object.__setattr__(self, "points", type(self).points)
            object.__setattr__(self, "ratio", type(self).ratio)

    def value_width(self, query_width: int) -> int:
        """Width of the values that a query branch of `query_width` channels attends to."""
        return int(query_width * self.ratio) if self.attention == "deformable" else query_width

    def pairs(self, branches: int) -> tuple[tuple[int, int], ...]:
        """All (from, to) exchanges between `branches` branches, numbered from 0 at the highest resolution.

        Pairs run from the highest resolution to the lowest (spec, forward pass, point 4).
        """
        reach = branches if self.direction == "all" else 2
        pairs = [(high, low) for high in range(branches) for low in range(high + 1, min(high + reach, branches))]
        up, down = self.direction != "down", self.direction != "up"
        return tuple(pair for high, low in pairs for pair, wanted in (((high, low), down), ((low, high), up)) if wanted)

    def check(self, branch: Branch, *, query: bool) -> None:
        """Check that the exchanges fit a branch; `query`: the branch is written to by them, not only read.

        Raises:
            InputError: too few blocks, or an attention width that the heads do not divide.
        """
        spec = branch.spec
        if self.count > spec.blocks:
            raise InputError(f"interactions={self.count}: '{branch}' has only {spec.blocks} blocks to follow")
        if not query:
            return
        for channels in {spec.width(block): None for block in catalog.positions(spec, self.count)}:
            width = self.value_width(channels)
            if width == 0:
                raise InputError(f"ratio={self.ratio:g} leaves no attention channel in '{branch}'")
            if width % self.heads:
                raise InputError(
                    f"heads={self.heads} does not divide the attention width {width} of '{branch}' "
                    f"({channels} channels): choose a divisor of {width}"
                )
            if int(channels * self.ffn) == 0:
                raise InputError(f"ffn={self.ffn:g} leaves no hidden channel in '{branch}'")


@dataclass(frozen=True)
class Merge:
    """How the branches' last maps become the output.

    `out` are the numbers of the branches that feed it (from 1, in text order), None for all of them.
    """

    kind: MergeKind = "conv"
    out: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        _expect("merge", self.kind, get_args(MergeKind))

    def levels(self, interaction: Interaction | None) -> tuple[int, ...]:
        """Numbers of the exchanges (from 0) after which maps are merged beside the final ones.

        Published with twelve exchanges: after 0, 1 and 10, which for ConvNeXt are the ends of its first three stages;
        with another number, the first two and the last but one.
        """
        if self.kind != "conv-multilevel" or interaction is None:
            return ()
        return (0, 1, interaction.count - 2)

    def check(self, interaction: Interaction | None, branch: Branch) -> None:
        """Check that the merge fits the exchanges and a branch.

        Raises:
            InputError: too few exchanges to merge after, or a branch without the tokens that the merge reads.
        """
        if self.kind == "conv-multilevel" and (interaction is None or interaction.count < 4):
            raise InputError("merge=conv-multilevel merges after exchanges too: it needs interactions=4 or more")
        if self.kind == "separate-heads" and isinstance(branch.spec, catalog.ConvNeXt):
            raise InputError("merge=separate-heads reads tokens of ViT branches: it takes no ConvNeXt branch")


def _expect(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InputError(f"{name} '{value}': expected one of {', '.join(allowed)}")


@dataclass(frozen=True)
class Design:
    """One architecture: branches in text order, exchanges (None: there are none) and merge.

    Raises:
        InputError: parts that do not fit each other; the sentence names the part.
    """

    branches: tuple[Branch, ...]
    interaction: Interaction | None = None
    merge: Merge = Merge("none")

    def __post_init__(self) -> None:
        if not self.branches:
            raise InputError("a design needs at least one branch, such as 'vit_base@448'")
        out = self.merge.out
        if out is not None:
            if sorted(set(out)) != list(out) or not set(out) <= set(range(1, len(self.branches) + 1)) or not out:
                numbers = ",".join(map(str, out))
                raise InputError(
                    f"out={numbers}: expected different branch numbers from 1 to {len(self.branches)} in rising order"
                )
            if len(out) == len(self.branches):
                object.__setattr__(self, "merge", replace(self.merge, out=None))
        if len(self.branches) == 1:
            if self.interaction is not None or self.merge.kind != "none":
                raise InputError(
                    f"'{self.branches[0]}' alone is a plain single-branch model: it takes no exchanges and no merge"
                )
            return
        if self.interaction is not None:
            if self.interaction.direction == "all" and len(self.branches) == 2:
                object.__setattr__(self, "interaction", replace(self.interaction, direction="both"))
            queries = {query for _, query in self.directed_pairs}
            for index, branch in enumerate(self.branches):
                self.interaction.check(branch, query=index in queries)
        for branch in self.branches:
            self.merge.check(self.interaction, branch)

    @property
    def order(self) -> tuple[int, ...]:
        """Indices of the branches from the highest resolution to the lowest; at equal resolution the wider is last."""
        return tuple(sorted(range(len(self.branches)), key=lambda i: rank(self.branches[i])))

    @property
    def resolution(self) -> int:
        """The largest branch's resolution, the size of the input image (pixels)."""
        return max(branch.resolution for branch in self.branches)

    @property
    def out(self) -> tuple[int, ...]:
        """Indices (from 0, text order) of the branches that feed the merge."""
        if self.merge.out is None:
            return tuple(range(len(self.branches)))
        return tuple(number - 1 for number in self.merge.out)

    @property
    def directed_pairs(self) -> tuple[tuple[int, int], ...]:
        """All (from, to) exchanges of one interaction as branch indices, in the order in which their pairs run.

        Pairs run from the highest resolution to the lowest (spec, forward pass, point 4).
        """
        if self.interaction is None:
            return ()
        order = self.order
        return tuple((order[source], order[query]) for source, query in self.interaction.pairs(len(order)))

    def sorted(self) -> Design:
        """Return the same design with its branches from the highest resolution to the lowest."""
        place = {index: rank for rank, index in enumerate(self.order)}
        out = self.merge.out and tuple(sorted(place[number - 1] + 1 for number in self.merge.out))
        branches = tuple(self.branches[index] for index in self.order)
        return replace(self, branches=branches, merge=replace(self.merge, out=out))

    @property
    def id(self) -> str:
        """A stable name of twelve hexadecimal digits; the order of the branches does not change it."""
        return hashlib.sha256(str(self.sorted()).encode()).hexdigest()[:12]

    @classmethod
    def parse(cls, text: str) -> Design:
        """Parse the text form.

        Raises:
            InputError: the sentence names the token and what was expected.
        """
        head, *options = text.split(";")
        branches = tuple(_parse_branch(token) for token in head.split())
        if not branches:
            raise InputError(f"no branch in '{text}': expected something like 'vit_base@448:w14'")
        values = _parse_options(options)
        kind, out = values.pop("merge", None), values.pop("out", None)
        if len(branches) == 1:
            if values.pop("count", 0) or values or kind not in (None, "none") or out not in (None, (1,)):
                raise InputError(f"'{branches[0]}' alone is a plain single-branch model: drop everything after ';'")
            return cls(branches)
        interaction = None if values.get("count") == 0 else Interaction(**values)
        if interaction is None and len(values) > 1:
            raise InputError("interactions=0 leaves no exchange: drop its other options (attention, heads, ...)")
        return cls(branches, interaction, Merge(kind or "conv", out))

    def __str__(self) -> str:
        parts = [" ".join(map(str, self.branches))]
        if len(self.branches) > 1:
            parts += _print_interaction(self.interaction)
            if self.merge.kind != "conv":
                parts.append(f"merge={self.merge.kind}")
            if self.merge.out is not None:
                parts.append(f"out={','.join(map(str, self.merge.out))}")
        return "; ".join(parts)


def rank(branch: Branch) -> tuple[int, int, int, str, int, int]:
    """Sort key of branches: the highest resolution first, at equal resolution the wider last; no ties but equals."""
    spec = branch.spec
    return (
        -branch.resolution,
        spec.out_dim,
        spec.weights,
        branch.model,
        branch.window or 0,
        branch.global_every or 0,
    )


def _parse_branch(token: str) -> Branch:
    model, at, rest = token.partition("@")
    size, colon, window = rest.partition(":")
    if not at or not size.isdecimal():
        raise InputError(f"branch '{token}': expected model@resolution, such as 'vit_base@448' or 'vit_base@448:w14'")
    if not colon:
        return Branch(model, int(size))
    side, g, every = window.removeprefix("w").partition("g")
    if not window.startswith("w") or not side.isdecimal() or (g and not every.isdecimal()):
        raise InputError(
            f"window ':{window}' of branch '{token}': expected ':wN' or ':wNgK', such as ':w14' or ':w14g3'"
        )
    return Branch(model, int(size), int(side), int(every) if g else None)


_FIELDS = {"interactions": "count"}
_OPTIONS = ["interactions", *(f.name for f in fields(Interaction) if f.name != "count"), "merge", "out"]


def _parse_options(items: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for item in items:
        key, equals, value = (part.strip() for part in item.partition("="))
        if not item.strip() and item is items[-1]:
            continue  # a closing ';'
        if key not in _OPTIONS or not equals:
            raise InputError(f"option '{item.strip()}': expected key=value with one of {', '.join(_OPTIONS)}")
        name = _FIELDS.get(key, key)
        if name in values:
            raise InputError(f"option '{key}' is given twice")
        values[name] = _parse_value(key, value)
    return values


def _parse_value(key: str, value: str) -> Any:
    if key in ("attention", "direction", "merge"):
        return value
    if key == "project":
        _expect("project", value, ("yes", "no"))
        return value == "yes"
    if key == "out":
        if value == "all":
            return None
        numbers = value.split(",")
        if not all(number.strip().isdecimal() for number in numbers):
            raise InputError(f"out={value}: expected 'all' or branch numbers such as 'out=1,3'")
        return tuple(sorted(int(number) for number in numbers))
    try:
        return float(value) if key in ("ratio", "ffn") else int(value)
    except ValueError:
        raise InputError(f"option '{key}={value}': expected a number") from None


def _print_interaction(interaction: Interaction | None) -> list[str]:
    if interaction is None:
        return ["interactions=0"]
    texts = []
    for field in fields(Interaction):
        value = getattr(interaction, field.name)
        if value != field.default:
            shown = _print_value(value)
            texts.append(f"{'interactions' if field.name == 'count' else field.name}={shown}")
    return texts


def _print_value(value: bool | int | float | str) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    # The shortest digits that read back as the same number.
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
