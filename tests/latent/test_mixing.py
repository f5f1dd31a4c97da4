"""Style mixing takes the chosen layers."""

import numpy as np
import pytest

from ganzoo.errors import UserError
from ganzoo.latent.mixing import mix, mixing_table

DRAWS = np.random.default_rng(0)


def test_mixing_takes_the_chosen_layers() -> None:
    rows, columns = DRAWS.normal(size=(2, 6, 4)), DRAWS.normal(size=(3, 6, 4))
    result = mix(rows, columns, [4, 5])
    assert result.shape == (2, 3, 6, 4)
    np.testing.assert_array_equal(result[1, 2, :4], rows[1, :4])
    np.testing.assert_array_equal(result[1, 2, 4:], columns[2, 4:])
    with pytest.raises(UserError, match="layers = 6"):
        mix(rows, columns, [6])
    table = mixing_table(np.zeros((2, 2, 2, 1)), np.ones((3, 2, 2, 1)), np.full((2, 3, 2, 2, 1), 0.5))
    assert table[:, 0, 0, 0].tolist() == [1, 1, 1, 1, 0, 0.5, 0.5, 0.5, 0, 0.5, 0.5, 0.5]
