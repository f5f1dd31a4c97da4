"""The Inception-v3 network of FID: the graph of 2015-12-05, which differs from the Inception-v3 of other libraries.

The average pools of FID's graph leave out the zeros around the image, its last block uses a max pool, and the graph has
1008 outputs. Szegedy et al. 2015, arXiv:1512.00567, figures 5, 6, 7 and table 1; as used by FID: Heusel et al. 2017,
arXiv:1706.08500. Layer names follow mseitzer/pytorch-fid, whose weights are read by ``parameters``.

Batch norm is folded into the convolutions. The 1x1 convolutions of one input are merged (``heads``). The 1x1
convolution after an average pool is moved before the pool, which commutes with it and then has fewer channels.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from ganzoo.errors import UserError
from ganzoo.metrics.weights import numeric
from ganzoo.ops import compiler
from ganzoo.ops.conv import conv

IMAGE_SIZE = (299, 299)
FEATURES, OUTPUTS = 2048, 1008
NORM_EPSILON = 1e-3

Activations = Float[Array, "n _h _w _c"]
Pair = tuple[int, int]


LIBRARY_IS_FASTER = jax.__version_info__ >= (0, 11)
"""Whether 3x3 convolutions are faster by XLA, which calls oneDNN, than by ``ops.conv``: see ``compiler_options``."""


def compiler_options() -> dict[str, compiler.Option]:
    """Return the options with which the network is fastest on a CPU: they make XLA call oneDNN.

    CPU milliseconds on two cores, without these options, with them, and with them and without Winograd's algorithm:

        JAX 0.10.2, 8 images, AVX2, busy      1606    1307    1372
        JAX 0.12.0.1, 8 images, AVX2, busy    1465       -    1327
        JAX 0.12.0.1, 16 images, AMX          1312    1128    1076
    """
    options: dict[str, compiler.Option] = {
        "xla_cpu_experimental_onednn_custom_call": True,
        "xla_cpu_experimental_ynn_fusion_type": "",
    }
    return compiler.accepted(options) if jax.default_backend() == "cpu" else {}


# The network --------------------------------------------------------------------------------------------------------


class Unit(nn.Module):
    """Convolution followed by ReLU."""

    features: int
    kernel_size: Pair
    stride: int = 1
    padding: Pair = (0, 0)
    """Zeros on each side of the height and on each side of the width."""

    @nn.compact
    def __call__(self, x: Activations) -> Activations:
        """Apply the layer: [N, H, W, C] -> [N, H', W', features]."""
        shape = (*self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.he_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        (rows, columns), stride = self.padding, self.stride
        y = _convolve(x, kernel, stride, ((rows, rows), (columns, columns)))
        return nn.relu(y + jnp.expand_dims(bias, (0, 1, 2)))


class Heads(nn.Module):
    """Merged 1x1 convolutions at the beginning of several branches, without ReLU."""

    features: Sequence[int]

    @nn.compact
    def __call__(self, x: Activations) -> list[Activations]:
        """Apply the layer: [N, H, W, C] -> [N, H, W, F] for each branch of F features."""
        total = sum(self.features)
        kernel = self.param("kernel", nn.initializers.he_normal(), (1, 1, x.shape[-1], total))
        bias = self.param("bias", nn.initializers.zeros, (total,))
        y = conv(x, kernel) + jnp.expand_dims(bias, (0, 1, 2))
        return jnp.split(y, np.cumsum(self.features)[:-1], axis=-1)


class BlockA(nn.Module):
    """Block of figure 5, at 35x35: branches of 1x1, 5x5, two 3x3, and an average pool."""

    pool_features: int

    @nn.compact
    def __call__(self, x: Activations) -> Activations:
        """Apply the block: [N, H, W, C] -> [N, H, W, 224 + pool_features]."""
        one, five, three, pooled = Heads((64, 48, 64, self.pool_features), name="heads")(x)
        five = Unit(64, (5, 5), padding=(2, 2), name="branch5x5_2")(nn.relu(five))
        three = Unit(96, (3, 3), padding=(1, 1), name="branch3x3dbl_2")(nn.relu(three))
        three = Unit(96, (3, 3), padding=(1, 1), name="branch3x3dbl_3")(three)
        return jnp.concatenate([nn.relu(one), five, three, nn.relu(average_pool(pooled))], axis=-1)


class BlockB(nn.Module):
    """Reduction block from 35x35 to 17x17."""

    @nn.compact
    def __call__(self, x: Activations) -> Activations:
        """Apply the block: [N, H, W, C] -> [N, (H - 1) / 2, (W - 1) / 2, C + 480]."""
        three = Unit(384, (3, 3), stride=2, name="branch3x3")(x)
        double = Unit(64, (1, 1), name="branch3x3dbl_1")(x)
        double = Unit(96, (3, 3), padding=(1, 1), name="branch3x3dbl_2")(double)
        double = Unit(96, (3, 3), stride=2, name="branch3x3dbl_3")(double)
        return jnp.concatenate([three, double, max_pool(x, stride=2)], axis=-1)


class BlockC(nn.Module):
    """Block of figure 6, at 17x17: convolutions of 7 pixels along one axis at a time."""

    middle: int
    """Channels between the convolutions of a branch."""

    @nn.compact
    def __call__(self, x: Activations) -> Activations:
        """Apply the block: [N, H, W, C] -> [N, H, W, 768]."""
        c = self.middle
        one, seven, double, pooled = Heads((192, c, c, 192), name="heads")(x)
        seven, double = nn.relu(seven), nn.relu(double)
        for name, features, is_row in (("2", c, True), ("3", 192, False)):
            seven = _line(7, features, is_row, f"branch7x7_{name}")(seven)
        for name, features, is_row in (("2", c, False), ("3", c, True), ("4", c, False), ("5", 192, True)):
            double = _line(7, features, is_row, f"branch7x7dbl_{name}")(double)
        return jnp.concatenate([nn.relu(one), seven, double, nn.relu(average_pool(pooled))], axis=-1)


class BlockD(nn.Module):
    """Reduction block from 17x17 to 8x8."""

    @nn.compact
    def __call__(self, x: Activations) -> Activations:
        """Apply the block: [N, H, W, C] -> [N, (H - 1) / 2, (W - 1) / 2, C + 512]."""
        three, seven = (nn.relu(head) for head in Heads((192, 192), name="heads")(x))
        three = Unit(320, (3, 3), stride=2, name="branch3x3_2")(three)
        seven = _line(7, 192, True, "branch7x7x3_2")(seven)
        seven = _line(7, 192, False, "branch7x7x3_3")(seven)
        seven = Unit(192, (3, 3), stride=2, name="branch7x7x3_4")(seven)
        return jnp.concatenate([three, seven, max_pool(x, stride=2)], axis=-1)


class BlockE(nn.Module):
    """Block of figure 7, at 8x8: branches that end in parallel 1x3 and 3x1 convolutions."""

    average: bool
    """Whether the block has an average pool (the first of the two blocks) or a max pool (the second)."""

    @nn.compact
    def __call__(self, x: Activations) -> Activations:
        """[N, H, W, C] -> [N, H, W, 2048]."""
        one, three, double, *rest = Heads((320, 384, 448, *([192] * self.average)), name="heads")(x)
        three = nn.relu(three)
        double = Unit(384, (3, 3), padding=(1, 1), name="branch3x3dbl_2")(nn.relu(double))
        if self.average:
            pooled = nn.relu(average_pool(rest[0]))
        else:
            pooled = Unit(192, (1, 1), name="branch_pool")(max_pool(x, stride=1, padding=1))
        ends = [
            _line(3, 384, is_row, f"{branch}_{name}")(y)
            for branch, name, y in (("branch3x3", "2", three), ("branch3x3dbl", "3", double))
            for name, is_row in ((f"{name}a", True), (f"{name}b", False))
        ]
        return jnp.concatenate([nn.relu(one), *ends, pooled], axis=-1)


def _line(length: int, features: int, is_row: bool, name: str) -> Unit:
    """Return a convolution along rows or columns that keeps the size."""
    size, padding = (1, length), (0, length // 2)
    return Unit(features, size if is_row else size[::-1], padding=padding if is_row else padding[::-1], name=name)


class Inception(nn.Module):
    """Inception-v3 network of FID, from images to features and class scores."""

    @nn.compact
    def __call__(self, x: Float[Array, "n 299 299 3"]) -> tuple[Float[Array, "n f"], Float[Array, "n k"]]:
        """Compute the features of FID and the class logits.

        Args:
          x: images [N, 299, 299, 3] in [-1, 1].

        Returns:
          Features [N, 2048] and logits [N, 1008].
        """
        x = Unit(32, (3, 3), stride=2, name="Conv2d_1a_3x3")(x)
        x = Unit(32, (3, 3), name="Conv2d_2a_3x3")(x)
        x = Unit(64, (3, 3), padding=(1, 1), name="Conv2d_2b_3x3")(x)
        x = max_pool(x, stride=2)
        x = Unit(80, (1, 1), name="Conv2d_3b_1x1")(x)
        x = Unit(192, (3, 3), name="Conv2d_4a_3x3")(x)
        x = max_pool(x, stride=2)
        for name, pool_features in (("b", 32), ("c", 64), ("d", 64)):
            x = BlockA(pool_features, name=f"Mixed_5{name}")(x)
        x = BlockB(name="Mixed_6a")(x)
        for name, middle in (("b", 128), ("c", 160), ("d", 160), ("e", 192)):
            x = BlockC(middle, name=f"Mixed_6{name}")(x)
        x = BlockD(name="Mixed_7a")(x)
        x = BlockE(average=True, name="Mixed_7b")(x)
        x = BlockE(average=False, name="Mixed_7c")(x)
        features = x.mean((1, 2))
        return features, nn.Dense(OUTPUTS, name="fc")(features)


def _convolve(x: Activations, kernel: Array, stride: int, padding: tuple[Pair, Pair]) -> Activations:
    """Convolve as ``ops.conv.conv`` does, by whichever is faster."""
    if LIBRARY_IS_FASTER and kernel.shape[:2] == (3, 3) and stride == 1:
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return conv(x, kernel, stride=stride, padding=padding)


def average_pool(x: Activations) -> Activations:
    """Average 3x3 pixels, counting only pixels inside the image: [N, H, W, C] -> [N, H, W, C]."""
    sums = _along(_along(x, 1, 0.0, jnp.add), 2, 0.0, jnp.add)
    rows, columns = (np.convolve(np.ones(size), np.ones(3), "same") for size in x.shape[1:3])
    return sums / jnp.asarray(np.outer(rows, columns)[None, :, :, None], x.dtype)


def max_pool(x: Activations, *, stride: int, padding: int = 0) -> Activations:
    """Take the maximum over 3x3 pixels, [N, H, W, C] -> [N, H', W', C], with ``padding`` pixels on each side."""
    window, strides = (1, 3, 3, 1), (1, stride, stride, 1)
    pads = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, strides, pads)


def _along(x: Array, axis: int, edge: float, combine: Any) -> Array:
    """Combine each pixel with its two neighbours along an axis."""
    pads = [(1, 1) if i == axis else (0, 0) for i in range(x.ndim)]
    padded, size = jnp.pad(x, pads, constant_values=edge), x.shape[axis]
    left, middle, right = (jax.lax.slice_in_dim(padded, i, i + size, axis=axis) for i in range(3))
    return combine(combine(left, middle), right)


# Weights ------------------------------------------------------------------------------------------------------------

_A = ("branch1x1", "branch5x5_1", "branch3x3dbl_1", "branch_pool")
_C = ("branch1x1", "branch7x7_1", "branch7x7dbl_1", "branch_pool")
_E = ("branch1x1", "branch3x3_1", "branch3x3dbl_1", "branch_pool")
HEADS: Mapping[str, Sequence[str]] = {
    **{f"Mixed_5{name}": _A for name in "bcd"},
    **{f"Mixed_6{name}": _C for name in "bcde"},
    "Mixed_7a": ("branch3x3_1", "branch7x7x3_1"),
    "Mixed_7b": _E,
    "Mixed_7c": _E[:3],
}
"""Names in the file of the layers that are merged into the heads of a block."""


def parameters(state: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Convert the tensors of the PyTorch file to the parameters of ``Inception``.

    Args:
      state: tensors by their names in the file: ``Mixed_5b.branch1x1.conv.weight`` [O, I, h, w],
        ``Mixed_5b.branch1x1.bn.running_mean`` [O] and so on; ``fc.weight`` [1008, 2048].

    Raises:
      UserError: a tensor is missing, has another shape or holds no finite numbers.
    """
    image = jax.ShapeDtypeStruct((1, *IMAGE_SIZE, 3), jnp.float32)
    shapes = jax.eval_shape(Inception().init, jax.random.key(0), image)["params"]

    def layer(path: tuple[str, ...]) -> dict[str, np.ndarray]:
        if path == ("fc",):
            return {"kernel": _tensor(state, "fc.weight").T, "bias": _tensor(state, "fc.bias")}
        block, name = path[0], path[-1]
        names = [f"{block}.{head}" for head in HEADS[block]] if name == "heads" else [".".join(path)]
        folded = [_folded(state, name) for name in names]
        return {key: np.concatenate([part[key] for part in folded], axis=-1) for key in ("kernel", "bias")}

    def built(tree: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
        if "kernel" not in tree:
            return {name: built(sub, (*path, name)) for name, sub in tree.items()}
        arrays = {key: array.astype(np.float32) for key, array in layer(path).items()}
        for key, array in arrays.items():
            if array.shape != tree[key].shape:
                found = f"{'.'.join(path)} makes {key} {array.shape}, not {tree[key].shape}"
                raise UserError(f"not the weights of FID's Inception-v3: {found}")
        return arrays

    return built(shapes, ())


def _folded(state: Mapping[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    """Fold batch norm into a convolution: ``(k * x - mean) scale / sqrt(var + eps) + shift`` as ``k' * x + b'``."""
    kernel = _tensor(state, f"{name}.conv.weight")
    if kernel.ndim != 4:
        raise UserError(f"not the weights of FID's Inception-v3: {name}.conv.weight is {kernel.shape}")
    scale, shift, mean, var = (
        _tensor(state, f"{name}.bn.{part}") for part in ("weight", "bias", "running_mean", "running_var")
    )
    factor = scale / np.sqrt(var + NORM_EPSILON)
    return {"kernel": kernel.transpose(2, 3, 1, 0) * factor, "bias": shift - mean * factor}


def _tensor(state: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    if name not in state:
        raise UserError(f"not the weights of FID's Inception-v3: {name} is missing")
    return numeric(state, name).astype(np.float64)
