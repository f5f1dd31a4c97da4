"""What is shipped: one version, the data with its attribution, quick to import, torch and tensorflow not needed."""

import subprocess
import sys
import tomllib
from importlib import resources
from pathlib import Path

import ganzoo

ROOT = Path(__file__).parent.parent


def test_one_version() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == ganzoo.__version__


def test_package_data() -> None:
    for name in ("py.typed", "data/digits.npz", "data/digits_ATTRIBUTION.md"):
        assert (resources.files("ganzoo") / name).is_file()


def test_import_stays_light() -> None:
    heavy = [
        "torch",
        "tensorflow",
        "tensorflow_datasets",
        "grain",
        "PIL",
        "orbax",
        "tensorboardX",
        "tyro",
        "matplotlib",
    ]
    code = f"import sys, ganzoo; print([name for name in {heavy} if name in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert ended.stdout.strip() == "[]"
