"""The main categories of design attributes the built-in designer knows (paper Tables 9 and 10)."""

from fairnad.ideas.attribute_tree import Category, Granularity, Target

_PERFORMANCE, _EFFICIENCY = Target.PERFORMANCE, Target.EFFICIENCY
_OPERATION, _BLOCK, _NETWORK = Granularity.OPERATION, Granularity.BLOCK, Granularity.NETWORK

FEATURES = Category(_PERFORMANCE, _OPERATION, "feature extraction operators")
NORMALIZATION = Category(_PERFORMANCE, _OPERATION, "normalization")
ACTIVATION = Category(_PERFORMANCE, _OPERATION, "activation")
ENCODING = Category(_PERFORMANCE, _BLOCK, "input encoding")
RESIDUAL = Category(_PERFORMANCE, _BLOCK, "residual connections and multi-branch architectures")
FUSION = Category(_PERFORMANCE, _BLOCK, "feature fusion and aggregation")
RECALIBRATION = Category(_PERFORMANCE, _BLOCK, "adaptive feature recalibration")
PATTERNS = Category(_PERFORMANCE, _NETWORK, "network structural patterns")
ORDER = Category(_PERFORMANCE, _NETWORK, "layer arrangement and order")
CONVOLUTION = Category(_EFFICIENCY, _OPERATION, "efficient convolution")
TRANSFORMER = Category(_EFFICIENCY, _OPERATION, "efficient transformer")
BLOCKS = Category(_EFFICIENCY, _BLOCK, "efficient block structures")
DENSE = Category(_EFFICIENCY, _BLOCK, "dense connectivity for feature reuse")
SCALING = Category(_EFFICIENCY, _NETWORK, "network-wise scaling")
DYNAMIC = Category(_EFFICIENCY, _NETWORK, "dynamic computation")

CATEGORIES = (
    FEATURES, NORMALIZATION, ACTIVATION, ENCODING, RESIDUAL, FUSION, RECALIBRATION, PATTERNS, ORDER,
    CONVOLUTION, TRANSFORMER, BLOCKS, DENSE, SCALING, DYNAMIC,
)  # fmt: skip
"""The fifteen main categories."""
