"""Precision and recall against NVlabs and torch-fidelity, exactly; density and coverage against their definitions."""

import golden_cases as golden
import numpy as np
import pytest

from ganzoo.errors import UserError
from ganzoo.metrics.neighbours import manifolds, squared_radii

RECORD, FEATURES = golden.case("metrics/precision_recall"), golden.case("metrics/fid")
REAL, FAKE = FEATURES["in/features_real"], FEATURES["in/features_gen"]


@pytest.mark.parametrize("original", ["nvlabs_fp32", "torch_fidelity", "float64"])
def test_precision_and_recall(original) -> None:
    for k, found in zip((3, 5), manifolds(REAL, FAKE, (3, 5)), strict=True):
        assert np.float32(found.precision) == RECORD[f"out/{original}_k{k}_precision"]  # recorded in float32
        assert np.float32(found.recall) == RECORD[f"out/{original}_k{k}_recall"]


@pytest.mark.usefixtures("doubles")
def test_in_float64() -> None:
    (found,) = manifolds(REAL.astype(np.float64), FAKE.astype(np.float64), (3,))
    assert np.float32(found.precision) == RECORD["out/float64_k3_precision"]
    assert np.float32(found.recall) == RECORD["out/float64_k3_recall"]


@pytest.mark.parametrize(("side", "features"), [("real", REAL), ("gen", FAKE)])
def test_radii(side, features) -> None:
    (radii,) = np.sqrt(squared_radii(features, (3,)))
    np.testing.assert_allclose(radii, RECORD[f"out/kth_distance_{side}_k3"], rtol=1e-5)


@pytest.mark.parametrize("block", [1024, 100])
def test_definitions(block) -> None:
    real, fake = REAL[:230].astype(np.float64), FAKE[:170].astype(np.float64)
    distances = np.linalg.norm(real[:, None] - fake[None], axis=-1)
    among = np.sort(np.linalg.norm(real[:, None] - real[None], axis=-1), axis=1)
    results = manifolds(real.astype(np.float32), fake.astype(np.float32), (1, 5), block=block)
    for k, found in zip((1, 5), results, strict=True):
        inside = distances <= among[:, k][:, None]
        assert found.precision == inside.any(0).mean()
        np.testing.assert_allclose(found.density, inside.sum() / (k * len(fake)))
        assert found.coverage == inside.any(1).mean()


def test_a_set_and_itself() -> None:
    (found,) = manifolds(REAL, REAL, (5,))
    assert found.precision == found.recall == found.coverage == 1
    assert found.density > 1


def test_far_apart() -> None:
    (found,) = manifolds(REAL, FAKE + 1e3, (5,))
    assert found.precision == found.recall == found.coverage == found.density == 0


def test_too_few() -> None:
    with pytest.raises(UserError, match="3 images are too few for 3 nearest"):
        manifolds(REAL[:3], FAKE, (3,))
