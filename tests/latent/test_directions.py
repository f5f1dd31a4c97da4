"""Directions of styles: principal components of a known cloud, and edits."""

import numpy as np
import pytest
from latent_states import drawn_state

import ganzoo
from ganzoo.errors import UserError
from ganzoo.latent import Sampler
from ganzoo.latent.directions import edit, factorise, modulation_kernels, principal_components

DRAWS = np.random.default_rng(0)


def test_principal_components_of_a_known_cloud() -> None:
    axes, _ = np.linalg.qr(DRAWS.normal(size=(8, 8)))
    ws = (DRAWS.normal(size=(4000, 3)) * [3, 2, 1]) @ axes[:3] + 5
    found, deviations = principal_components(ws.astype(np.float32), 3)
    np.testing.assert_allclose(np.abs(found @ axes[:3].T), np.eye(3), atol=0.1)
    np.testing.assert_allclose(deviations, [3, 2, 1], rtol=0.05)
    with pytest.raises(UserError, match="count = 9"):
        principal_components(ws, 9)


def test_edits_move_the_chosen_layers_only() -> None:
    ws, direction = DRAWS.normal(size=(2, 4, 3)), np.array([1.0, 0, 0])
    moved = edit(ws, direction, [-1, 0, 2], [0, 1]) - ws[:, None]
    np.testing.assert_allclose(moved[:, :, 2:], 0)
    np.testing.assert_allclose(moved[0, :, 0, 0], [-1, 0, 2], atol=1e-6)
    np.testing.assert_allclose(edit(ws, direction, [1], None)[:, 0] - ws, np.broadcast_to(direction, ws.shape))


def test_factorised_directions_are_those_of_the_modulation() -> None:
    gan = ganzoo.create("stylegan2", "tiny")
    sampler = Sampler(gan, drawn_state(gan))
    kernels = modulation_kernels(sampler)
    assert [kernel.shape[0] for kernel in kernels] == [8, 8, 8]
    found = factorise(sampler, 8)
    np.testing.assert_allclose(found @ found.T, np.eye(8), atol=1e-5)
    together = np.concatenate([kernel / np.linalg.norm(kernel, axis=0) for kernel in kernels], axis=1)
    power = np.linalg.norm(found @ together, axis=1)
    assert (np.diff(power) <= 1e-6).all()
