"""Random damage to what run folders and files of weights hold: read as before, or refused in one line, soon.

Seeded and bounded, so that a failure can be repeated; ``GANZOO_FUZZ=2000`` tries more.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from mutations import bytes_changed

import ganzoo
from ganzoo import interop, pretrained
from ganzoo.config import to_json
from ganzoo.errors import LONGEST, UserError
from ganzoo.gan import named_leaves
from ganzoo.training.checkpoint import METADATA, Checkpoints

ROUNDS = int(os.environ.get("GANZOO_FUZZ", "40"))
SECONDS = 20
VALUES = (
    *("null", "true", "-1", "0", "1e999", "NaN", "-Infinity", "9" * 30, "9" * 5000, '"x"', '"\\u202e\\ud800\\n"', '""'),
    *("[]", "{}", "[[1]]", '{"a": 1}', "[" * 3000, '[1, "2", null]', "1.5", "16", "[1e300, 1]"),
    "[" + "1," * 999 + "1]",
)  # fmt: skip
"""JSON texts in the place of others."""


def changed(text: str, draws: random.Random) -> str:
    """Return a JSON text with one of its values or names replaced, dropped or doubled, or some letters changed."""
    kind = draws.randrange(6)
    if kind == 0:
        place = draws.randrange(len(text))
        return text[:place] + chr(draws.randrange(128)) + text[place + draws.randrange(3) :]
    if kind == 1:
        return text[: draws.randrange(len(text))]
    places = [i for i, letter in enumerate(text) if letter == ":"]
    place = draws.choice(places)
    end = min((found for mark in ",}]" if (found := text.find(mark, place)) > 0), default=len(text))
    if kind == 2:  # doubled
        start = text.rfind('"', 0, text.rfind('"', 0, place))
        return text[:start] + text[start:end] + "," + text[start:]
    return text[: place + 1] + draws.choice(VALUES) + text[end:]


def survives(read: Callable[[], object], what: str) -> bool:
    """Return whether something was read; fail unless it was, or was refused in one printable line, soon."""
    start, line = time.perf_counter(), ""
    try:
        read()
    except UserError as error:
        line = str(error)
    assert line.isprintable(), what
    assert len(line) <= LONGEST, what
    assert time.perf_counter() - start < SECONDS, what
    return not line


def weights_of(gan: ganzoo.GAN) -> dict[str, np.ndarray]:
    """Return random weights of a generator."""
    state = jax.eval_shape(gan.init, jax.random.key(0))
    draws = np.random.default_rng(0)
    ema = ((name, leaf) for name, leaf in named_leaves(state) if name.startswith("ema."))
    return {name: draws.normal(size=leaf.shape).astype(leaf.dtype) for name, leaf in ema}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with a checkpoint and a best one, of next to nothing."""
    folder = tmp_path_factory.mktemp("runs") / "a"
    arrays = {"w": np.random.default_rng(0).integers(0, 2**32, (40, 50), np.uint32)}
    with Checkpoints(folder / "checkpoints") as checkpoints:
        checkpoints.save(100, arrays)
    with Checkpoints(folder / "best", keep_best=1) as checkpoints:
        checkpoints.save(50, arrays, 2.0)
    (folder / "config.json").write_text(json.dumps(record()))
    return folder


# Configs, in a process of their own, because here annotations are checked before a config can speak ------------------


def record() -> dict[str, Any]:
    """Return the content of a run's config.json."""
    gan = to_json(ganzoo.create("dcgan", "tiny").config)
    experiment = {"name": "x", "model": "dcgan", "gan": gan, "data": {}, "training": {"seed": 0}}
    return {"format": pretrained.RUN_FORMAT, "experiment": experiment, "fingerprint": "0", "start": []}


def try_configs_of_runs(folder: Path) -> None:
    draws, text, found = random.Random(1), json.dumps(record()), []

    def read() -> None:
        experiment = pretrained.read_record(folder)["experiment"]
        gan = pretrained.build(interop.Converted(str(experiment.get("model")), experiment.get("gan", {}), {}))
        jax.eval_shape(gan.init, jax.random.key(0))

    for i in range(3 * ROUNDS):
        spoilt = changed(text, draws)
        (folder / "config.json").write_text(spoilt, errors="replace")
        found.append(survives(read, f"{i}: {spoilt[:2000]}"))
    assert 0 < sum(found) < len(found)


