"""Every transformation of the built-in designer, with the design attributes it serves (paper Tables 9 and 10)."""

from __future__ import annotations

from dataclasses import dataclass

from agents.builtin.adjustments import larger_kernel
from agents.builtin.block_edits import (
    change_inner_width,
    change_kernel,
    instead_of_activation,
    rewrite_convolution,
    swap_activation,
    swap_norm,
)
from agents.builtin.block_swaps import instead_of_blocks
from agents.builtin.categories import (
    ACTIVATION,
    BLOCKS,
    CONVOLUTION,
    DENSE,
    DYNAMIC,
    ENCODING,
    FEATURES,
    FUSION,
    NORMALIZATION,
    ORDER,
    PATTERNS,
    RECALIBRATION,
    RESIDUAL,
    SCALING,
    TRANSFORMER,
)
from agents.builtin.insertions import (
    Transform,
    after_stage,
    after_stem,
    in_branch,
    instead_of_convolution,
    instead_of_layers,
)
from agents.builtin.network_edits import (
    aggregate_stage,
    extra_stage,
    fuse_stages,
    instead_of_stem,
    normalize_head,
    separate_downsampling,
    shift_stride,
    stack_behind,
)
from agents.builtin.scaling import compound, shift_depth, steepen_widths, widen
from agents.builtin.sum_edits import bare_sum, beside_branch, in_shortcut, in_sum, pre_activation, weigh_terms
from agents.builtin.templates import attention, blocks, connections, convolutions, layers, mixers, recalibration, stems
from fairnad.ideas.attribute_tree import Category
from fairnad.ideas.idea import MutationTarget

NEW = frozenset({MutationTarget.NEW_MODULE})
MODIFY = frozenset({MutationTarget.MODIFY_MODULE})
EITHER = NEW | MODIFY
NETWORK = frozenset({MutationTarget.NETWORK})
ANY = EITHER | NETWORK


@dataclass(frozen=True)
class Transformation:
    """One way to carry an idea out.

    ``words`` are comma-separated phrases in lower case: see :meth:`score`.
    """

    name: str
    categories: tuple[Category, ...]
    targets: frozenset[MutationTarget]
    apply: Transform
    words: str

    def score(self, text: str, sub_category: str) -> int:
        """How well it fits an idea: two for each phrase its text holds, one more for each its sub-category does."""
        phrases = [phrase.strip() for phrase in self.words.split(",")]
        in_text = sum(phrase in text.lower() for phrase in phrases)
        return 2 * in_text + sum(phrase in sub_category.lower() for phrase in phrases)


_SEPARATED = rewrite_convolution(
    "nn.Sequential(nn.Conv2d({i}, {i}, {k}, {s}, {p}, groups={i}, bias=False), nn.Conv2d({i}, {o}, 1, {bias}))",
    "separable convolution",
)
_TALL_AND_WIDE = rewrite_convolution(
    "nn.Sequential(nn.Conv2d({i}, {o}, ({k}, 1), ({s}, 1), ({p}, 0), bias=False), "
    "nn.Conv2d({o}, {o}, (1, {k}), (1, {s}), (0, {p}), {bias}))",
    "tall and wide kernels",
)
_GROUPED = rewrite_convolution(
    "nn.Conv2d({i}, {o}, {k}, {s}, {p}, groups=math.gcd({o}, 4), {bias})", "grouped convolution", keeps_width=True
)
_DILATED = rewrite_convolution(
    "nn.Conv2d({i}, {o}, {k}, {s}, 2 * ({p}), dilation=2, {bias})", "dilated convolution", keeps_width=True
)
_ONE_GROUP = swap_norm("nn.GroupNorm(1, {0})", "normalization over all channels")
_SOME_GROUPS = swap_norm("nn.GroupNorm(math.gcd({0}, 8), {0})", "group normalization")
_NORMS = frozenset({"BatchNorm2d"})
_T = Transformation

