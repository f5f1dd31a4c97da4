"""Every notebook equals its paired script, has clean saved outputs, and runs without Jupyter."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
REMEDY = "run `jupytext --to ipynb --execute` on the .py"

pytestmark = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)


def cells(notebook: Path) -> list[tuple[str, str]]:
    """Return (type, source) of each cell of an .ipynb."""
    return [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(notebook.read_text())["cells"]]


def script_cells(script: Path) -> list[tuple[str, str]]:
    """Return (type, source) of each cell of a script in jupytext's percent format, without its header."""
    _, *parts = re.split(r"^# %%(.*)\n", script.read_text(), flags=re.MULTILINE)
    found = []
    for marker, source in zip(parts[::2], parts[1::2], strict=True):
        if marker == " [markdown]":
            found.append(("markdown", re.sub(r"^# ?", "", source, flags=re.MULTILINE).strip()))
        else:
            found.append(("code", source.strip()))
    return found


def outputs(notebook: Path) -> list[dict[str, Any]]:
    """Return all outputs of an .ipynb."""
    return [output for cell in json.loads(notebook.read_text())["cells"] for output in cell.get("outputs", [])]


def text_of(output: dict[str, Any]) -> str:
    """Return the text of an output."""
    return "".join(output.get("text", "")) + "".join(output.get("data", {}).get("text/plain", ""))


def test_is_in_step_with_its_script(notebook: Path) -> None:
    assert cells(notebook) == script_cells(notebook.with_suffix(".py")), REMEDY


def test_saved_outputs_have_images_and_no_warnings(notebook: Path) -> None:
    saved = outputs(notebook)
    assert any("image/png" in output.get("data", {}) for output in saved), f"no images; {REMEDY}"
    assert not [output for output in saved if output["output_type"] == "error" or output.get("name") == "stderr"]
    assert notebook.stat().st_size < 1_000_000


def test_saved_outputs_name_no_place_on_a_disk(notebook: Path) -> None:
    absolute = re.compile(r"(?<![\w.:/])(?:~?/[\w.-]+/|[A-Za-z]:\\)")
    assert [
        line for output in outputs(notebook) for line in text_of(output).splitlines() if absolute.search(line)
    ] == []


def test_was_run_from_top_to_bottom(notebook: Path) -> None:
    counts = [
        cell["execution_count"] for cell in json.loads(notebook.read_text())["cells"] if "execution_count" in cell
    ]
    assert counts == list(range(1, len(counts) + 1)), REMEDY


@pytest.mark.slow
def test_runs_as_plain_python(notebook: Path, tmp_path: Path) -> None:
    """Run it in a fresh process and folder, without IPython, with few steps, and with warnings as errors."""
    program = tmp_path / "program.py"
    code = [source for kind, source in cells(notebook) if kind == "code"]
    program.write_text("\n\n".join(["import sys; sys.modules['IPython'] = None", *code]))
    folder = tmp_path / "empty"
    folder.mkdir()
    environment = {
        "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".jax_cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(ROOT),
        "GANZOO_NOTEBOOK_STEPS": "50",
    }
    command = [sys.executable, "-W", "error", str(program)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert list(folder.iterdir()) == [], "a notebook leaves nothing behind"
