"""Gradient penalties of the discriminator. They take a function of images, never a module, and return [N]."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from ganzoo.typing import Images, Logits, PerExample, Scalar, Styles

Critic = Callable[[Images], Logits]


def image_gradients(critic: Critic, images: Images) -> Images:
    """Return the gradient [N, H, W, C] of each image's logit with respect to that image.

    The logits are summed first, so in a critic with statistics over the batch (batch normalisation, minibatch standard
    deviation) the cross terms count as well, as in the originals.
    """
    return jax.grad(lambda x: jnp.sum(critic(x)))(images)


def squared_norms(gradients: Images) -> PerExample:
    """Return ||g||^2 [N] of gradients [N, H, W, C]."""
    return jnp.sum(jnp.square(gradients), axis=(1, 2, 3))


def r1(critic: Critic, images: Images) -> PerExample:
    r"""Return $\lVert \nabla_x D(x) \rVert^2$ [N] for images [N, H, W, C].

    It is R1 where the images are real, R2 where they are fake. The published penalty is $\gamma / 2$ times the mean.
    Mescheder et al. 2018, arXiv:1801.04406, equation 9.
    """
    return r1_and_logits(critic, images)[0]


r2 = r1
"""The same function: R2 is the penalty of fake images."""


def r1_and_logits(critic: Critic, images: Images) -> tuple[PerExample, Logits]:
    """Return ``r1`` [N] and the critic's logits [N] of the images, computed in the same pass."""

    def total(x: Images) -> tuple[Scalar, Logits]:
        logits = critic(x)
        return jnp.sum(logits), logits

    gradients, logits = jax.grad(total, has_aux=True)(images)
    return squared_norms(gradients), logits


def wgan_gp(critic: Critic, real: Images, fake: Images, share: PerExample, *, target: float = 1.0) -> PerExample:
    r"""Return $(\lVert \nabla D(x') \rVert - t)^2 / t^2$ [N] at a point x' between each real and fake image.

    The published penalty is 10 ($\lambda$) times the mean, at $x' = \epsilon x + (1 - \epsilon) G(z)$ with one
    $\epsilon \sim U(0, 1)$, the ``share``, for each pair, and with the target t = 1.
    Gulrajani et al. 2017, arXiv:1704.00028, equation 3; ``target`` as in Karras et al. 2017, arXiv:1710.10196, A.1.
    """
    share = share[:, None, None, None]
    gradients = image_gradients(critic, share * real + (1 - share) * fake)
    return jnp.square((_root(squared_norms(gradients)) - target) / target)


def path_lengths(synthesis: Callable[[Styles], Images], ws: Styles, noise: Images) -> PerExample:
    r"""Return $\lVert J_w^\top y \rVert$ [N]: how far each image moves for a small step of its style.

    The Jacobian is probed by $y = n / \sqrt{H W}$ with the ``noise`` $n \sim N(0, 1)$; the squares are averaged over
    the L style inputs. The published penalty is the mean square difference from their running mean.
    Karras et al. 2019, arXiv:1912.04958, equation 4.
    """
    height, width = noise.shape[1:3]
    y = noise / (height * width) ** 0.5
    gradients = jax.grad(lambda ws: jnp.sum(synthesis(ws) * y))(ws)
    return _root(jnp.mean(jnp.sum(jnp.square(gradients), axis=2), axis=1))


def _root(squares: PerExample) -> PerExample:
    """Return the square root, with the gradient 0 at 0 rather than NaN: flat functions get no gradient."""
    return jnp.where(squares > 0, jnp.sqrt(jnp.where(squares > 0, squares, 1.0)), 0.0)
