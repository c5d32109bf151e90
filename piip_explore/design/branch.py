"""One branch of a design, its text form, and the order of branches."""

from __future__ import annotations

import re
from dataclasses import dataclass

from piip_explore import catalog
from piip_explore.errors import InputError

MAX_RESOLUTION = 1 << 16
"""The largest resolution of a branch (pixels); more than that is taken for a mistake."""

NO_WINDOW = "none"
"""The text form of global attention."""

_SIZE = re.compile(r"[0-9]{1,9}")
_WINDOW = re.compile(r"w([0-9]{1,9})(?:g([0-9]{1,9}))?")


@dataclass(frozen=True)
class Branch:
    """One branch: a model at a resolution (pixels, square), with optional window attention.

    `window` is the side of the attention windows in patches, None for global attention; with `global_every` = K, blocks
    K, 2K, ... (counted from 1) are global.

    Raises:
        InputError: unknown model, a resolution that the patch does not divide or that is above `MAX_RESOLUTION`, or a
            window on a convolutional model.
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
        if self.resolution > MAX_RESOLUTION:
            raise InputError(f"resolution {self.resolution} of '{self.model}': expected at most {MAX_RESOLUTION}")
        if isinstance(spec, catalog.ConvNeXt):
            if self.window is not None or self.global_every is not None:
                raise InputError(f"'{self.model}' has no attention windows: drop ':w{self.window}'")
            if self.grid < (least := 1 << len(spec.depths) - 1):
                raise InputError(f"'{self}': '{self.model}' needs at least {least * spec.patch} pixels")
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
        """Side of the map after the patch embedding (ViT) or the stem (ConvNeXt)."""
        return self.resolution // self.spec.patch

    def block_window(self, block: int) -> int | None:
        """Window of block number `block` (from 0), None where its attention is global."""
        if self.global_every and (block + 1) % self.global_every == 0:
            return None
        return self.window

    def check_channels(self, channels: int) -> None:
        """Check that the branch takes images with this many channels; models of other packages take three only.

        Raises:
            InputError: it does not.
        """
        if isinstance(self.spec, catalog.OwnBranch) and channels != 3:
            raise InputError(f"'{self}' is another package's model, which takes images of 3 channels, not {channels}")

    @classmethod
    def parse(cls, form: str) -> Branch:
        """Parse the text form, `model@resolution`, followed by `:wN` or `:wNgK` for windows.

        Raises:
            InputError: the sentence names the token and what was expected.
        """
        model, at, rest = form.partition("@")
        size, colon, window = rest.partition(":")
        if not at or not _SIZE.fullmatch(size):
            raise InputError(
                f"branch '{form}': expected model@resolution, such as 'vit_base@448' or 'vit_base@448:w14'"
            )
        if not colon:
            return cls(model, int(size))
        try:
            windows = parse_window(window)
        except InputError:
            raise InputError(
                f"window ':{window}' of branch '{form}': expected ':wN' or ':wNgK', such as ':w14' or ':w14g3'"
            ) from None
        return cls(model, int(size), *windows)

    @property
    def window_text(self) -> str:
        """The windows' text form: `none`, `w14` or `w14g3`."""
        every = f"g{self.global_every}" if self.global_every else ""
        return f"w{self.window}{every}" if self.window else NO_WINDOW

    def __str__(self) -> str:
        return f"{self.model}@{self.resolution}" + (f":{self.window_text}" if self.window else "")


def parse_window(form: str) -> tuple[int | None, int | None]:
    """Parse the windows' text form: return `Branch.window` and `Branch.global_every`.

    Raises:
        InputError: it is neither `none` nor `wN` nor `wNgK`.
    """
    if form == NO_WINDOW:
        return None, None
    match = _WINDOW.fullmatch(form)
    if match is None or any(number and int(number) == 0 for number in match.groups()):
        raise InputError(f"window '{form}': expected {NO_WINDOW}, wN or wNgK, such as w14 or w14g3")
    side, every = match.groups()
    return int(side), int(every) if every else None


def rank(branch: Branch) -> tuple[int, int, int, str, int, int]:
    """Sort key of branches: highest resolution first, then the narrower model; only equal branches tie."""
    spec = branch.spec
    return (
        -branch.resolution,
        spec.out_dim,
        spec.weights,
        branch.model,
        branch.window or 0,
        branch.global_every or 0,
    )
