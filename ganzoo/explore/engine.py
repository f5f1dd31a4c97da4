"""Images of settings: everything up to the styles in NumPy, the rest by one compiled program for each batch size."""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ganzoo.config import require
from ganzoo.errors import UserError
from ganzoo.explore.recent import Recent
from ganzoo.explore.settings import Settings, Step
from ganzoo.gan import generator_variables, named_leaves
from ganzoo.latent import directions
from ganzoo.latent.paths import place_on, slerp
from ganzoo.latent.sampler import Sampler
from ganzoo.latent.transforms import transform
from ganzoo.nn.styles import truncate
from ganzoo.typing import PyTree, State

MOST_DIRECTIONS = 12
"""Number of directions of each kind."""
NEED_STYLES = ("psi", "cutoff", "noise", "strength", "mix", "pca", "closed", "styles", "move", "rotate", "scale")
"""Fields of ``Settings`` that are for models with styles."""
MOST_STYLES, MOST_WEIGHTS = 256, 4
"""Styles and weights of visitors that are kept."""


@dataclass(frozen=True)
class Point:
    """What the last program takes for one image."""

    content: np.ndarray
    """Styles [L, w], or the latent [z] of a model without styles."""
    label: np.ndarray
    """[k]; used without styles only, and empty in an unconditional model."""
    maps: tuple[Any, ...]
    """Noise maps [1, h, w] of every layer, before they are multiplied."""
    strengths: np.ndarray
    """Factor of each noise map."""
    move: np.ndarray
    """Transform [3, 3]."""
    weights: str = ""


