"""What a network returns is told before it is built."""

import pytest
import torch

from piip_explore.design import Design
from piip_explore.integrations.feature_maps import feature_maps
from piip_explore.models import build

TINY, SMALL = "vit[depth=4,dim=32,heads=2]", "vit[depth=4,dim=64,heads=2]"
CONV = "convnext[depths=1-1-1-1,dims=32-32-64-96]"


@pytest.mark.parametrize(
    "text",
    [
        f"{TINY}@64",
        f"{CONV}@64",
        f"{TINY}@192 {SMALL}@128; interactions=2; heads=2; merge=linear",
        f"{SMALL}@96 {TINY}@192; interactions=2; heads=2",
        f"{TINY}@192 {SMALL}@96; interactions=0; merge=none; out=2",
        f"{TINY}@192 {SMALL}@96; interactions=2; heads=2; merge=separate-heads",
        f"{CONV}@192 {TINY}@96; interactions=4; heads=4; merge=conv-multilevel",
        f"{TINY}@192 {CONV}@128; interactions=4; heads=4; merge=conv-multilevel",
    ],
)
def test_channels_and_strides_are_those_of_the_maps(text):
    design = Design.parse(text)
    with torch.device("meta"):
        network = build(design)
        network.head = None
        maps = network(torch.empty(1, 3, design.resolution, design.resolution))
    told = feature_maps(design)
    assert [one.channels for one in told] == [x.shape[1] for x in maps]
    assert [design.resolution / one.stride for one in told] == [x.shape[2] for x in maps]
