"""A zoo of generative adversarial networks for JAX."""

from ganzoo.errors import UserError
from ganzoo.gan import GAN, Average, NetworkState, TrainState
from ganzoo.models import MODELS, create
from ganzoo.pretrained import load

__version__ = "0.1.0"

__all__ = ["GAN", "MODELS", "Average", "NetworkState", "TrainState", "UserError", "create", "load"]
