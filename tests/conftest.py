"""Eight devices, strict numerics and checked shapes for every test; must run before ganzoo is imported."""

import gc
import importlib
import importlib.metadata
import os
import pkgutil
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest
from jaxtyping import install_import_hook

ROOT = Path(__file__).parent.parent
QUICKLY = "--xla_backend_optimization_level=1"
"""Flags that save half of compilation, which is most of the time of the tests; at level 0 sums depend on the moment."""
if tuple(map(int, importlib.metadata.version("jax").split(".")[:2])) < (0, 11):
    QUICKLY += " --xla_cpu_use_fusion_emitters=false"  # later versions have no such flag, and refuse to start with it

os.environ.setdefault("XLA_FLAGS", QUICKLY)
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_traceback_in_locations_limit", 0)  # programs without lines of source are lowered faster
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_compilation_cache_dir", os.environ.get("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".jax_cache")))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)

CHECKED = [
    *("ops", "nn", "losses", "penalties", "draws", "objectives", "augment", "gan", "phases", "grids", "models"),
    *("training", "metrics", "latent", "testing"),
]

with install_import_hook([f"ganzoo.{name}" for name in CHECKED], "typechecker.check"):
    for name in CHECKED:  # everything else finds them imported
        module = importlib.import_module(f"ganzoo.{name}")
        for part in pkgutil.walk_packages(getattr(module, "__path__", []), f"{module.__name__}."):
            importlib.import_module(part.name)


gc.freeze()  # what is imported stays, and the many objects of traced programs do not make the collector walk them often
gc.set_threshold(200_000, 20, 100)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as shells start what runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # and the processes of tests would inherit it

LONGEST = ("test_resume.py", "test_contract.py", "test_notebooks.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the files that take longest first, or one process would be left alone with one of them at the end."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


MEMORY_OF_PROGRAMS = 2e9


def _resident_bytes() -> float:
    """Return the memory of this process, or infinity where the system does not tell."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else float("inf")


@pytest.fixture(autouse=True)
def _private_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What the library remembers between runs does not leak into the user's home."""
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="module", autouse=True)
def _forget_programs() -> Iterator[None]:
    """Keep the programs of one file for the next, until they take much memory."""
    yield
    if _resident_bytes() > MEMORY_OF_PROGRAMS:
        jax.clear_caches()


@pytest.fixture
def doubles() -> Iterator[None]:
    """Float64 in the place of float32."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 64 images, not to be touched."""
    from small_runs import TINY

    from ganzoo.cli import main

    out = tmp_path_factory.mktemp("trained") / "run"
    assert main([*TINY, "--out", str(out)]) == 0
    return out


@pytest.fixture
def run_folder(trained: Path, tmp_path: Path) -> Path:
    """A copy of it that may be spoilt."""
    return Path(shutil.copytree(trained, tmp_path / "run"))