def try_heads_of_safetensors(folder: Path) -> None:
    gan, draws, file = ganzoo.create("stylegan2", "tiny"), random.Random(2), folder / "m.safetensors"
    interop.save(file, interop.Converted("stylegan2", to_json(gan.config), weights_of(gan)))
    content = file.read_bytes()
    length = int.from_bytes(content[:8], "little")
    head, found = json.loads(content[8 : 8 + length]), []
    for i in range(2 * ROUNDS):
        if i % 2:
            inner = changed(head["__metadata__"]["ganzoo"], draws)
            text = json.dumps({**head, "__metadata__": {"ganzoo": inner}}).encode()
        else:
            text = changed(json.dumps(head), draws).encode(errors="replace")
        file.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])
        found.append(survives(lambda: pretrained.load(file, log=lambda line: None), f"{i}: {text[:2000]!r}"))
    assert 0 < sum(found) < len(found)


FIELDS = {  # of the config in a file -> what the message names
    "resample_filter": ([float("inf")], "resample_filter = inf"),
    "channel_base": (10**400, "channel_base = 1000"),
    "image_size": ("16", "image_size = '16'"),
    "conv_clamp": (None, "conv_clamp = None"),
    "activation": ([[]], "activation = "),
    "mapping_layers": (True, "mapping_layers = True"),
    "style_size": (2**63, "style_size = 9223372036854775808"),
    "augment": ({"a": 1}, "augment = {'a': 1}"),
    "nothing": (1, "has no field 'nothing'"),
}


def try_fields(folder: Path) -> None:
    gan, file = ganzoo.create("stylegan2", "tiny"), folder / "m.safetensors"
    for field, (value, words) in FIELDS.items():
        config = to_json(gan.config) | {field: value}
        interop.save(file, interop.Converted("stylegan2", config, weights_of(gan)))
        with pytest.raises(UserError) as caught:
            ganzoo.load(file)
        assert str(caught.value).startswith(f"{file}: ")
        assert words in str(caught.value)


def test_configs(tmp_path: Path) -> None:
    root = Path(ganzoo.__file__).parent.parent
    places = os.pathsep.join((str(root), str(root / "experiments")))
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": places}
    command = [sys.executable, __file__, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=10 * SECONDS + ROUNDS)
    assert (done.returncode, done.stderr[-5000:]) == (0, "")


# Arrays and checkpoints ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_files_of_arrays(suffix: str, tmp_path: Path) -> None:
    draws, file = random.Random(3), tmp_path / f"m{suffix}"
    interop.write_arrays(file, weights_of(ganzoo.create("dcgan", "tiny")))
    content, found = file.read_bytes(), []
    for i in range(2 * ROUNDS):
        file.write_bytes(bytes_changed(draws, content))
        found.append(survives(lambda: pretrained.read_start(str(file), lambda line: None), str(i)))
    assert sum(found) < len(found)


def test_metadata_and_arrays_of_checkpoints(run: Path, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    draws, folder = random.Random(4), tmp_path / "b"
    shutil.copytree(run, folder)
    files = sorted(file for file in run.rglob("*") if file.is_file() and file.name != "config.json")
    arrays = pretrained.read_model(run).weights
    found = []
    for i in range(ROUNDS):
        file = draws.choice(files)
        spoilt, content = folder / file.relative_to(run), file.read_bytes()
        is_text = file.name in (METADATA, "metrics", "_METADATA") and draws.random() < 0.7
        spoilt.write_bytes(
            changed(content.decode(), draws).encode(errors="replace") if is_text else bytes_changed(draws, content)
        )

        def read() -> None:
            for name, array in pretrained.read_model(folder).weights.items():
                np.testing.assert_array_equal(array, arrays[name])

        found.append(survives(read, f"{i}: {spoilt}"))
        spoilt.write_bytes(content)
    assert 0 < sum(found) < len(found)
    assert capfd.readouterr() == ("", "")


if __name__ == "__main__":
    for attempt in (try_configs_of_runs, try_heads_of_safetensors, try_fields):
        attempt(Path(sys.argv[1]))
