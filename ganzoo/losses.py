"""Adversarial losses, as pairs for the two networks: ``losses.hinge.discriminator``, ``losses.hinge.generator``.

Every function takes the discriminator's logits of the real and of the fake examples, both [N], and returns one value
per example, [N], which the network *minimises* after averaging. All are written with ``softplus`` or polynomials, so
the values and their gradients are exact at large logits. With ``D(x) = sigmoid(logit)``::

    -log D(x) = softplus(-logit)          -log(1 - D(x)) = softplus(logit)
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import jax
from jax.nn import softplus

from ganzoo.typing import Logits, PerExample

LossName: TypeAlias = Literal["minimax", "non-saturating", "least-squares", "hinge", "wasserstein", "relativistic"]


@dataclass(frozen=True)
class AdversarialLoss:
    """The losses ``(real_logits, fake_logits) -> [N]`` of the two networks, each to be minimised."""

    name: LossName
    discriminator: Callable[[Logits, Logits], PerExample]
    generator: Callable[[Logits, Logits], PerExample]
    pairs_examples: bool = False
    """Whether real example i is compared with fake example i, so that G's loss depends on the real logits, and both
    must have the same label; elsewhere the real logits given to G's loss may be anything of the shape."""
    has_signs: bool = False
    """Whether a logit above 0 means "real", which ADA needs to adapt p."""


# Minimax ------------------------------------------------------------------------------------------------------------


def minimax_value(real: Logits, fake: Logits) -> PerExample:
    r"""Return the value of the game, which D maximises and G minimises.

    $$V(D, G) = \log D(x) + \log(1 - D(G(z)))$$

    At D = 1/2 the value is -log 4, as at the optimum.
    Goodfellow et al. 2014, arXiv:1406.2661, equation 1.
    """
    return -softplus(-real) - softplus(fake)


def minimax_discriminator(real: Logits, fake: Logits) -> PerExample:
    """Return $-V(D, G)$: the discriminator ascends the value. Goodfellow et al. 2014, algorithm 1."""
    return -minimax_value(real, fake)


def minimax_generator(real: Logits, fake: Logits) -> PerExample:
    r"""Return $\log(1 - D(G(z)))$, the part of V(D, G) that depends on G. Goodfellow et al. 2014, algorithm 1."""
    del real
    return -softplus(fake)


# Non-saturating -----------------------------------------------------------------------------------------------------


def non_saturating_generator(real: Logits, fake: Logits) -> PerExample:
    r"""Return $-\log D(G(z))$: minimax's fixed point, with strong gradients early.

    Goodfellow et al. 2014, section 3.
    """
    del real
    return softplus(-fake)


# Least squares ------------------------------------------------------------------------------------------------------


def least_squares_discriminator(real: Logits, fake: Logits) -> PerExample:
    r"""Return $\frac{1}{2} (D(x) - 1)^2 + \frac{1}{2} D(G(z))^2$. Mao et al. 2017, arXiv:1611.04076, equation 9."""
    return 0.5 * ((real - 1) ** 2 + fake**2)


def least_squares_generator(real: Logits, fake: Logits) -> PerExample:
    r"""Return $\frac{1}{2} (D(G(z)) - 1)^2$. Mao et al. 2017, equation 9."""
    del real
    return 0.5 * (fake - 1) ** 2


# Hinge --------------------------------------------------------------------------------------------------------------


def hinge_discriminator(real: Logits, fake: Logits) -> PerExample:
    r"""Return $\max(0, 1 - D(x)) + \max(0, 1 + D(G(z)))$.

    Lim and Ye 2017, arXiv:1705.02894; Miyato et al. 2018, arXiv:1802.05957, equation 16.
    """
    return jax.nn.relu(1 - real) + jax.nn.relu(1 + fake)


def wasserstein_generator(real: Logits, fake: Logits) -> PerExample:
    """Return $-D(G(z))$, also the generator's side of the hinge loss. Arjovsky et al. 2017, equation 3."""
    del real
    return -fake


# Wasserstein --------------------------------------------------------------------------------------------------------


def wasserstein_discriminator(real: Logits, fake: Logits) -> PerExample:
    """Return $D(G(z)) - D(x)$, for a 1-Lipschitz critic D. Arjovsky et al. 2017, arXiv:1701.07875, equation 2."""
    return fake - real


# Relativistic pairing -----------------------------------------------------------------------------------------------


def relativistic_discriminator(real: Logits, fake: Logits) -> PerExample:
    r"""Return $-\log \sigma(D(x_i) - D(G(z_i)))$, example i against example i (RpGAN).

    Jolicoeur-Martineau 2018, arXiv:1807.00734; as in R3GAN, Huang et al. 2024, arXiv:2501.05441, equation 2.
    """
    return softplus(fake - real)


def relativistic_generator(real: Logits, fake: Logits) -> PerExample:
    r"""Return $-\log \sigma(D(G(z_i)) - D(x_i))$: the discriminator's loss with the sides exchanged."""
    return softplus(real - fake)


# The pairs ----------------------------------------------------------------------------------------------------------

minimax = AdversarialLoss("minimax", minimax_discriminator, minimax_generator, has_signs=True)
"""Goodfellow et al. 2014, arXiv:1406.2661, equation 1."""
non_saturating = AdversarialLoss("non-saturating", minimax_discriminator, non_saturating_generator, has_signs=True)
"""Goodfellow et al. 2014, section 3; the logistic loss of StyleGAN and StyleGAN2."""
least_squares = AdversarialLoss("least-squares", least_squares_discriminator, least_squares_generator)
"""Mao et al. 2017, arXiv:1611.04076."""
hinge = AdversarialLoss("hinge", hinge_discriminator, wasserstein_generator, has_signs=True)
"""Lim and Ye 2017, arXiv:1705.02894."""
wasserstein = AdversarialLoss("wasserstein", wasserstein_discriminator, wasserstein_generator)
"""Arjovsky et al. 2017, arXiv:1701.07875."""
relativistic = AdversarialLoss("relativistic", relativistic_discriminator, relativistic_generator, pairs_examples=True)
"""Jolicoeur-Martineau 2018, arXiv:1807.00734, in the paired form of R3GAN, arXiv:2501.05441."""

LOSSES: Mapping[str, AdversarialLoss] = {
    loss.name: loss for loss in (minimax, non_saturating, least_squares, hinge, wasserstein, relativistic)
}
"""By the names that configs use."""
