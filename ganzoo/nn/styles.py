"""What style-based generators share: mixing, truncation, noise, and the style space that tools use.

Karras et al. 2018, arXiv:1812.04948, section 3.1 and appendix B.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

import jax
import jax.core
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int

from ganzoo.config import require
from ganzoo.errors import UserError
from ganzoo.gan import NoiseInput, StyleSpace, generator_variables, no_features
from ganzoo.ops import random
from ganzoo.typing import AnyArray, Features, Images, Key, Labels, Latents, PyTree, State, Styles

LARGEST_PSI = 100
"""Largest size of a truncation psi: what is farther from the average overflows."""

# Mixing and truncation ----------------------------------------------------------------------------------------------


def mixing_cutoff(key: Key, probability: float, layers: int) -> Int[Array, ""]:
    """Draw the first style input that takes its style from a second latent.

    With ``probability`` it is one of 1 .. layers - 1; otherwise it is ``layers``, which mixes nothing.
    Karras et al. 2018, arXiv:1812.04948, section 3.1.
    """
    gate, place = jax.random.split(key)
    cutoff = jax.random.randint(place, (), 1, layers, jnp.int32)
    return jnp.where(random.uniform(gate) < probability, cutoff, jnp.int32(layers))


def mix_styles(ws: Styles, others: Styles, cutoff: Int[Array, " n"]) -> Styles:
    """Return styles [N, L, w]: of ``ws`` up to each image's cutoff, of ``others`` from there on."""
    is_first = jnp.arange(ws.shape[1])[None] < cutoff[:, None]
    return jnp.where(is_first[:, :, None], ws, others)


def truncate(
    ws: Styles, average: Float[AnyArray, " w_dim"], psi: Any = 1.0, *, cutoff: int | None = None
) -> Float[Array, "n l w_dim"]:
    r"""Return $\bar w + \psi (w - \bar w)$, the truncation trick, which trades variety for quality.

    Args:
      ws: styles [N, L, w].
      average: [w].
      psi: 1 changes nothing, 0 gives the average image, negative numbers its opposite; those beyond -1 and 1, which
        are farther from the average than in training, are allowed up to ``LARGEST_PSI``.
      cutoff: truncate only the first ``cutoff`` style inputs, 0 to L; all of them when absent.

    Raises:
      UserError: ``psi`` or ``cutoff`` is out of range.

    Karras et al. 2018, arXiv:1812.04948, appendix B.
    """
    check_truncation(psi, cutoff, ws.shape[1])
    ws, average = jnp.asarray(ws), jnp.asarray(average)
    truncated = average.reshape(1, 1, -1) + psi * (ws - average.reshape(1, 1, -1))
    if cutoff is None:
        return truncated
    return jnp.concatenate([truncated[:, :cutoff], ws[:, cutoff:]], axis=1)


def check_truncation(psi: Any, cutoff: int | None, layers: int) -> None:
    """Raise ``UserError`` for an untraced ``psi`` beyond ``LARGEST_PSI`` or a ``cutoff`` that is no style input."""
    if not isinstance(psi, jax.core.Tracer):
        number = float(psi)
        is_allowed = math.isfinite(number) and abs(number) <= LARGEST_PSI
        must = f"be from -{LARGEST_PSI} to {LARGEST_PSI}, usually in [-1, 1]; 1 does not truncate"
        require(is_allowed, "psi", number, must)
    if cutoff is not None:
        require(0 <= cutoff <= layers, "cutoff", cutoff, f"be 0 to {layers}, the number of style inputs")


def check_styles(ws: Styles, style_count: int) -> None:
    """Raise ``UserError`` unless ``ws`` is [N, style_count, w]."""
    if ws.ndim != 3 or ws.shape[1] != style_count:
        raise UserError(
            f"ws of shape {tuple(ws.shape)}: this network takes [N, {style_count}, w], a style for each of its"
            f" {style_count} inputs (repeat one w along the second axis to use it for all)"
        )


