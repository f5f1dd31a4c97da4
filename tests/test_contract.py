"""What every registered model promises: the checks of ``ganzoo.testing``, over tiny presets and settings that take
other paths through a step."""

from collections.abc import Callable, Iterator

import jax
import pytest

import ganzoo
from ganzoo.models import MODELS
from ganzoo.testing import CHECKS, Contract, check_presets

WIDE = {"label_size": 3, "image_size": (8, 10), "channels": 4}
ADAPTIVE = {"augment": "color", "augment_target": -0.9, "augment_images": 64, "augment_interval": 2}
OTHERWISE = {
    "update": "alternate", "first_norm": "unit", "kernel_size": 5, "weight_decay": 1e-5, "label_size": 3, **ADAPTIVE
}  # fmt: skip
NOT_LAZY = {
    "micro_batch": 8, "path_length_interval": 0, "r1_interval": 0, "path_length_batch_shrink": 1,
    "minibatch_std_group": 0,
}  # fmt: skip

PLAIN = [("dcgan", {}), ("stylegan", {}), ("stylegan2", {}), ("stylegan3", {}), ("r3gan", {})]
"""ProGAN is StyleGAN with other settings."""
VARIANTS = [
    ("progan", {}),
    ("dcgan", OTHERWISE),
    ("dcgan", {"loss": "wasserstein", "gradient_penalty": 10.0, "micro_batch": 8, "r1_interval": 2}),
    (
        "dcgan",
        {"loss": "relativistic", "r1_gamma": 1.0, "r2_gamma": 1.0, "sample_statistics": "batch",
         "latent_distribution": "uniform", "augment": "diffaugment"},
    ),
    ("stylegan", {**WIDE, "progressive": False, "loss": "hinge", "augment": "color", "augment_p": 0.5}),
    ("stylegan2", {**WIDE, **NOT_LAZY, **ADAPTIVE}),
    ("stylegan2", {"loss": "least-squares", "r2_gamma": 1.0, "gradient_penalty": 1.0, "label_size": 3}),
    (
        "stylegan3",
        {**WIDE, **ADAPTIVE, "kernel_size": 1, "radial_filters": True, "style_mixing": 0.9, "micro_batch": 8,
         "r1_interval": 0, "minibatch_std_group": 0},
    ),
    (
        "stylegan3",
        {"image_size": (12, 8), "remat": True, "augment": "bgc", "augment_p": "cosine(0, 0.5, 64)", "r2_gamma": 0.5,
         "generator_learning_rate": "linear(1e-3, 2e-3, 64)", "r1_gamma": "linear(1, 0.5, 64)", "ema_ramp": 0.05,
         "discriminator_learning_rate": "cosine(2e-3, 1e-3, 64)", "ema_half_life": "linear(10, 100, 64)"},
    ),
    ("r3gan", {**WIDE, "micro_batch": 8, "augment": "bgc-cutout", "augment_p": "cosine(0, 0.5, 64)"}),
    ("r3gan", {"r1_interval": 2, "gradient_penalty": 1.0, "loss": "hinge"}),
]  # fmt: skip
WAYS_TO_COMPILE = {
    "jit_over_devices_equals_one", "shard_map_equals_one", "unchecked_shard_map_equals_one", "pmap_equals_one",
    "scan_equals_single_steps", "divided_state_equals_one", "vmap_equals_separate_runs", "a_step_takes_its_state",
    "types_do_not_depend_on_x64",
}  # fmt: skip
"""Checks of how a step is compiled, not of what it computes: the quick tests make them of DCGAN alone."""
OF_ALL_VARIANTS = {"jit_over_devices_equals_one", "shard_map_equals_one", "types_do_not_depend_on_x64"}
"""Those of them that the slow tests make of every variant, and not of the plain models alone."""


def named(variant: tuple) -> str:
    return "-".join([variant[0], *variant[1]])[:60]


@pytest.fixture(params=PLAIN, scope="module", ids=named)
def contract(request: pytest.FixtureRequest) -> Iterator[Contract]:
    name, fields = request.param
    yield Contract(ganzoo.create(name, "tiny", **fields))
    jax.clear_caches()  # programs of one variant are of no use to the next one, and fill the memory


def checks_of(names: set[str]) -> list[Callable]:
    return [check for name, check in CHECKS.items() if name in names]


@pytest.mark.parametrize("check", checks_of(set(CHECKS) - WAYS_TO_COMPILE))
def test_every_model(contract: Contract, check: Callable) -> None:
    check(contract)


@pytest.mark.parametrize("check", checks_of(WAYS_TO_COMPILE))
@pytest.mark.parametrize("contract", PLAIN[:1], ids=named, indirect=True, scope="module")
def test_every_way_to_compile(contract: Contract, check: Callable) -> None:
    check(contract)


@pytest.mark.slow
@pytest.mark.parametrize("check", checks_of(WAYS_TO_COMPILE))
@pytest.mark.parametrize("contract", PLAIN[1:], ids=named, indirect=True, scope="module")
def test_every_way_to_compile_other_models(contract: Contract, check: Callable) -> None:
    check(contract)


@pytest.mark.slow
@pytest.mark.parametrize("check", checks_of(set(CHECKS) - WAYS_TO_COMPILE | OF_ALL_VARIANTS))
@pytest.mark.parametrize("contract", VARIANTS, ids=named, indirect=True, scope="module")
def test_every_variant(contract: Contract, check: Callable) -> None:
    check(contract)


@pytest.mark.parametrize(
    "name", [name if name in ("dcgan", "progan") else pytest.param(name, marks=pytest.mark.slow) for name in MODELS]
)
def test_presets(name: str) -> None:
    check_presets(MODELS[name])
