"""Statistics of features, and their Frechet distance against pytorch-fid, clean-fid, torch-fidelity and NVlabs."""

import golden_cases as golden
import numpy as np
import pytest

from ganzoo.metrics.statistics import BLOCK, FeatureSet, Statistics, collect, frechet_between, frechet_distance

RECORD = golden.case("metrics/fid")
REAL, FAKE = RECORD["in/features_real"], RECORD["in/features_gen"]


@pytest.mark.parametrize("original", ["pytorch_fid", "clean_fid", "torch_fidelity"])
def test_unbiased(original) -> None:
    ours = frechet_distance(Statistics.of(REAL), Statistics.of(FAKE))
    np.testing.assert_allclose(ours, RECORD[f"out/{original}"], rtol=1e-8)


def test_biased() -> None:
    ours = frechet_distance(Statistics.of(REAL), Statistics.of(FAKE), biased=True)
    np.testing.assert_allclose(ours, RECORD["out/nvlabs"], rtol=1e-8)


@pytest.mark.parametrize("original", ["pytorch_fid", "torch_fidelity"])
def test_fewer_images_than_features(original) -> None:
    ours = frechet_distance(Statistics.of(REAL[:40]), Statistics.of(FAKE[:40]))
    np.testing.assert_allclose(ours, RECORD[f"out/{original}_rank_deficient_first40"], rtol=1e-6)


def test_statistics() -> None:
    real, fake = Statistics.of(REAL), Statistics.of(FAKE)
    np.testing.assert_allclose(real.mean, RECORD["out/mu_real"], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(fake.covariance(), RECORD["out/sigma_gen_unbiased"], rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(real.covariance(biased=True), RECORD["out/nvlabs_sigma_real_biased"], rtol=1e-6)


@pytest.mark.parametrize("count", [2, 40, 500])
def test_a_set_has_no_distance_from_itself(count) -> None:
    statistics = Statistics.of(REAL[:count])
    assert frechet_distance(statistics, statistics) < 1e-6
    assert frechet_distance(statistics, Statistics.of(REAL[:count][::-1])) < 1e-6


def test_diagonal_covariances_have_a_closed_form() -> None:
    a, b = np.array([4.0, 9.0, 0.0]), np.array([1.0, 0.0, 25.0])
    mean = np.array([1.0, 2.0, 3.0])
    expected = 4 * (mean**2).sum() + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum()
    np.testing.assert_allclose(frechet_between(mean, np.diag(a), -mean, np.diag(b)), expected, rtol=1e-14)


def test_sets_of_one_colour() -> None:
    zero = np.zeros((3, 3))
    assert frechet_between(np.ones(3), zero, np.zeros(3), zero) == 3


# Statistics that are collected ------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 7, 1000, 3000])
def test_the_batch_size_does_not_matter(batch_size) -> None:
    features = golden.draw(0, 2 * BLOCK + 100, 5).astype(np.float32) + 100
    batches = [features[i : i + batch_size] for i in range(0, len(features), batch_size)]
    ours, whole = collect(batches, keep=True), collect([features], keep=False)
    np.testing.assert_allclose(ours.statistics.scatter, whole.statistics.scatter, rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(ours.statistics.mean, whole.statistics.mean, rtol=1e-14)
    np.testing.assert_array_equal(ours.features, features)
    assert whole.features is None
    assert ours.statistics.count == len(features)


def test_collected_statistics_are_those_of_all_at_once_however_far_from_zero() -> None:
    features = (golden.draw(1, 3 * BLOCK + 1, 4) + 1e4).astype(np.float64)
    ours = collect(np.split(features, [10, 5000 % len(features)]), keep=False).statistics
    np.testing.assert_allclose(ours.covariance(), np.cov(features.T), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(ours.mean, features.mean(0), rtol=1e-14)


def test_the_order_does_not_matter() -> None:
    order = np.random.default_rng(0).permutation(len(REAL))
    ours = frechet_distance(collect([REAL[order]], keep=False).statistics, Statistics.of(FAKE))
    np.testing.assert_allclose(ours, frechet_distance(Statistics.of(REAL), Statistics.of(FAKE)), rtol=1e-10)


def test_what_is_not_finite_is_no_statistic() -> None:
    bad = REAL[:8].copy()
    bad[3, 3] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        collect([REAL[:8], bad], keep=False)
    with pytest.raises(ValueError, match="no images"):
        collect([], keep=False)


def test_what_is_kept_on_disk() -> None:
    features = FAKE[:9].astype(np.float32)
    whole, bare = FeatureSet(Statistics.of(features), features), FeatureSet(Statistics.of(features), None)
    again = FeatureSet.from_bytes(whole.to_bytes(), features=True)
    np.testing.assert_array_equal(again.features, features)
    np.testing.assert_array_equal(again.statistics.scatter, whole.statistics.scatter)
    assert FeatureSet.from_bytes(whole.to_bytes(), features=False).features is None
    assert FeatureSet.from_bytes(bare.to_bytes(), features=False).statistics.count == 9
    with pytest.raises(KeyError):
        FeatureSet.from_bytes(bare.to_bytes(), features=True)