# fmt: off
TRANSFORMATIONS: tuple[Transformation, ...] = (
    # operations
    _T("larger kernel", (FEATURES,), MODIFY, change_kernel(larger_kernel),
       "large kernel, larger kernel, 5x5, 7x7, 5×5, 7×7, local convolution"),
    _T("dilated convolution", (FEATURES,), MODIFY, _DILATED, "dilat, atrous, receptive field"),
    _T("grouped convolution", (FEATURES, CONVOLUTION, BLOCKS), MODIFY, _GROUPED, "group"),
    _T("separable convolution", (CONVOLUTION,), MODIFY, _SEPARATED, "separable, depthwise"),
    _T("tall and wide kernels", (CONVOLUTION,), MODIFY, _TALL_AND_WIDE, "asymmetric, factori, 1x3, strip"),
    _T("difference convolution", (FEATURES,), NEW, instead_of_convolution(convolutions.DIFFERENCE_CONV),
       "difference, gradient, edge, local convolution, centre"),
    _T("dilated pair", (FEATURES,), NEW, instead_of_convolution(convolutions.DILATED_PAIR_CONV),
       "dilat, atrous, receptive field, two scales"),
    _T("large kernel mixer", (FEATURES,), EITHER, in_branch(mixers.LARGE_KERNEL_MIXER),
       "large kernel, receptive field, modulat, 7x7, long-range"),
    _T("token mixer", (FEATURES,), EITHER, in_branch(mixers.TOKEN_MIXER),
       "token-mixing, token mixing, mlp, mixer, perceptron"),
    _T("channel mixer", (FEATURES,), EITHER, in_branch(mixers.CHANNEL_MIXER),
       "channel-mixing, channel mixing, mlp, feed-forward, perceptron"),
    _T("pool mixer", (FEATURES, BLOCKS), EITHER, in_branch(mixers.POOL_MIXER), "pooling, subtract, parameter-free"),
    _T("self-attention", (FEATURES,), NEW, after_stage(attention.SELF_ATTENTION),
       "self-attention, attention, multi-head, global"),
    _T("attention in blocks", (FEATURES, TRANSFORMER), EITHER, in_branch(attention.REDUCED_KEY_ATTENTION),
       "attention, reduced key, key size, width of keys, pooling"),
    _T("window attention", (TRANSFORMER,), NEW, after_stage(attention.WINDOW_ATTENTION),
       "window, stripes, margin, shift, local attention"),
    _T("linear attention", (TRANSFORMER,), EITHER, in_branch(attention.LINEAR_ATTENTION),
       "linear attention, values first, multiply keys, context, relu"),
    _T("patch transformer", (TRANSFORMER,), EITHER, in_branch(attention.PATCH_TRANSFORMER), "patch, unfold, tokens"),
    _T("one-group normalization", (NORMALIZATION,), MODIFY, _ONE_GROUP, "layer norm, layernorm"),
    _T("group normalization", (NORMALIZATION,), MODIFY, _SOME_GROUPS,
       "group norm, batch size, groups of, within each image, instance"),
    _T("response normalization", (NORMALIZATION,), EITHER, in_branch(layers.RESPONSE_NORM),
       "response, grn, compet, contrast"),
    _T("channel layer normalization", (NORMALIZATION,), NEW, instead_of_layers(layers.CHANNEL_LAYER_NORM, _NORMS),
       "layer norm, layernorm, position"),
    _T("batch and layer normalization", (NORMALIZATION,), NEW, instead_of_layers(layers.BATCH_LAYER_NORM, _NORMS),
       "batch, instance, mix, combin"),
    _T("GELU", (ACTIVATION,), MODIFY, swap_activation("GELU"), "gelu, gaussian"),
    _T("SiLU", (ACTIVATION,), MODIFY, swap_activation("SiLU"), "silu, swish, smooth"),
    _T("Hardswish", (ACTIVATION,), MODIFY, swap_activation("Hardswish"), "hardswish, hard-swish, hard swish"),
    _T("ReLU6", (ACTIVATION,), MODIFY, swap_activation("ReLU6"), "relu6, clip, cap, bounded"),
    _T("leaky ReLU", (ACTIVATION,), MODIFY, swap_activation("LeakyReLU"), "leaky, negative slope"),
    _T("Mish", (ACTIVATION,), MODIFY, swap_activation("Mish"), "mish, softplus, smooth"),
    _T("learned Swish", (ACTIVATION,), NEW, instead_of_activation(layers.LEARNED_SWISH),
       "swish, silu, learn, gelu, smooth"),
    _T("squared ReLU", (ACTIVATION,), NEW, instead_of_activation(layers.SQUARED_RELU),
       "square, scale and, relu, offset"),
    _T("two slopes", (ACTIVATION,), NEW, instead_of_activation(layers.TWO_SLOPES),
       "slope, leaky, prelu, maxout, piecewise, hardswish"),
    _T("ghost convolution", (CONVOLUTION,), NEW, instead_of_convolution(convolutions.GHOST_CONV),
       "ghost, cheap, redundan"),
    _T("partial convolution", (CONVOLUTION,), NEW, instead_of_convolution(convolutions.PARTIAL_CONV),
       "partial, subset, split, memory"),
    _T("shuffled groups", (CONVOLUTION,), NEW, instead_of_convolution(convolutions.SHUFFLED_CONV), "shuffl, group"),
    _T("separable module", (CONVOLUTION,), NEW, instead_of_convolution(convolutions.SEPARABLE_CONV),
       "separable, depthwise, pointwise"),
    _T("asymmetric module", (CONVOLUTION,), NEW, instead_of_convolution(convolutions.ASYMMETRIC_CONV),
       "asymmetric, factori, 1x3, strip"),
    # blocks and connectivity
    _T("two-convolution stem", (ENCODING,), NEW, instead_of_stem(stems.CONV_STEM), "stem, convolution, early"),
    _T("patch stem", (ENCODING,), NEW, instead_of_stem(stems.PATCH_STEM), "patch, embed, overlap"),
    _T("position convolution", (ENCODING,), EITHER, after_stem(stems.POSITION_CONV),
       "position, zero-padded, depthwise, border"),
    _T("position grid", (ENCODING,), EITHER, after_stem(stems.POSITION_GRID),
       "position embed, embedding, learned, absolute, row and column"),
    _T("second stem convolution", (ENCODING,), MODIFY, after_stem(stems.STEM_CONV), "stem, convolution, patch, deeper"),
    _T("parallel path", (RESIDUAL,), EITHER, beside_branch(connections.PARALLEL_PATH),
       "multi-branch, parallel, beside, reparam, path"),
    _T("layer scale", (RESIDUAL,), EITHER, in_branch(layers.LAYER_SCALE),
       "layer scale, learnable vector, learnable number, scale each residual"),
    _T("smooth shortcut", (RESIDUAL,), EITHER, in_shortcut(connections.SMOOTH_SHORTCUT),
       "shortcut, skip, identity, residual connections"),
    _T("several kernels", (RESIDUAL,), NEW, instead_of_convolution(convolutions.MULTI_KERNEL_CONV),
       "multi-branch, several kernels, inception, in parallel, 1x1"),
    _T("learned sum", (FUSION, RESIDUAL), MODIFY, weigh_terms, "addition, weighted, learnable weight, sum, residual"),
    _T("concatenation", (FUSION, DENSE), EITHER, in_sum(connections.CONCAT_FUSION), "concat"),
    _T("fusion gate", (FUSION,), EITHER, in_sum(connections.FUSION_GATE),
       "gate, attention, selective, element-wise, addition, adaptive"),
    _T("pyramid context", (FUSION, PATTERNS), ANY, in_branch(mixers.PYRAMID_CONTEXT),
       "pyramid, multi-scale, context, pool"),
    _T("stage fusion", (FUSION, PATTERNS), NEW | NETWORK, fuse_stages(connections.STAGE_FUSION),
       "multi-scale, stage, pyramid, top-down, earlier, cross, hierarch"),
    _T("channel gate", (RECALIBRATION,), EITHER, in_branch(recalibration.CHANNEL_GATE),
       "channel attention, squeeze, excitation, se block"),
    _T("local channel gate", (RECALIBRATION,), EITHER, in_branch(recalibration.LOCAL_CHANNEL_GATE),
       "channel attention, eca, 1d conv, one-dimensional, neighbo"),
    _T("spatial gate", (RECALIBRATION,), EITHER, in_branch(recalibration.SPATIAL_GATE), "spatial"),
    _T("dual pooling gate", (RECALIBRATION,), EITHER, in_branch(recalibration.DUAL_POOLING_GATE),
       "channel attention, max-pool, max pool, maximum, standard deviation"),
    _T("multi-scale gate", (RECALIBRATION,), EITHER, in_branch(recalibration.MULTI_SCALE_GATE),
       "multi-scale attention, scales, dilated, kernels 3"),
    _T("coordinate gate", (RECALIBRATION,), EITHER, in_branch(recalibration.COORDINATE_GATE),
       "channel attention, coordinate, horizontal, rows, columns"),
    _T("global context", (RECALIBRATION,), EITHER, in_branch(recalibration.GLOBAL_CONTEXT),
       "context, global, long-range, whole image"),
    _T("multi-scale features", (RECALIBRATION,), EITHER, in_branch(recalibration.MULTI_SCALE_FEATURES),
       "multi-scale feature, dilat, receptive"),
    _T("narrow middle", (BLOCKS,), MODIFY, change_inner_width("max({} // 2, 4)", "half the inner width"),
       "bottleneck, reduc, narrow"),
    _T("wide middle", (BLOCKS,), MODIFY, change_inner_width("2 * {}", "twice the inner width"),
       "inverted, expan, wide"),
    _T("inverted residual", (BLOCKS,), NEW, instead_of_blocks(blocks.INVERTED_RESIDUAL),
       "inverted, mbconv, expan, widen, mobile"),
    _T("bottleneck", (BLOCKS,), NEW, instead_of_blocks(blocks.BOTTLENECK), "bottleneck, narrow, reduce"),
    _T("grouped block", (BLOCKS,), NEW, instead_of_blocks(blocks.GROUPED_BLOCK), "group, cardinality, resnext"),
    _T("large depthwise block", (BLOCKS,), NEW, instead_of_blocks(blocks.CONVNEXT),
       "convnext, large kernel, 7x7, 11x11, large depthwise"),
    _T("pooling block", (BLOCKS,), NEW, instead_of_blocks(blocks.POOLING_BLOCK, "last"),
       "pooling, poolformer, metaformer"),
    _T("partial block", (BLOCKS,), NEW, instead_of_blocks(blocks.PARTIAL_BLOCK),
       "partial, fasternet, split the channels, untouched"),
    _T("local-global block", (BLOCKS,), NEW, instead_of_blocks(blocks.LOCAL_GLOBAL_BLOCK),
       "local-global, local and global, global"),
    _T("window block", (BLOCKS,), NEW, instead_of_blocks(blocks.WINDOW_BLOCK, "last"), "swin, window"),
    _T("local-global mixer", (BLOCKS, PATTERNS), ANY, in_branch(attention.LOCAL_GLOBAL_MIXER),
       "local-global, local and global, global"),
    _T("stochastic depth", (BLOCKS, DYNAMIC), ANY, in_branch(mixers.STOCHASTIC_DEPTH),
       "stochastic, drop, skip, random"),
    _T("dense branch", (DENSE,), EITHER, in_branch(mixers.DENSE_BRANCH), "dense, growth, concat, reuse"),
    _T("stage aggregation", (DENSE,), NEW, aggregate_stage(connections.STAGE_AGGREGATION),
       "stage, aggregat, all previous, one-shot, every"),
    # networks
    _T("global context in every stage", (PATTERNS,), NETWORK, after_stage(recalibration.GLOBAL_CONTEXT, "each"),
       "local-global, global, context"),
    _T("extra stage", (PATTERNS,), NETWORK, extra_stage, "stage, hierarch, deeper, multi-stage"),
    _T("uneven depth", (PATTERNS, SCALING), NETWORK, shift_depth,
       "depth, ratio, stage compute, blocks per stage, distribut"),
    _T("steeper widths", (PATTERNS, SCALING), NETWORK, steepen_widths,
       "channel scaling, channels, width, hierarchical channel"),
    _T("transformer stack", (PATTERNS, ORDER), NETWORK, stack_behind(attention.ENCODER_BLOCK, 2),
       "transformer, attention, stacked, before attention"),
    _T("hybrid last stage", (PATTERNS,), NETWORK, instead_of_blocks(blocks.HYBRID_BLOCK, "last"),
       "hybrid, convolution and transformer, late, attention"),
    _T("pre-activation", (ORDER,), NETWORK, pre_activation,
       "pre-activation, preactivation, before conv, norm-act, pre-norm"),
    _T("bare sum", (ORDER,), NETWORK, bare_sum, "after the addition, fewer activation, identity, remove, clean"),
    _T("head normalization", (ORDER,), NETWORK, normalize_head, "final norm, layer norm, head, last, classifier"),
    _T("compound scaling", (SCALING,), NETWORK, compound, "compound, jointly, balanc, depth and width"),
    _T("wider", (SCALING,), NETWORK, widen, "width, wider, channel width"),
    _T("shifted downsampling", (SCALING,), NETWORK, shift_stride, "shift the downsampling, earlier, later, large maps"),
    _T("blur downsampling", (SCALING,), NETWORK, separate_downsampling(connections.BLUR_DOWNSAMPLING),
       "downsampl, blur, alias, low-pass"),
    _T("convolution downsampling", (SCALING,), NETWORK, separate_downsampling(connections.CONV_DOWNSAMPLING),
       "downsampl, strided, separate"),
    _T("space to depth", (SCALING,), NETWORK, separate_downsampling(connections.SPACE_TO_DEPTH),
       "downsampl, space-to-depth, lossless, patch merg, unshuffle"),
    _T("conditional branch", (DYNAMIC,), NETWORK, in_branch(mixers.CONDITIONAL_BRANCH),
       "conditional, gate, per image, early exit, skip"),
    _T("conditional positions", (DYNAMIC,), NETWORK, in_branch(mixers.CONDITIONAL_POSITIONS),
       "spatial, position, region, mask"),
    _T("conditional experts", (DYNAMIC,), NETWORK, in_branch(mixers.CONDITIONAL_EXPERTS),
       "expert, mixture, rout, kernels, mix"),
)
# fmt: on
"""The catalogue; an idea is matched against its categories, targets and words."""
