"""Metrics of samplers: what they say of sets that are known, and what must not change a number."""

import golden_cases as golden
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ganzoo.errors import UserError
from ganzoo.metrics import suite
from ganzoo.metrics.extractors import Extractor, pixels, random_conv
from ganzoo.metrics.resize import filtered
from ganzoo.metrics.suite import Evidence, extract_features, measure
from ganzoo.training.parallel import data_mesh

COUNT = 200
SMALL = Extractor("small", lambda weights, images: filtered(images, (3, 3), "box").reshape(len(images), -1) / 255)
NAMES = ["frechet", "precision_recall", "density_coverage"]
SHAPE = (12, 10, 3)
PICTURES = np.random.default_rng(0).integers(0, 256, (COUNT, 12, 10, 3), np.uint8)


def found(sampler, extractor=SMALL, count=COUNT, batch_size=64, devices=1):
    return extract_features(sampler, extractor, count, keep=True, batch_size=batch_size, mesh=data_mesh(devices))


def stored_pictures(indices):
    return PICTURES[indices]


def others(indices):
    return PICTURES[::-1, ::-1, :, ::-1][indices]


def darker(indices):
    """Float images on a device."""
    return jnp.asarray(PICTURES[indices], jnp.float32) / 127.5 * 0.8 - 1


@pytest.fixture(scope="module")
def real():
    return found(stored_pictures)


def numbers(real, fake, names=NAMES) -> dict[str, float]:
    return measure(names, Evidence(SMALL, real, fake, jax.random.key(0)))


def test_a_set_and_itself(real) -> None:
    same = numbers(real, real)
    assert same["small/frechet"] < 1e-6
    assert same["small/precision"] == same["small/recall"] == same["small/coverage"] == 1


def test_another_set(real) -> None:
    other = numbers(real, found(darker), ["frechet", "kernel", "precision_recall", "density_coverage"])
    assert other["small/frechet"] > 0.01
    assert other["small/kernel"] > 0
    assert next(iter(other)) == "small/frechet"
    titles = "frechet", "kernel", "kernel_std", "precision", "recall", "density", "coverage"
    assert list(other) == [f"small/{title}" for title in titles]


@pytest.fixture(scope="module")
def expected(real):
    """Of both samplers, in one batch on one device."""
    return {sampler: numbers(real, found(sampler, batch_size=COUNT)) for sampler in (others, darker)}


@pytest.mark.parametrize(("batch_size", "devices"), [(7, 1), (64, 8)])
@pytest.mark.parametrize("sampler", [others, darker])
def test_batch_size_and_devices_do_not_matter(sampler, batch_size, devices, real, expected) -> None:
    ours = numbers(real, found(sampler, batch_size=batch_size, devices=devices))
    for name, number in ours.items():
        np.testing.assert_allclose(number, expected[sampler][name], rtol=1e-6, atol=2e-8, err_msg=name)


