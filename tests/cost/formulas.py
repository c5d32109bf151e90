"""The papers' FLOPs written out as formulas, by hand and without the network: what `published` must give.

Source: how the published figures were counted (docs/accounting.md), line by line.
"""

from piip_explore import catalog
from piip_explore.catalog import ConvNeXt
from piip_explore.design import Branch, Design, Interaction


def published(design: Design) -> int:
    """Multiply-accumulates of a design under the published accounting."""
    separate = design.merge.kind == "separate-heads"
    total = sum(convnext(b) if isinstance(b.spec, ConvNeXt) else vit(b, separate) for b in design.branches)
    if separate:
        dims = [design.branches[i].spec.out_dim for i in design.out]
        total += sum(2 * dim + 1000 * dim for dim in dims)
    if design.interaction is not None:
        for source, query in design.directed_pairs:
            total += interactions(
                design.branches[source], design.branches[query], design.interaction, design.merge.kind == "none"
            )
    return total + merge(design)


def vit(branch: Branch, separate: bool) -> int:
    spec, patches = branch.spec, branch.grid**2
    tokens = patches + (separate or spec.class_token) + spec.registers
    matrices = 3 if spec.activation == "swiglu" else 2
    total = spec.patch**2 * 3 * spec.dim * patches
    total += 2 * spec.dim * tokens if spec.embed_norm else spec.dim * patches  # CLIP: a norm and no bias
    norm = 2 * spec.dim * tokens if spec.norm == "layer" else 0
    for block in range(spec.depth):
        window = branch.block_window(block)
        span = patches if window is None else window**2
        total += (4 + matrices * spec.mlp_ratio) * spec.dim**2 * tokens + 2 * norm + 2 * patches * span * spec.dim
    return total


def convnext(branch: Branch) -> int:
    spec, side = branch.spec, branch.grid
    total = (3 * spec.patch**2 + 1 + 2) * spec.dims[0] * side**2
    for stage, (dim, depth) in enumerate(zip(spec.dims, spec.depths, strict=True)):
        if stage:
            before = spec.dims[stage - 1]
            total += 2 * before * side**2
            side //= 2
            total += (4 * before + 1) * dim * side**2
        total += depth * ((49 + 1) * dim + 2 * dim + 8 * dim * dim) * side**2
    return total


def after(branch: Branch, block: int) -> tuple[int, int]:
    """Tokens and channels after a block."""
    side = branch.grid
    if isinstance(branch.spec, ConvNeXt):
        for _ in range(branch.spec.stages[block]):
            side //= 2
    return side**2, branch.spec.width(block)


def interactions(source: Branch, query: Branch, options: Interaction, first: bool) -> int:
    total = 0
    ends = zip(*(catalog.positions(b.spec, options.count) for b in (source, query)), strict=True)
    sampled = after(query, catalog.positions(query.spec, options.count)[0])[0]
    for end_source, end_query in ends:
        (keys, width), (queries, dim) = after(source, end_source), after(query, end_query)
        if options.project:
            total += width * dim * keys + 2 * dim * (keys + 2 * queries)
            width = dim
        if options.attention == "deformable":
            values, samples = int(dim * options.ratio), options.heads * options.points
            total += 3 * samples * dim * queries + width * values * keys + values * dim * queries
            total += 5 * (sampled if first else queries) * options.points * dim
        else:
            total += 2 * dim * dim * queries + 2 * width * dim * keys + 2 * queries * keys * dim
        hidden = int(dim * options.ffn)
        total += (2 * dim + 9 + 1) * hidden * queries
    return total


def merge(design: Design) -> int:
    kind = "linear" if design.merge.kind == "conv" else design.merge.kind
    if kind not in ("linear", "conv-multilevel"):
        return 0
    count = design.interaction.count if design.interaction else 1
    levels = [0, 1, count - 2, count - 1] if kind == "conv-multilevel" else [count - 1]
    ends = [catalog.positions(branch.spec, count) for branch in design.branches]
    target, total = design.order[-1], 0
    for level in levels:
        width = after(design.branches[target], ends[target][level])[1]
        for i in design.out:
            tokens, dim = after(design.branches[i], ends[i][level])
            if kind == "linear":
                total += 2 * dim * tokens + (0 if i == target else (dim * width + 2 * width) * tokens)
            else:
                total += (2 + 1) * width * tokens + (0 if i == target else 9 * dim * width * tokens)
    return total