class Engine:
    """A generator that makes images of settings. Its methods may be called from any thread."""

    def __init__(self, sampler: Sampler) -> None:
        if not sampler.ema:  # the weights of visitors are the EMA of a state, so the model's own are, too
            own = generator_variables(sampler.state, ema=False)
            sampler = replace(sampler, state=replace(sampler.state, ema=own), ema=True)
        self.sampler, self.gan, self.space = sampler, sampler.gan, sampler.gan.styles
        self._styles: Recent[np.ndarray] = Recent(MOST_STYLES)
        self._weights: Recent[State] = Recent(MOST_WEIGHTS)
        self._made: Recent[np.ndarray] = Recent(512)
        self._noise: Recent[tuple[Any, ...]] = Recent(4)
        self._latents = jax.jit(lambda indices: self.gan.latents(jax.random.key(0), indices))
        tree = self.space.noise_maps(sampler.state, ema=sampler.ema) if self.space else {}
        self._own_maps: list[tuple[str, Any]] = named_leaves(tree)
        self._structure = jax.tree.structure(tree)
        self._program = jax.jit(self._synthesise if self.space else self._generate)

    # what the model can do

    @cached_property
    def levels(self) -> list[tuple[int, int]]:
        """Sizes (h, w) of the noise maps, the smallest first."""
        return sorted({(int(m.shape[0]), int(m.shape[1])) for _, m in self._own_maps})

    @cached_property
    def mean(self) -> np.ndarray:
        """The mean style [w]."""
        return np.asarray(self.sampler.require_styles("styles").mean(self.sampler.state, ema=self.sampler.ema))

    @cached_property
    def modulates(self) -> bool:
        """Whether styles modulate weights, whose eigenvectors are directions."""
        return bool(self.space and self.space.modulations(self.sampler.state, ema=self.sampler.ema))

    @cached_property
    def principal(self) -> np.ndarray:
        """Principal components [K, w] of styles, each one standard deviation long."""
        return directions.sampled_components(self.sampler, min(MOST_DIRECTIONS, len(self.mean)))

    @cached_property
    def closed(self) -> np.ndarray:
        """Eigenvectors [K, w] of the modulation weights."""
        return directions.factorise(self.sampler, min(MOST_DIRECTIONS, len(self.mean)))

    def about(self) -> dict[str, Any]:
        """Return what the page needs to know of the model, as JSON types."""
        gan, space = self.gan, self.space
        count = min(MOST_DIRECTIONS, len(self.mean)) if space else 0
        return {
            "model": gan.name,
            "shape": list(gan.image_shape),
            "labels": gan.label_size,
            "classes": gan.shown_classes.tolist(),
            "styles": space.count if space else 0,
            "noise": [f"{height} x {width}" for height, width in self.levels],
            "moves": bool(space and space.takes_transform),
            "drags": bool(space and space.feature_sizes),
            "pca": count,
            "closed": count if self.modulates else 0,
            "images_seen": int(np.asarray(self.sampler.state.images)),
        }

    # what visitors bring

    def keep_styles(self, ws: np.ndarray) -> str:
        """Keep styles [L, w] of a visitor; return their name, which their content decides on."""
        space = self.sampler.require_styles("styles")
        wanted = (space.count, len(self.mean))
        require(ws.shape == wanted, "styles", ws.shape, f"be of shape {wanted}, as this model's are")
        require(bool(np.isfinite(ws).all()), "styles", "numbers", "be finite")
        content = np.ascontiguousarray(ws, np.float32)
        name = hashlib.sha256(content.tobytes()).hexdigest()[:24]
        self._styles.put(name, content)
        return name

    def kept_styles(self, name: str) -> np.ndarray:
        """Return the styles [L, w] of a name; ``UserError`` where they are not kept."""
        found = self._styles.get(name)
        if found is None:
            raise UserError("these styles are not kept any more; open the whole link again, or project again")
        return found

    def keep_weights(self, state: State) -> str:
        """Keep a train state of a visitor, whose EMA makes the images; return its name, which nobody can guess."""
        name = secrets.token_hex(12)
        self._weights.put(name, state)
        return name

    def state(self, name: str) -> State:
        """Return the weights of a name; "" are the model's own."""
        found = self._weights.get(name) if name else self.sampler.state
        if found is None:
            raise UserError(
                "these tuned weights are not kept any more: the server was started again, or others were tuned since;"
                " go on with the model's own (Your own image, Tuned weights), or tune again"
            )
        return found

    # images

    def images(self, chosen: Sequence[Settings]) -> np.ndarray:
        """Return the images uint8 [N, H, W, C] of settings."""
        return self.made([self.point(each) for each in chosen])

    def made(self, points: Sequence[Point]) -> np.ndarray:
        """Return the images uint8 [N, H, W, C] of points with the same weights: one alone, or ``batch`` at a time."""
        size = 1 if len(points) == 1 else self.sampler.batch
        parts = []
        for first in range(0, len(points), size):
            part = list(points[first : first + size])
            full = part + part[-1:] * (size - len(part))
            parts.append(self._run(full)[: len(part)])
        return np.concatenate(parts)

    @property
    def compiled(self) -> int:
        """Number of programs that were compiled to make images."""
        return self._program._cache_size()  # ty: ignore[missing-attribute]

    def warm_up(self, size: int) -> None:
        """Compile what makes so many images at once, and what leads to them."""
        self.made([self.point(Settings())] * size)

    def _run(self, points: Sequence[Point]) -> np.ndarray:
        state = self.state(points[0].weights)
        content = np.stack([point.content for point in points])
        if self.space is None:
            labels = np.stack([point.label for point in points]) if self.gan.label_size else None
            return np.asarray(self._program(state, content, labels))
        one = len(points) == 1
        maps = points[0].maps if one else tuple(map(np.concatenate, zip(*(p.maps for p in points), strict=True)))
        strengths = np.stack([point.strengths for point in points])
        moves = np.stack([point.move for point in points]) if self.space.takes_transform else None
        return np.asarray(self._program(state, content, maps, strengths, moves))

    def _synthesise(self, state: State, ws: Any, maps: tuple[Any, ...], strengths: Any, moves: Any) -> jax.Array:
        scaled = [each * strengths[:, i, None, None] for i, each in enumerate(maps)]
        noise = jax.tree.unflatten(self._structure, scaled) if scaled else "const"
        space = self.sampler.require_styles("synthesis")
        return _pixels(space.synthesise(state, ws, noise=noise, transform=moves, ema=self.sampler.ema))

    def _generate(self, state: State, latents: Any, labels: Any) -> jax.Array:
        return _pixels(self.gan.generate(state, latents, labels, ema=self.sampler.ema))

    # points

    def point(self, settings: Settings) -> Point:
        """Return what the last program takes; ``UserError`` for settings that the model does not have."""
        if settings.path:
            return self._on_path(settings)
        self._require_fit(settings)
        label = self._label(settings.label)
        latent = self._latent(settings)
        if self.space is None:
            return Point(latent, label, (), np.zeros(0, np.float32), np.eye(3, dtype=np.float32), settings.weights)
        ws = self._edited(settings, latent, label)
        move = transform(settings.move, settings.rotate, settings.scale)
        maps, strengths = self._noise_of(settings)
        return Point(ws, label, maps, strengths, move, settings.weights)

    def styles(self, settings: Settings) -> np.ndarray:
        """Return the styles [L, w] of settings."""
        self.sampler.require_styles("styles")
        return self.point(settings).content

    def noise(self, point: Point) -> PyTree:
        """Return the noise maps [1, h, w] of a point, a tree like ``StyleSpace.noise_maps``."""
        scaled = [each * strength for each, strength in zip(point.maps, point.strengths, strict=True)]
        return jax.tree.unflatten(self._structure, scaled)

    def labels(self, settings: Settings) -> np.ndarray | None:
        """Return the label vector [k] of settings; None in an unconditional model."""
        return self._label(settings.label) if self.gan.label_size else None

    def _require_fit(self, settings: Settings) -> None:
        """Raise ``UserError`` where settings ask for what the model does not have."""
        plain = Settings()
        if self.space is None:
            for name in NEED_STYLES:
                if getattr(settings, name) != getattr(plain, name):
                    raise UserError(f"{name}: {self.gan.name} has no styles; leave it out")
            return
        moved = (settings.move, settings.rotate, settings.scale) != (plain.move, plain.rotate, plain.scale)
        if moved and not self.space.takes_transform:
            raise UserError(f"move, rotate and scale: the input of a {self.gan.name} cannot be moved; leave them out")
        for span, name in ((settings.layers, "layers"), (settings.mix_layers, "mix-layers")):
            last = self.space.count - 1
            require(span is None or span[1] <= last, name, span, f"be 0 to {last}, the style inputs of this model")
        strengths = settings.strength
        require(len(strengths) in (1, len(self.levels)), "strength", strengths, f"be one number, or {len(self.levels)}")
        if settings.closed and not self.modulates:
            raise UserError(f"closed: {self.gan.name} modulates no weights; use pca")

    def _label(self, entries: tuple[tuple[int, float], ...]) -> np.ndarray:
        size = self.gan.label_size
        require(bool(size) or not entries, "class", entries, f"be left out: this {self.gan.name} has no classes")
        label = np.zeros(size, np.float32)
        for place, value in entries or [(int(each), 1.0) for each in self.gan.shown_classes[:1]]:
            require(place < size, "class", place, f"be 0 to {size - 1}")
            label[place] = value
        return label

    def seed_latent(self, seed: int) -> np.ndarray:
        """Return the latent [z] of a seed: that of ``ganzoo sample``."""
        index = np.asarray([seed], np.uint32).view(np.int32)
        return self._made.made(("z", seed), lambda: np.asarray(self._latents(jnp.asarray(index)))[0])

    def _latent(self, settings: Settings) -> np.ndarray:
        latent = self.seed_latent(settings.seed)
        for step in settings.walk:
            latent = walked(latent, step)
        return latent

    def _mapped(self, latent: np.ndarray, label: np.ndarray) -> np.ndarray:
        """Return the styles [L, w] of a latent, not truncated."""
        labels = label[None] if self.gan.label_size else None
        made = self._made.made(
            ("w", latent.tobytes(), label.tobytes()), lambda: np.asarray(self.sampler.styles(latent[None], labels))[0]
        )
        return np.asarray(made)

    def _edited(self, settings: Settings, latent: np.ndarray, label: np.ndarray) -> np.ndarray:
        """Return the styles [L, w]: mapped or kept, truncated, mixed, and moved along directions."""
        count = self.sampler.require_styles("styles").count
        ws = self.kept_styles(settings.styles) if settings.styles else self._mapped(latent, label)
        ws = self._truncated(ws, settings)
        if settings.mix is not None:
            other = self._truncated(self._mapped(self.seed_latent(settings.mix), label), settings)
            first, last = settings.mix_layers or (count // 2, count - 1)
            ws[first : last + 1] = other[first : last + 1]
        first, last = settings.layers or (0, count - 1)
        for name in ("pca", "closed"):
            for place, amount in getattr(settings, name):
                axes = self.principal if name == "pca" else self.closed
                require(place < len(axes), name, place, f"be 0 to {len(axes) - 1}")
                ws[first : last + 1] += np.float32(amount) * axes[place]
        return ws

    def _truncated(self, ws: np.ndarray, settings: Settings) -> np.ndarray:
        """Return a copy of styles [L, w], truncated."""
        if settings.psi == 1:
            return np.array(ws)
        return np.array(truncate(ws[None], self.mean, settings.psi, cutoff=settings.cutoff)[0])

    def _noise_of(self, settings: Settings) -> tuple[tuple[Any, ...], np.ndarray]:
        """Return noise maps [1, h, w] and the factor of each."""
        name = ("random", settings.noise_seed) if settings.noise == "random" else ("const", 0)
        maps = self._noise.made(name, lambda: self._drawn(settings))
        factors = np.broadcast_to(np.asarray(settings.strength, np.float32), len(self.levels))
        places = [self.levels.index((int(m.shape[0]), int(m.shape[1]))) for _, m in self._own_maps]
        return maps, factors[places] * np.float32(settings.noise != "none")

    def _drawn(self, settings: Settings) -> tuple[Any, ...]:
        if settings.noise != "random":
            return tuple(jnp.asarray(each)[None] for _, each in self._own_maps)
        draws = np.random.default_rng(settings.noise_seed)
        return tuple(jnp.asarray(draws.standard_normal((1, *m.shape), np.float32)) for _, m in self._own_maps)

    def _on_path(self, settings: Settings) -> Point:
        """Return the point at a place of a path through bookmarks, which ends where it begins."""
        points = [self.point(mark) for mark in settings.path]
        if len({point.weights for point in points}) > 1:
            raise UserError("a path leads through images of the same weights only; leave out those that were tuned")
        if len(points) == 1:
            return points[0]
        way = settings.way or ("linear" if self.space else "slerp")
        first, t = int(settings.at) % len(points), settings.at % 1
        a, b = points[first], points[(first + 1) % len(points)]
        between = {
            name: np.asarray((1 - t) * getattr(a, name) + t * getattr(b, name), np.float32)
            for name in ("label", "strengths", "move")
        }
        content = place_on(np.stack([point.content for point in points]), settings.at, way)
        maps = tuple(x if x is y else _noise_between(x, y, t) for x, y in zip(a.maps, b.maps, strict=True))
        return Point(content=content, maps=maps, weights=a.weights, **between)


def neighbours(settings: Settings, plane: int, step: float) -> list[Settings]:
    """Return the settings of a 3 x 3 neighbourhood in a plane, row by row; those of the middle are the given ones."""
    *before, last = settings.walk or (Step(plane, 0.0, 0.0),)
    if last.plane != plane:
        before, last = [*before, last], Step(plane, 0.0, 0.0)
    cells = [
        replace(last, x=round(last.x + step * x, 6), y=round(last.y + step * y, 6))
        for y in (-1, 0, 1)
        for x in (-1, 0, 1)
    ]
    return [replace(settings, walk=(*before, cell)) for cell in cells]


def walked(latent: np.ndarray, step: Step) -> np.ndarray:
    """Return a latent [z] moved in a plane, with its length kept: a step of 1 is as long as a usual latent."""
    axes = np.random.default_rng(step.plane).standard_normal((2, len(latent)))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    length = float(np.linalg.norm(latent))
    moved = latent + length * (step.x * axes[0] + step.y * axes[1])
    return (moved * (length / max(float(np.linalg.norm(moved)), 1e-12))).astype(np.float32)


def _pixels(images: Any) -> jax.Array:
    """Return images in [-1, 1] as uint8, as ``ops.pixels.to_uint8`` does on the host."""
    return jnp.clip(jnp.asarray(images, jnp.float32) * 127.5 + 128, 0, 255).astype(jnp.uint8)


def _noise_between(a: Any, b: Any, t: float) -> np.ndarray:
    """Return noise maps [1, h, w] between two, always as strong."""
    flat = [np.asarray(each, np.float32).reshape(1, -1) for each in (a, b)]
    return slerp(flat[0], flat[1], np.asarray(t)).astype(np.float32).reshape(a.shape)
