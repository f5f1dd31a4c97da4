"""The recorded numbers of the originals, by case: see golden/README.md for what they are."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from ganzoo.gan import named_leaves
from ganzoo.testing import assert_near, quick_jit
from ganzoo.testing.comparison import VALUES

GOLDEN = Path(__file__).parent / "golden"

GRADIENTS, DOUBLES = 1e-4, 1e-10
"""Tolerances as a share of the largest number of an array: of gradients in float32, and of float64."""


@dataclass(frozen=True)
class Case:
    """Options and arrays of one case. Gradients with respect to inputs are in none of its groups."""

    name: str
    options: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]

    def get(self, name: str) -> np.ndarray | None:
        """The array, or None where there is none."""
        return self.arrays.get(name)

    def inputs(self, dtype: Any = np.float32) -> dict[str, np.ndarray]:
        """Everything under ``in/``, in the type of a computation."""
        return {name: array.astype(dtype) for name, array in self.group("in/").items()}

    def most_exact(self, name: str) -> np.ndarray:
        """An output, of float64 where that was recorded."""
        return self.arrays.get(f"out64/{name}", self.arrays.get(f"out/{name}"))

    def group(self, prefix: str) -> dict[str, np.ndarray]:
        """The arrays directly under a prefix, by the rest of their names."""
        rest = {name.removeprefix(prefix): a for name, a in self.arrays.items() if name.startswith(prefix)}
        return {name: array for name, array in rest.items() if "/" not in name}


def case(path: str) -> Case:
    """The one case of a file, such as "sg2/mapping_cond"."""
    return Case(path.rpartition("/")[2], _options(path), _arrays(path))


def cases(path: str, **wanted: Any) -> list[Case]:
    """The cases of a file of many, of those whose options are as wanted; a tuple lists alternatives."""
    found = []
    for options in _options(path)["cases"]:
        if all(options.get(key) in (w if isinstance(w, tuple) else (w,)) for key, w in wanted.items()):
            prefix = f"{options['case']}/"
            arrays = {name.removeprefix(prefix): a for name, a in _arrays(path).items() if name.startswith(prefix)}
            found.append(Case(options["case"], options, arrays))
    return found


def files(pattern: str) -> list[Case]:
    """The cases of all files that match, such as "sg2/mapping_*"."""
    paths = sorted(GOLDEN.glob(f"{pattern}.json"))
    return [case(str(path.relative_to(GOLDEN).with_suffix(""))) for path in paths]


def over(cases: list[Case]) -> pytest.MarkDecorator:
    """A test of its argument ``case``, for every one of them."""
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


@cache
def _options(path: str) -> dict[str, Any]:
    return json.loads((GOLDEN / f"{path}.json").read_text())


@cache
def _arrays(path: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / f"{path}.npz") as arrays:
        return dict(arrays)


# Programs -----------------------------------------------------------------------------------------------------------


def run(f: Callable, *args: Any) -> Any:
    """``f(*args)`` as one program, compiled in half the time to slower code, since it runs once."""
    return quick_jit(f)(*args)


def draw(seed: int, *shape: int) -> np.ndarray:
    """N(0, 1), by NumPy: there is nothing to compile."""
    return (
        np.random.default_rng(seed).normal(size=shape).astype(np.float64 if jax.config.jax_enable_x64 else np.float32)
    )


def filled(module: Any, *args: Any) -> dict[str, Any]:
    """Variables of the module for these arguments, of our own numbers: to initialise takes long to compile.

    Kernels and buffers are N(0, 1), as in a fresh module; what that has at 0 or 1 is not, and so can be seen.
    """
    shapes = jax.eval_shape(module.init, jax.random.key(0), *args)
    leaves, structure = jax.tree.flatten(shapes)
    numbers = [draw(seed, *leaf.shape) * (1 if leaf.ndim > 1 else 0.3) for seed, leaf in enumerate(leaves)]
    return jax.tree.unflatten(structure, numbers)


# Layouts ------------------------------------------------------------------------------------------------------------


def nhwc(images: np.ndarray) -> np.ndarray:
    """[N, C, H, W] -> [N, H, W, C]."""
    return images.transpose(0, 2, 3, 1)


def nchw(images: Any) -> Any:
    """[N, H, W, C] -> [N, C, H, W]."""
    return images.transpose(0, 3, 1, 2)


def hwio(kernel: np.ndarray) -> np.ndarray:
    """[O, I, h, w] -> [h, w, I, O]."""
    return kernel.transpose(2, 3, 1, 0)


def hwoi(kernel: np.ndarray) -> np.ndarray:
    """[O, I, h, w] -> [h, w, O, I], as kernels are where the size grows."""
    return kernel.transpose(2, 3, 0, 1)


# Comparisons --------------------------------------------------------------------------------------------------------


def unrecorded(actual: Any, expected: Any, relative: float = VALUES) -> dict[str, Any]:
    """What ``actual`` has and ``expected`` has not; all the rest must be as in ``assert_near``."""
    assert_near(actual, expected, relative, extra=True)
    names = {name for name, _ in named_leaves(expected)}
    return {name: leaf for name, leaf in named_leaves(actual) if name not in names}


def assert_recorded(case: Case, actual: Mapping[str, Any], relative: float = VALUES) -> None:
    """Outputs by their recorded names: float64 where there is such a record and they are of that type."""
    for name, array in actual.items():
        precise = case.get(f"out64/{name}") if array.dtype == np.float64 else None
        if precise is None:
            assert_near(array, case[f"out/{name}"], relative)
        else:
            assert_near(array, precise, DOUBLES)
