"""Equivariance: the operators and whole metrics against the records of NVlabs/stylegan3, and what must be so."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_cases import nhwc
from models.stylegan3.stylegan3_records import config_of, load, state_of_generator

import ganzoo
from ganzoo.errors import UserError
from ganzoo.metrics import equivariance, suite
from ganzoo.metrics.config import MetricsConfig
from ganzoo.models import stylegan3
from ganzoo.testing import assert_near, quick_jit

NAMES = ("eqt", "eqt_frac", "eqr")
OPERATORS, ARRAYS = load("eq/operators")


@pytest.mark.parametrize("operator", ["translate_integer", "translate_fractional", "rotate", "pseudo_rotate"])
def test_recorded_operators(operator: str) -> None:
    run = quick_jit(getattr(equivariance, operator))
    for case in OPERATORS["cases"]:
        if operator not in case["applies"]:
            continue
        images = nhwc(ARRAYS[case["x"]])
        draws = [case[name] for name in ("tx", "ty", "angle") if name in case]
        moved, known = run(images, *(jnp.full(len(images), draw, jnp.float32) for draw in draws))
        at = f"out/{operator}/{case['name']}"
        assert_near(moved, nhwc(ARRAYS[f"{at}/image"]))
        theirs = nhwc(ARRAYS[f"{at}/mask"])
        np.testing.assert_array_equal(np.broadcast_to(known, theirs.shape), theirs)


def test_recorded_filters() -> None:
    for case in OPERATORS["cases"]:
        for up in (1, 4) if "bandlimit_filter" in case["applies"] else ():
            f = equivariance.bandlimit_filter(jnp.float32(case["angle"]), up)
            assert_near(f, ARRAYS[f"out/bandlimit_filter/{case['name']}_up{up}"])


def record_of(case: str) -> tuple[Any, Any, Any, Any]:
    """The record of the metrics of a generator, the model, its state, and the errors."""
    options, golden = load(case)
    meta, arrays = load(options["generator"])
    gan = stylegan3.stylegan3(config_of(meta))
    return golden, gan, state_of_generator(arrays), quick_jit(
        lambda z, labels, draws: [
            equivariance.move_errors(name, gan, state_of_generator(arrays), z, labels, draws[i])
            for i, name in enumerate(NAMES)
        ]
    )  # fmt: skip


@pytest.fixture(scope="module")
def recorded() -> tuple[Any, Any, Any, Any]:
    """The record of a conditional generator of configuration T."""
    return record_of("eq/metric_t")


def assert_recorded(record: tuple[Any, Any, Any, Any]) -> None:
    """The errors of every batch and the metrics are the recorded ones; errors that are rounding only are as small."""
    golden, gan, _, errors_of = record
    sums, psnr = np.zeros((3, 2)), golden["out/psnr"]
    rounding = psnr > 90
    for step in range(4):
        z, labels, draws = (golden[f"in/{step}/{name}"] for name in ("z", "c", "draws"))
        each = np.stack([draws[:2], draws[2:4], [draws[4], 0]])[:, None].repeat(len(z), axis=1)
        found = errors_of(z, labels if gan.label_size else None, each.astype(np.float32))
        found = np.asarray(found, np.float64).sum(-1)
        theirs = golden[f"out/{step}/sums"].reshape(3, 2)
        np.testing.assert_allclose(found[~rounding], theirs[~rounding], rtol=1e-3)
        assert np.array_equal(found[rounding, 1], theirs[rounding, 1])
        assert (found[rounding, 0] < 10 * theirs[rounding, 0]).all()
        sums += found
    ours = np.array([equivariance.psnr(*pair) for pair in sums])
    assert (ours[rounding] > 90).all()
    np.testing.assert_allclose(ours[~rounding], psnr[~rounding], atol=1e-2)


def test_recorded_metrics(recorded: tuple) -> None:
    assert_recorded(recorded)


@pytest.mark.slow
def test_recorded_metrics_of_configuration_r() -> None:
    assert_recorded(record_of("eq/metric_r"))


@pytest.mark.slow
def test_a_metric_does_not_depend_on_the_size_of_batches(recorded: tuple) -> None:
    _, gan, state, _ = recorded
    make = quick_jit(
        lambda indices: equivariance.errors_of("eqt_frac")(gan, jax.random.key(3), state, indices, labels(indices))
    )

    def labels(indices: jax.Array) -> jax.Array:
        return jax.nn.one_hot(indices % 10, 10)

    numbers = [equivariance.equivariance(make, 5, batch_size=size) for size in (2, 4)]
    assert numbers[0] == pytest.approx(numbers[1], abs=1e-3)
    assert 40 < numbers[0] < 100


def test_other_generators_are_refused() -> None:
    with pytest.raises(UserError, match="eqt: the input of a stylegan2 cannot be moved"):
        suite.check_model(["eqt"], ganzoo.create("stylegan2", "tiny"))
    wide = ganzoo.create("stylegan3", "tiny", image_size=(8, 10))
    suite.check_model(["eqt", "eqt_frac"], wide)
    for gan in (wide, ganzoo.create("stylegan3", "tiny")):
        with pytest.raises(UserError, match="must be square, of 24 pixels or more, to be turned"):
            suite.check_model(["eqr"], gan)
    assert np.isnan(equivariance.psnr(0, 0))


def test_names_and_titles() -> None:
    config = MetricsConfig(metrics=NAMES, samples=4)
    assert not suite.uses_extractor(config.metrics)
    extractor = ganzoo.metrics.random_conv()
    assert [suite.title(name, extractor) for name in NAMES] == list(NAMES)
    with pytest.raises(UserError, match="did you mean 'eqr'"):
        replace(config, metrics=("eqr50k",))