# Noise --------------------------------------------------------------------------------------------------------------


def layer_noises(noise: NoiseInput, sizes: list[tuple[int, int]]) -> list[Any]:
    """Return what each layer of these sizes adds: "const", "none", or noise [N, h, w, 1].

    Noise from keys is cut from one draw, which compiles quickly.
    """
    if isinstance(noise, str):
        require(noise in ("const", "none"), "noise", noise, 'be "const", "none" or keys [N]')
        return [noise] * len(sizes)
    total = sum(height * width for height, width in sizes)
    flat = jax.vmap(lambda key: random.normal(key, (total,)))(noise)
    drawn, at = [], 0
    for height, width in sizes:
        drawn.append(flat[:, at : at + height * width].reshape(-1, height, width, 1))
        at += height * width
    return drawn


# Features -----------------------------------------------------------------------------------------------------------

FEATURES = "features"
"""The collection in which a synthesis network keeps its feature maps, where that collection is mutable."""


def keep_features(synthesis: nn.Module, x: Float[Array, "n _h _w _c"], size: tuple[int, int]) -> None:
    """Keep feature maps [N, H, W, C] for tools: the middle of them, of ``size`` (height, width), which is the image."""
    if synthesis.is_mutable_collection(FEATURES) and not synthesis.is_initializing():
        top, left = ((there - wanted) // 2 for there, wanted in zip(x.shape[1:3], size, strict=True))
        synthesis.sow(FEATURES, "maps", x[:, top : top + size[0], left : left + size[1]])


# Generators ---------------------------------------------------------------------------------------------------------


class StyleGenerator(nn.Module):
    """Base of generators z, c -> w -> image. A subclass sets up ``mapping`` and ``synthesis``.

    ``synthesis`` calls ``keep_features`` for each of the levels that ``style_space`` is told of, the smallest first.
    """

    config: Any

    def __call__(
        self,
        latents: Latents,
        labels: Labels | None = None,
        *,
        psi: Any = 1.0,
        cutoff: int | None = None,
        noise: NoiseInput = "const",
    ) -> Images:
        """Return images [N, H, W, C], nominally in [-1, 1] but not clipped.

        Args:
          latents: [N, z].
          labels: [N, k]; None in an unconditional model.
          psi: truncation of w towards its mean, usually in [-1, 1]; 1 does not truncate.
          cutoff: truncate only the first ``cutoff`` style inputs.
          noise: "const", "none", or keys [N].
        """
        return self.synthesise(self.styles(latents, labels, psi=psi, cutoff=cutoff), noise=noise)

    def styles(
        self,
        latents: Latents,
        labels: Labels | None = None,
        *,
        psi: Any = 1.0,
        cutoff: int | None = None,
        update_average: bool = False,
    ) -> Styles:
        """Return styles [N, L, w] of latents [N, z], truncated; in training, move the mean of w towards theirs."""
        ws = self.mapping(latents, labels, update_average=update_average)
        if isinstance(psi, int | float) and psi == 1:
            return ws
        return truncate(ws, self.mean_style(), psi, cutoff=cutoff)

    def synthesise(self, ws: Styles, *, noise: NoiseInput = "const") -> Images:
        """Return the images [N, H, W, C] of styles [N, L, w]: ``synthesis``, by a name that ``apply`` can call."""
        return self.synthesis(ws, noise=noise)

    def mean_style(self) -> Float[Array, " w_dim"]:
        """Return the running mean [w] of w over training."""
        return jnp.asarray(self.mapping.get_variable("statistics", "w_average"))


def style_space(
    generator: StyleGenerator,
    count: int,
    *,
    modulations: Callable[[PyTree], list[Array]],
    detail: Callable[[State], Mapping[str, Any]] = lambda state: {},
    feature_sizes: Sequence[tuple[int, int]] = (),
    takes_transform: bool = False,
) -> StyleSpace:
    """Return the style space of a generator; its functions are compiled, and inlined where they are traced.

    Args:
      generator: the module.
      count: L, the number of style inputs.
      modulations: the kernels [w, C] of the generator's variables, in the order of the style inputs.
      detail: what ``synthesise`` of the module takes besides from the train state, such as a level of detail.
      feature_sizes: (height, width) of the feature maps that ``synthesis`` keeps; empty where it keeps none.
      takes_transform: whether ``synthesise`` of the module takes a ``transform``.
    """

    @partial(jax.jit, static_argnames="cutoff")
    def to_styles(variables: PyTree, latents: Latents, labels: Labels | None, psi: Any, *, cutoff: int | None) -> Any:
        psi = 1.0 if psi is None else psi
        return generator.apply(variables, latents, labels, psi=psi, cutoff=cutoff, method="styles")

    @partial(jax.jit, static_argnames="kind")
    def to_images(variables: PyTree, ws: Styles, keys: Key | None, extra: PyTree, *, kind: str) -> Any:
        return generator.apply(variables, ws, noise=kind if keys is None else keys, method="synthesise", **extra)

    @partial(jax.jit, static_argnames=("kind", "level"))
    def to_features(variables: PyTree, ws: Styles, keys: Key | None, extra: PyTree, *, kind: str, level: int) -> Any:
        noise = kind if keys is None else keys
        kept = partial(generator.apply, method="synthesise", mutable=[FEATURES])
        images, collections = cast("Any", kept(variables, ws, noise=noise, **extra))
        return images, collections[FEATURES]["synthesis"]["maps"][level]

    def inputs(state: State, noise: NoiseInput, ema: bool) -> tuple[PyTree, Key | None, dict[str, Any], str]:
        """Return the variables, the keys of noise, what else the module takes, and the kind of noise without keys."""
        variables, extra = generator_variables(state, ema=ema), dict(detail(state))
        if isinstance(noise, str):
            return variables, None, extra, noise
        if isinstance(noise, Mapping):
            return {**variables, "noise": noise} if noise else variables, None, extra, "const"
        return variables, noise, extra, "const"

    def map(
        state: State,
        latents: Latents,
        labels: Labels | None = None,
        *,
        psi: Any = 1.0,
        cutoff: int | None = None,
        ema: bool = True,
    ) -> Styles:
        check_truncation(psi, cutoff, count)
        psi = None if isinstance(psi, int | float) and psi == 1 else psi  # so that nothing is computed for it
        return to_styles(generator_variables(state, ema=ema), latents, labels, psi, cutoff=cutoff)

    def synthesise(
        state: State, ws: Styles, *, noise: NoiseInput = "const", transform: Any = None, ema: bool = True
    ) -> Images:
        variables, keys, extra, kind = inputs(state, noise, ema)
        if transform is not None:
            if not takes_transform:
                raise UserError("transform: the input of this generator cannot be moved; use a StyleGAN3")
            extra["transform"] = jnp.asarray(transform, jnp.float32)
        return to_images(variables, ws, keys, extra, kind=kind)

    def features(
        state: State, ws: Styles, level: int, *, noise: NoiseInput = "const", ema: bool = True
    ) -> tuple[Images, Features]:
        require(0 <= level < len(feature_sizes), "level", level, f"be 0 to {len(feature_sizes) - 1}")
        variables, keys, extra, kind = inputs(state, noise, ema)
        return to_features(variables, ws, keys, extra, kind=kind, level=level)

    def mean(state: State, *, ema: bool = True) -> Float[Array, " w_dim"]:
        return cast("Array", generator.apply(generator_variables(state, ema=ema), method="mean_style"))

    return StyleSpace(
        count=count,
        map=map,
        synthesise=synthesise,
        mean=mean,
        modulations=lambda state, *, ema=True: modulations(generator_variables(state, ema=ema)),
        noise_maps=lambda state, *, ema=True: generator_variables(state, ema=ema).get("noise", {}),
        takes_transform=takes_transform,
        feature_sizes=tuple(feature_sizes),
        features=features if feature_sizes else no_features,
    )
