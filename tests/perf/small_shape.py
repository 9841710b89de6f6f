"""A shape that is small enough to count on paper."""

from libra_bench.perf.shape import ModelShape

# 28 / 14 = 2, so 4 patches and 5 positions in the tower, of which 4 reach the prompt.
# An image's patch has 3 * 14 * 14 = 588 numbers. Own width 4 * 3 = 12, shared 2 * 3 = 6.
SMALL = ModelShape(
    tower_width=6,
    tower_layers=4,
    tower_heads=2,
    tower_mlp=10,
    image=28,
    patch=14,
    connector_layers=4,
    hidden=8,
    intermediate=12,
    layers=3,
    heads=4,
    key_value_heads=2,
    head_width=3,
    vocabulary=20,
)
