"""The layers of StyleGAN3 by arithmetic: what frequencies each one holds, at what rate and size, behind what filters.

Karras et al. 2021, arXiv:2106.12423, section 3.2 and appendix D; numbers of NVlabs/stylegan3,
training/networks_stylegan3.py:291-327 and 428-451. Frequencies are in cycles, and sampling rates in pixels, per unit of
length, which is the shorter side of the image. Powers of two are not needed: rates are the image's own, halved.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ganzoo.config import require
from ganzoo.nn.pyramid import size_of
from ganzoo.ops import lowpass

Pair = tuple[int, int]


@dataclass(frozen=True)
class Signal:
    """Feature maps between two layers."""

    rate: int
    """Sampling rate."""
    cutoff: float
    """Highest frequency that passes unchanged."""
    half_width: float
    """Half of the width of the transition band above and below the cutoff."""
    size: Pair
    """(height, width) in pixels, with the margin around the image."""
    features: int
    """Channels."""


@dataclass(frozen=True)
class Layer:
    """A modulated convolution and a filtered leaky ReLU, from one signal to the next; the last one gives colours."""

    position: int
    before: Signal
    after: Signal
    is_colours: bool
    kernel_size: int
    taps: int
    """Taps of a filter per factor of resampling."""
    upsampling: int
    """Rate of the activation, as a multiple of the higher one of both signals' rates."""
    is_radial: bool
    """Whether the filter after the activation is radial."""

    @property
    def name(self) -> str:
        """Such as "L3_52_512", as in the original: position, height and channels of the result."""
        return f"L{self.position}_{self.after.size[0]}_{self.after.features}"

    @property
    def rate(self) -> int:
        """Sampling rate of the activation."""
        return max(self.before.rate, self.after.rate) * (1 if self.is_colours else self.upsampling)

    @property
    def up(self) -> int:
        """Factor of the upsampling before the activation."""
        return self.rate // self.before.rate

    @property
    def down(self) -> int:
        """Factor of the downsampling after the activation."""
        return self.rate // self.after.rate

    @property
    def up_taps(self) -> int:
        """Taps of the filter of the upsampling."""
        return 1 if self.up == 1 or self.is_colours else self.taps * self.up

    @property
    def down_taps(self) -> int:
        """Taps of the filter of the downsampling."""
        return 1 if self.down == 1 or self.is_colours else self.taps * self.down

    @cached_property
    def up_filter(self) -> np.ndarray | None:
        """Taps [k] of the upsampling; None without one."""
        return lowpass.design(self.up_taps, self.before.cutoff, 2 * self.before.half_width, self.rate)

    @cached_property
    def down_filter(self) -> np.ndarray | None:
        """Taps [k], or [k, k] of a radial filter, of the downsampling; None without one."""
        width = 2 * self.after.half_width
        return lowpass.design(self.down_taps, self.after.cutoff, width, self.rate, radial=self.is_radial)

    @property
    def padding(self) -> tuple[Pair, Pair]:
        """Zeros (before, after) around the upsampled image, for height and width; negative numbers crop.

        The convolution has added kernel_size - 1 pixels to either axis.
        """
        return self._padding(0), self._padding(1)

    def _padding(self, axis: int) -> Pair:
        given = (self.before.size[axis] + self.kernel_size - 1) * self.up
        total = (self.after.size[axis] - 1) * self.down + 1 - given + self.up_taps + self.down_taps - 2
        low = (total + self.up) // 2
        return low, total - low


@dataclass(frozen=True)
class Schedule:
    """All layers of a synthesis network, by the settings from which they follow."""

    image_size: Pair
    channels: int
    """Channels of the image."""
    layers: int
    """Layers besides the one of colours."""
    critical_layers: int
    """Last layers whose cutoff is the highest frequency of the image."""
    first_cutoff: float
    first_stopband: float
    last_stopband: float
    """Relative to half of the sampling rate of the image."""
    channel_base: int
    channel_max: int
    margin: int
    """Pixels around the image on each side, in which what happens at the border is lost."""
    kernel_size: int
    taps: int
    upsampling: int
    is_radial: bool

    @property
    def resolution(self) -> int:
        """Sampling rate of the image: pixels of its shorter side."""
        return min(self.image_size)

    @cached_property
    def signals(self) -> tuple[Signal, ...]:
        """The input of the first layer, and the result of every layer."""
        first = self._signal(0)
        return (first, *(self._signal(i) for i in range(self.layers + 1)))

    @cached_property
    def all_layers(self) -> tuple[Layer, ...]:
        """The layers in their order; the last one gives colours."""
        return tuple(
            Layer(
                position=i,
                before=self.signals[i],
                after=self.signals[i + 1],
                is_colours=i == self.layers,
                kernel_size=1 if i == self.layers else self.kernel_size,
                taps=self.taps,
                upsampling=self.upsampling,
                is_radial=self.is_radial and i < self.layers - self.critical_layers,
            )
            for i in range(self.layers + 1)
        )

    def area(self, signal: Signal) -> Pair:
        """Return (height, width) of the middle of a signal's feature maps, which is the image without its margin."""
        height, width = (side * signal.rate // self.resolution for side in self.image_size)
        return height, width

    def _signal(self, i: int) -> Signal:
        """Return the result of layer ``i``: cutoff and stopband grow geometrically until the critical layers."""
        nyquist = self.resolution / 2
        share = min(i / (self.layers - self.critical_layers), 1.0)
        cutoff = self.first_cutoff * (nyquist / self.first_cutoff) ** share
        stopband = self.first_stopband * (nyquist * self.last_stopband / self.first_stopband) ** share
        halvings = math.floor(math.log2(self.resolution / min(2 * stopband, self.resolution)))
        rate = self.resolution / 2**halvings
        is_last = i >= self.layers - 1
        margin = 0 if is_last else 2 * self.margin
        height, width = (side >> halvings for side in self.image_size)
        features = round(min(self.channel_base / 2 / cutoff, self.channel_max))
        fits = all(side % 2**halvings == 0 for side in self.image_size)
        require(fits, "image_size", self.image_size, f"be multiples of {2**halvings}, for layer {i}")
        return Signal(
            rate=int(rate),
            cutoff=cutoff,
            half_width=max(stopband, rate / 2) - cutoff,
            size=(height + margin, width + margin),
            features=self.channels if i == self.layers else features,
        )


def schedule_of(fields: Mapping[str, Any]) -> Schedule:
    """Return the layers of a config of StyleGAN3, whose fields are given by name."""
    return Schedule(
        image_size=size_of(fields["image_size"]),
        channels=fields["channels"],
        layers=fields["layers"],
        critical_layers=fields["critical_layers"],
        first_cutoff=fields["first_cutoff"],
        first_stopband=fields["first_stopband"],
        last_stopband=fields["last_stopband"],
        channel_base=fields["channel_base"],
        channel_max=fields["channel_max"],
        margin=fields["margin"],
        kernel_size=fields["kernel_size"],
        taps=fields["filter_taps"],
        upsampling=fields["activation_upsampling"],
        is_radial=fields["radial_filters"],
    )
