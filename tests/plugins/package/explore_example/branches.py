"""A branch of blocks that mix by pooling."""

from torch import nn

from piip_explore.catalog import OwnBranch

pool_tiny = OwnBranch(
    depths=(1, 1, 2, 1), dims=(16, 32, 64, 128), patch=4, modules="explore_example.branches:pool_tiny_modules"
)
liar = OwnBranch(depths=(5,), dims=(16,), patch=4, modules="explore_example.branches:liar_modules")


def block(dim):
    return nn.Sequential(nn.Conv2d(dim, dim, 3, padding=1, groups=dim), nn.Conv2d(dim, dim, 1))


def pool_tiny_modules():
    blocks = [block(16)]
    for dim, depth in ((32, 1), (64, 2), (128, 1)):
        blocks += [nn.Conv2d(dim // 2, dim, 2, 2), *(block(dim) for _ in range(depth))]
    return nn.Conv2d(3, 16, 4, 4), blocks


def liar_modules():
    return nn.Conv2d(3, 16, 4, 4), [block(16), *(nn.Conv2d(16, 16, 3) for _ in range(4))]
