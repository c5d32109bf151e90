"""Random designs of every family, for property tests."""

from dataclasses import replace

from hypothesis import assume
from hypothesis import strategies as st

from piip_explore import catalog
from piip_explore.design import Branch, Design, Interaction, Merge
from piip_explore.errors import InputError

VITS = [
    "vit[depth=4,dim=32,heads=2]",
    "vit[depth=5,dim=64,heads=4,patch=8]",
    "vit[depth=12,dim=64,heads=4]",
    "short_clip",
    "short_beit",
    "short_intern",
    "short_dinov2_reg",
    "short_dinov3_plus",
    "short_pe",
]
CONVNEXTS = ["convnext[depths=1-1-2-1,dims=32-32-64-96]", "convnext[depths=2-1-3-1,dims=32-64-64-64,patch=2]"]
CONVNEXTS += ["convnext[depths=3-3-9-3,dims=32-64-64-128]"]

SMALL = {"depth": 4, "dim": 64, "heads": 2}
SHORT_MODELS = {
    "short_clip": replace(catalog.MODELS["clip_base"], **SMALL),
    "short_beit": replace(catalog.MODELS["beit_base"], **SMALL),
    "short_intern": replace(catalog.MODELS["intern_vit_6b"], **SMALL),
    "short_dinov2_reg": replace(catalog.MODELS["dinov2_reg_base"], **SMALL, patch=16),
    "short_dinov3_plus": replace(catalog.MODELS["dinov3_small_plus"], **SMALL),
    "short_pe": replace(catalog.MODELS["pe_core_base"], **SMALL),
}
"""The catalog's other families, with few and narrow blocks; in the catalog while tests of this room run."""


@st.composite
def branches(draw):
    """A branch whose map is often odd and seldom a multiple of its windows."""
    if draw(st.integers(0, 2)) == 0:
        model = draw(st.sampled_from(CONVNEXTS))
        return Branch(model, draw(st.integers(16, 60)) * 4)
    model = draw(st.sampled_from(VITS))
    window = draw(st.none() | st.integers(1, 9))
    every = None if window is None else draw(st.none() | st.integers(1, 5))
    return Branch(model, draw(st.integers(2, 20)) * 16, window, every)


INTERACTIONS = st.builds(
    Interaction,
    count=st.sampled_from([1, 2, 4, 5]),
    attention=st.sampled_from(["deformable", "regular"]),
    heads=st.sampled_from([1, 4, 16]),
    points=st.sampled_from([1, 4]),
    ratio=st.sampled_from([0.5, 1.0]),
    ffn=st.sampled_from([0.25, 0.3]),
    project=st.booleans(),
    direction=st.sampled_from(["both", "up", "down", "all"]),
)


@st.composite
def designs(draw):
    """A design of one to four branches with any interaction and merge that fits them."""
    chosen = tuple(draw(st.lists(branches(), min_size=1, max_size=4)))
    if len(chosen) == 1:
        return Design(chosen)
    kind = draw(st.sampled_from(["conv", "linear", "conv-multilevel", "separate-heads", "none"]))
    numbers = st.lists(st.integers(1, len(chosen)), min_size=1, unique=True).map(lambda out: tuple(sorted(out)))
    merge = Merge(kind, draw(st.none() | numbers), draw(st.sampled_from(["published", "scalar", "channel"])))
    try:
        return Design(chosen, draw(st.none() | INTERACTIONS), merge)
    except InputError:
        assume(False)
