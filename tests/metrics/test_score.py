"""The Inception score against NVlabs (from probabilities) and torch-fidelity (from scores), and its bounds."""

import golden_cases as golden
import numpy as np
import pytest

from ganzoo.metrics.score import score_from_logits

RECORD = golden.case("metrics/inception_score")
LOGITS = RECORD["in/logits"]


@pytest.mark.parametrize("splits", [1, 10])
def test_nvlabs(splits) -> None:
    mean, deviation = score_from_logits(np.log(RECORD["in/probs"].astype(np.float64)), splits)
    np.testing.assert_allclose(mean, RECORD[f"out/nvlabs_splits{splits}_mean"], rtol=1e-6)
    np.testing.assert_allclose(deviation, RECORD[f"out/nvlabs_splits{splits}_std"], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("splits", [1, 10])
def test_torch_fidelity(splits) -> None:
    name = f"out/torch_fidelity_noshuffle_splits{splits}"
    mean, deviation = score_from_logits(LOGITS, splits)
    np.testing.assert_allclose(mean, RECORD[f"{name}_mean"], rtol=1e-9)
    np.testing.assert_allclose(deviation, RECORD[f"{name}_std"], rtol=1e-8, atol=1e-12)


def test_torch_fidelity_in_its_order() -> None:
    mean, deviation = score_from_logits(LOGITS[RECORD["in/torch_fidelity_permutation_seed2020"]])
    np.testing.assert_allclose(mean, RECORD["out/torch_fidelity_shuffle_splits10_mean"], rtol=1e-9)
    np.testing.assert_allclose(deviation, RECORD["out/torch_fidelity_shuffle_splits10_std"], rtol=1e-8)


def test_bounds() -> None:
    sure = np.where(np.eye(7, dtype=bool), 0.0, -1e9)
    np.testing.assert_allclose(score_from_logits(sure, 1)[0], 7)  # every class once, and surely
    np.testing.assert_allclose(
        score_from_logits(np.repeat(sure[:1], 9, axis=0), 3), (1, 0), atol=1e-12
    )  # always the same
    np.testing.assert_allclose(score_from_logits(np.zeros((9, 7)), 2), (1, 0), atol=1e-12)  # no idea


def test_fewer_images_than_parts() -> None:
    mean, _ = score_from_logits(LOGITS[:3], 10)
    np.testing.assert_allclose(mean, 1)
