"""What is shipped: one version, the data with its attribution, quick to import, torch and tensorflow not needed."""

import subprocess
import sys
import tomllib
from importlib import resources
from pathlib import Path

import pytest

import ganzoo

ROOT = Path(__file__).parent.parent


def test_one_version() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == ganzoo.__version__
    assert f"\nversion: {ganzoo.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_package_data() -> None:
    for name in ("py.typed", "data/digits.npz", "data/digits_ATTRIBUTION.md"):
        assert (resources.files("ganzoo") / name).is_file()


def python(code: str) -> str:
    """What a program of its own prints."""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return ended.stdout.strip()


HEAVY = ["torch", "tensorflow", "tensorflow_datasets", "grain", "PIL", "orbax", "tensorboardX", "tyro", "matplotlib"]


@pytest.mark.parametrize(
    ("imported", "absent"),
    [
        ("import ganzoo", [*HEAVY, "jax", "flax", "optax", "numpy"]),
        ("import ganzoo; ganzoo.create", HEAVY),
        ("import ganzoo.cli", [*HEAVY, "jax", "numpy"]),
    ],
)
def test_import_stays_light(imported: str, absent: list[str]) -> None:
    assert python(f"import sys; {imported}; print([name for name in {absent} if name in sys.modules])") == "[]"


def test_import_is_quick() -> None:
    assert float(python("import time, ganzoo; print(time.process_time())")) < 2


def test_every_public_name_is_there() -> None:
    missing = "[name for name in [*ganzoo.__all__, *dir(ganzoo)] if not hasattr(ganzoo, name)]"
    assert python(f"import ganzoo; print({missing})") == "[]"


def test_models_are_told_apart_by_import_linter() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (independent,) = [contract["modules"] for contract in contracts if contract["type"] == "independence"]
    packages = {path.stem for path in (ROOT / "ganzoo" / "models").iterdir() if path.stem[0] != "_"}
    assert set(independent) == {f"ganzoo.models.{name}" for name in packages - {"config"}}