def test_the_order_does_not_matter(real) -> None:
    order = np.random.default_rng(1).permutation(COUNT)
    shuffled = numbers(real, found(lambda indices: darker(order[indices])), ["frechet", "precision_recall"])
    straight = numbers(real, found(darker), ["frechet", "precision_recall"])
    for name, number in shuffled.items():
        np.testing.assert_allclose(number, straight[name], rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("channels", [1, 2, 4])
@pytest.mark.parametrize("extractor", [pixels, random_conv])
def test_any_channels_and_sides(channels, extractor) -> None:
    images = np.random.default_rng(2).integers(0, 256, (5, 9, 33, channels), np.uint8)
    features = found(lambda indices: images[indices], extractor(), count=5, batch_size=8).features
    assert features.shape[0] == 5
    assert np.isfinite(features).all()
    assert features.std(0).max() > 0


def test_extractors_are_the_same_on_every_machine() -> None:
    features = found(stored_pictures, random_conv(), count=2).features
    assert features.shape == (2, 224)
    np.testing.assert_allclose(features[0, [0, 50, 223]], EXPECTED, atol=1e-6)


EXPECTED = [0.183102, 0.001756, 0.232292]


def test_an_extractor_of_ones_own() -> None:
    extractor = Extractor("mean-colour", lambda weights, images: images.mean((1, 2)) * weights, np.float32(2))
    features = found(stored_pictures, extractor, count=9, batch_size=4).features
    np.testing.assert_allclose(features, 2 * PICTURES[:9].mean((1, 2)), rtol=1e-5)


# Names --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fid", "kid", "inception_score"])
def test_other_features_have_no_fid(name, real) -> None:
    with pytest.raises(UserError, match=f"{name} needs Inception features"):
        numbers(real, real, [name])


def test_inception_features_have_the_names_of_the_literature(real) -> None:
    extractor = Extractor("inception", SMALL.function, classifier=golden.draw(0, 27, 10))
    names = ["fid", "kid", "inception_score", "precision_recall"]
    result = measure(names, Evidence(extractor, real, real, jax.random.key(0)))
    assert list(result) == ["fid", "kid", "kid_std", "inception_score", "inception_score_std", "precision", "recall"]
    assert result["inception_score"] >= 1


def test_a_typo_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(UserError, match="unknown metric 'precison_recall'; did you mean 'precision_recall'"):
        suite.check_names(["precison_recall"])


@pytest.mark.parametrize(
    ("typed", "ours"),
    [("FID", "fid"), ("Precision-Recall", "precision_recall"), ("fid50k_full", "fid"), ("ppl2_wend", "ppl_w_end")],
)
def test_names_of_others(typed, ours) -> None:
    with pytest.raises(UserError, match=f"unknown metric '{typed}'; did you mean '{ours}'"):
        suite.check_names([typed])


def test_names_with_commas() -> None:
    with pytest.raises(UserError, match="unknown metric 'fid,kid'; separate names by spaces"):
        suite.check_names(["fid,kid"])


LEAST = {"frechet": 2, "kernel": 2, "inception_score": 20, "precision_recall": 4, "density_coverage": 6}


@pytest.mark.parametrize("name", LEAST)
def test_too_few_images(name, real) -> None:
    """What is refused before the work is defined with one image more."""
    least = LEAST[name]
    suite.check_counts([name], real=least, fake=least)
    with pytest.raises(UserError, match=f"{name} needs at least {least} generated images, not {least - 1} of a.zip"):
        suite.check_counts([name], real=least, fake=least - 1, of_fake="a.zip")
    if name != "inception_score":
        with pytest.raises(UserError, match=f"{name} needs at least {least} real images, not {least - 1}; take more"):
            suite.check_counts([name], real=least - 1)
    extractor = Extractor("inception", SMALL.function, classifier=golden.draw(0, 27, 10))
    few = found(darker, count=least, batch_size=8)
    numbers = measure([name], Evidence(extractor, few, few, jax.random.key(0)))
    assert all(map(np.isfinite, numbers.values()))


def test_a_covariance_without_full_rank_is_told() -> None:
    assert suite.rank_warning(["kernel"], SMALL, SHAPE, real=3, fake=3) is None
    assert suite.rank_warning(["frechet"], SMALL, SHAPE, real=28, fake=28) is None
    assert suite.rank_warning(["frechet"], SMALL, SHAPE, real=28, fake=27) == (
        "small/frechet of 27 generated images is far too uncertain to compare: features of 27 numbers need more than"
        " 27 images on each side (papers take 50,000)"
    )


def test_features_are_kept_where_they_are_needed() -> None:
    assert suite.keeps_features(["fid", "ppl_z_full"]) == (False, False)
    assert suite.keeps_features(["fid", "inception_score"]) == (False, True)
    assert suite.keeps_features(["kernel"]) == (True, True)
    assert suite.higher_is_better("precision_recall")
    assert not any(map(suite.higher_is_better, ("fid", "kid", "ppl_w_end")))


def test_a_name_is_of_features_or_of_pairs_or_of_modes() -> None:
    modes = {name: None for name in suite.NAMES if suite.counts_modes([name])}
    assert list(modes) == ["modes"]
    assert list(suite.feature_metrics(suite.NAMES) | suite.pair_metrics(suite.NAMES) | modes) == list(suite.NAMES)
    featureless = [name for name in suite.NAMES if not suite.uses_extractor([name])]
    assert featureless == ["eqt", "eqt_frac", "eqr", "modes"]
    assert list(suite.pair_metrics(["fid", "ppl_w_end"])) == ["ppl_w_end"]


def test_options_of_an_extractor_reach_the_compiler():
    odd = Extractor("odd", SMALL.function, compiler_options={"xla_cpu_no_such_option": True})
    with pytest.raises(jax.errors.JaxRuntimeError, match="xla_cpu_no_such_option"):
        found(stored_pictures, odd)
