"""The kernel distance against torch-fidelity, NVlabs and clean-fid on their own subsets, and by its definition."""

import golden_cases as golden
import jax
import numpy as np
import pytest

from ganzoo.metrics.kernel import kernel_distance, squared_mmd, subset

RECORD, FEATURES = golden.case("metrics/kid"), golden.case("metrics/fid")
REAL, FAKE = FEATURES["in/features_real"], FEATURES["in/features_gen"]


def over_subsets(original: str) -> list[float]:
    real, fake = (RECORD[f"in/{original}_subset_idx_{side}"] for side in ("real", "gen"))
    return [squared_mmd(REAL[ours], FAKE[theirs]) for ours, theirs in zip(real, fake, strict=True)]


def test_torch_fidelity() -> None:
    values = over_subsets("torch_fidelity")
    np.testing.assert_allclose(values, RECORD["out/torch_fidelity_mmd2_per_subset"], rtol=1e-6)
    np.testing.assert_allclose(np.mean(values), RECORD["out/torch_fidelity_kid_mean"], rtol=1e-6)
    np.testing.assert_allclose(np.std(values), RECORD["out/torch_fidelity_kid_std"], rtol=1e-6)


@pytest.mark.parametrize("name", ["nvlabs_kid", "clean_fid_kernel_distance"])
def test_those_that_compute_in_float32(name) -> None:
    np.testing.assert_allclose(np.mean(over_subsets("nvlabs")), RECORD[f"out/{name}"], rtol=1e-5)


def test_all_images_as_one_subset() -> None:
    expected = RECORD["out/torch_fidelity_full_single_subset_mmd2"]
    np.testing.assert_allclose(squared_mmd(REAL, FAKE), expected, rtol=1e-6)
    mean, deviation = kernel_distance(REAL, FAKE, jax.random.key(0), subsets=1, size=1000)
    np.testing.assert_allclose(mean, expected, rtol=1e-9)  # the only subset there is, in another order
    assert deviation == 0


def test_subsets_depend_on_the_key_alone() -> None:
    first, again = (kernel_distance(REAL, FAKE, jax.random.key(3), subsets=4, size=50) for _ in range(2))
    assert first == again
    assert first != kernel_distance(REAL, FAKE, jax.random.key(4), subsets=4, size=50)


def test_a_subset_has_every_image_once() -> None:
    assert sorted(subset(jax.random.key(0), 37, 37)) == list(range(37))
    few = subset(jax.random.key(1), 37, 11)
    assert len(set(few.tolist())) == 11


def test_the_estimate_is_unbiased() -> None:
    random = np.random.default_rng(0)
    values = [squared_mmd(random.normal(size=(20, 4)), random.normal(size=(20, 4))) for _ in range(400)]
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(len(values))
