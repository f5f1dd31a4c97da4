import subprocess
import sys

import pytest

from ganzoo.data import DataConfig, open_dataset
from ganzoo.errors import UserError


def test_heavy_packages_are_imported_only_when_they_are_needed():
    code = "import sys, ganzoo.data; print({'PIL', 'tensorflow_datasets', 'tensorflow'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


@pytest.mark.parametrize("shape", [(8, 8, 5), (0, 8, 1)])
def test_an_impossible_shape_is_refused(shape):
    with pytest.raises(UserError):
        open_dataset(DataConfig(), shape)
