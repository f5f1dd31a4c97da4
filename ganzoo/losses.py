"""Adversarial losses, as pairs for the two players.

Every function takes the discriminator's logits of the real and of the fake examples, both [N], and returns one value
per example, [N], which the player *minimises* after averaging. All are written with ``softplus`` or polynomials, so
they and their gradients are exact at large logits. With ``D(x) = sigmoid(logit)``::

    -log D(x) = softplus(-logit)          -log(1 - D(x)) = softplus(logit)
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax
from jax.nn import softplus

from ganzoo.errors import UserError, nearest
from ganzoo.typing import Logits, PerExample


@dataclass(frozen=True)
class AdversarialLoss:
    """The two players' losses ``(real_logits, fake_logits) -> per example``, each to be minimised."""

    discriminator: Callable[[Logits, Logits], PerExample]
    generator: Callable[[Logits, Logits], PerExample]
    generator_sees_reals: bool = False
    """Whether the generator's loss depends on the real logits; where it does not, they may be anything of the shape."""
    sign_tells: bool = False
    """Whether a logit above 0 means "real"."""


# Minimax ------------------------------------------------------------------------------------------------------------


def minimax_value(real: Logits, fake: Logits) -> PerExample:
    """The value of the game, V(D, G) = log D(x) + log(1 - D(G(z))).

    D maximises it and G minimises it. At D = 1/2 it is -log 4, its value at the optimum.
    Goodfellow et al. 2014, arXiv:1406.2661, equation 1.
    """
    return -softplus(-real) - softplus(fake)


def minimax_discriminator(real: Logits, fake: Logits) -> PerExample:
    """-V(D, G): the discriminator ascends the value. Goodfellow et al. 2014, algorithm 1."""
    return -minimax_value(real, fake)


def minimax_generator(real: Logits, fake: Logits) -> PerExample:
    """log(1 - D(G(z))): the part of V(D, G) that depends on G. Goodfellow et al. 2014, algorithm 1."""
    del real
    return -softplus(fake)


# Non-saturating -----------------------------------------------------------------------------------------------------


def non_saturating_generator(real: Logits, fake: Logits) -> PerExample:
    """-log D(G(z)): the same fixed point as minimax, with strong gradients early. Goodfellow et al. 2014, section 3."""
    del real
    return softplus(-fake)


# Least squares ------------------------------------------------------------------------------------------------------


def least_squares_discriminator(real: Logits, fake: Logits) -> PerExample:
    """((D(x) - 1)^2 + D(G(z))^2) / 2. Mao et al. 2017, arXiv:1611.04076, equation 9."""
    return 0.5 * ((real - 1) ** 2 + fake**2)


def least_squares_generator(real: Logits, fake: Logits) -> PerExample:
    """(D(G(z)) - 1)^2 / 2. Mao et al. 2017, equation 9."""
    del real
    return 0.5 * (fake - 1) ** 2


# Hinge --------------------------------------------------------------------------------------------------------------


def hinge_discriminator(real: Logits, fake: Logits) -> PerExample:
    """max(0, 1 - D(x)) + max(0, 1 + D(G(z))). Lim and Ye 2017, arXiv:1705.02894; Miyato et al. 2018, equation 16."""
    return jax.nn.relu(1 - real) + jax.nn.relu(1 + fake)


def wasserstein_generator(real: Logits, fake: Logits) -> PerExample:
    """-D(G(z)), also the generator's side of the hinge loss. Arjovsky et al. 2017, equation 3."""
    del real
    return -fake


# Wasserstein --------------------------------------------------------------------------------------------------------


def wasserstein_discriminator(real: Logits, fake: Logits) -> PerExample:
    """D(G(z)) - D(x), for a 1-Lipschitz critic D. Arjovsky et al. 2017, arXiv:1701.07875, equation 2."""
    return fake - real


# Relativistic pairing -----------------------------------------------------------------------------------------------


def relativistic_discriminator(real: Logits, fake: Logits) -> PerExample:
    """-log sigmoid(D(x_i) - D(G(z_i))), sample i against sample i (RpGAN).

    Jolicoeur-Martineau 2018, arXiv:1807.00734; as in R3GAN, Huang et al. 2024, arXiv:2501.05441, equation 2.
    """
    return softplus(fake - real)


def relativistic_generator(real: Logits, fake: Logits) -> PerExample:
    """-log sigmoid(D(G(z_i)) - D(x_i)): the discriminator's loss with the sides exchanged."""
    return softplus(real - fake)


LOSSES: Mapping[str, AdversarialLoss] = {
    "minimax": AdversarialLoss(minimax_discriminator, minimax_generator, sign_tells=True),
    "non-saturating": AdversarialLoss(minimax_discriminator, non_saturating_generator, sign_tells=True),
    "least-squares": AdversarialLoss(least_squares_discriminator, least_squares_generator),
    "hinge": AdversarialLoss(hinge_discriminator, wasserstein_generator, sign_tells=True),
    "wasserstein": AdversarialLoss(wasserstein_discriminator, wasserstein_generator),
    "relativistic": AdversarialLoss(relativistic_discriminator, relativistic_generator, generator_sees_reals=True),
}


def adversarial_loss(name: str) -> AdversarialLoss:
    """The pair of that name in ``LOSSES``; ``UserError`` names the nearest one otherwise."""
    if name not in LOSSES:
        raise UserError(f"unknown loss {name!r};{nearest(name, LOSSES)}")
    return LOSSES[name]
