"""Gradient penalties of the discriminator. They take a function of images, never a module, and return [N]."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from ganzoo.ops import random
from ganzoo.typing import Images, Key, Logits, PerExample, Scalar, Styles

Critic = Callable[[Images], Logits]


def image_gradients(critic: Critic, images: Images) -> Images:
    """The gradient of each image's logit with respect to that image.

    The logits are summed first, so in a critic with statistics over the batch (batch normalisation, minibatch standard
    deviation) the cross terms count as well, as in the originals.
    """
    return jax.grad(lambda x: jnp.sum(critic(x)))(images)


def zero_centred(critic: Critic, images: Images) -> PerExample:
    """||grad D(x)||^2 for each image: R1 when ``images`` are real, R2 when they are fake.

    The published penalty is gamma / 2 times the mean of it. Mescheder et al. 2018, arXiv:1801.04406, equation 9.
    """
    return zero_centred_and_logits(critic, images)[0]


def zero_centred_and_logits(critic: Critic, images: Images) -> tuple[PerExample, Logits]:
    """``zero_centred``, and what the critic said of the images on the way."""

    def total(x: Images) -> tuple[Scalar, Logits]:
        logits = critic(x)
        return jnp.sum(logits), logits

    gradients, logits = jax.grad(total, has_aux=True)(images)
    return _squares(gradients), logits


def wgan_gp(critic: Critic, real: Images, fake: Images, key: Key, *, target: float = 1.0) -> PerExample:
    """(||grad D(x')|| - target)^2 / target^2 at a random point x' between each real and fake image.

    The published penalty is 10 times the mean of it (lambda). x' = e x + (1 - e) G(z) with one e ~ U(0, 1) per pair.
    Gulrajani et al. 2017, arXiv:1704.00028, equation 3; ``target`` as in Karras et al. 2017, arXiv:1710.10196, A.1.
    """
    share = random.for_batch(jax.random.uniform, key, real.shape[0])[:, None, None, None]
    gradients = image_gradients(critic, share * real + (1 - share) * fake)
    return jnp.square((_root(_squares(gradients)) - target) / target)


def path_lengths(synthesis: Callable[[Styles], Images], ws: Styles, noise: Images) -> PerExample:
    """|J_w^T y|: how far each image moves for a small step of its style.

    The Jacobian is probed by y = ``noise`` / sqrt(H W), noise ~ N(0, 1); the squares are averaged over the L style
    inputs. The published penalty is the mean square difference from their running mean.
    Karras et al. 2019, arXiv:1912.04958, equation 4.
    """
    height, width = noise.shape[1:3]
    y = noise / (height * width) ** 0.5
    gradients = jax.grad(lambda ws: jnp.sum(synthesis(ws) * y))(ws)
    return _root(jnp.mean(jnp.sum(jnp.square(gradients), axis=2), axis=1))


def _squares(gradients: Images) -> PerExample:
    """||g||^2 of each image."""
    return jnp.sum(jnp.square(gradients), axis=(1, 2, 3))


def _root(squares: PerExample) -> PerExample:
    """The square root, with the gradient 0 at 0 rather than NaN: flat functions get no gradient."""
    return jnp.where(squares > 0, jnp.sqrt(jnp.where(squares > 0, squares, 1.0)), 0.0)
