"""Models saved and loaded: bit for bit, whole or not at all, and the checkpoint of a run that was meant."""

import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import serialization
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import ganzoo
from ganzoo import interop, pretrained
from ganzoo.cli import main
from ganzoo.errors import UserError
from ganzoo.gan import named_leaves
from ganzoo.models import MODELS
from ganzoo.models.stylegan2 import StyleGAN2State
from ganzoo.training.checkpoint import METADATA, Checkpoints
from ganzoo.training.selection import FOLDERS, select

KEY = jax.random.key(0)


def by_name(state) -> dict[str, np.ndarray]:
    return {name: np.asarray(leaf) for name, leaf in named_leaves(state)}


def trained(gan: ganzoo.GAN, seed: int = 0):
    """A state with optimizers in which no array is like another one."""
    draws = np.random.default_rng(seed)

    def drawn(leaf: jax.ShapeDtypeStruct) -> jax.Array:
        is_float = jnp.issubdtype(leaf.dtype, jnp.floating)
        return jnp.asarray(draws.normal(size=leaf.shape) if is_float else draws.integers(1, 2**31, leaf.shape)).astype(
            leaf.dtype
        )

    return jax.tree.map(drawn, jax.eval_shape(gan.init, KEY))


def assert_loaded(found, state) -> None:
    """All but the optimizers is the same, also its type."""
    expected = {name: array for name, array in by_name(state).items() if ".opt_state" not in name}
    ours = by_name(found)
    assert ours.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(ours[name], array, err_msg=name)
        assert ours[name].dtype == array.dtype, name


@pytest.fixture(params=sorted(MODELS))
def gan(request: pytest.FixtureRequest) -> ganzoo.GAN:
    augmented = {"augment": "bgc"} if request.param == "stylegan2" else {}
    return ganzoo.create(request.param, "tiny", **augmented)


def test_a_saved_model_is_loaded_bit_for_bit(gan: ganzoo.GAN, tmp_path: Path) -> None:
    state, path = trained(gan), tmp_path / "model.safetensors"
    ganzoo.save(gan, state, path)
    loaded, found = ganzoo.load(str(path))
    assert (loaded.name, loaded.config) == (gan.name, gan.config)
    assert_loaded(found, state)
    assert int(found.step) > 0
    ganzoo.save(loaded, found, tmp_path / "again.safetensors")  # without optimizers
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["again.safetensors", "model.safetensors"]


def test_a_state_on_several_devices_is_saved_whole(tmp_path: Path) -> None:
    gan = ganzoo.create("stylegan2", "tiny")
    state, mesh = trained(gan), Mesh(np.array(jax.devices()), "d")

    def spread(leaf: jax.Array) -> jax.Array:
        divides = leaf.ndim and leaf.shape[0] % mesh.size == 0
        return jax.device_put(leaf, NamedSharding(mesh, PartitionSpec("d") if divides else PartitionSpec()))

    ganzoo.save(gan, jax.tree.map(spread, state), tmp_path / "m.safetensors")
    assert_loaded(ganzoo.load(tmp_path / "m.safetensors")[1], state)


def test_a_generator_alone_stays_alone(tmp_path: Path) -> None:
    gan = ganzoo.create("stylegan", "tiny")
    state = trained(gan)
    weights = {name: array for name, array in by_name(state).items() if name.startswith("ema.")}
    gan_only = pretrained.state_of(gan, weights)
    ganzoo.save(gan, gan_only, tmp_path / "g.safetensors")
    found = ganzoo.load(tmp_path / "g.safetensors")[1]
    assert_loaded(found, gan_only)
    assert found.discriminator.params == {}


def test_a_model_from_outside(tmp_path: Path) -> None:
    """Its state has a field of its own; it is found by ``model``, never by what the file says."""

    @jax.tree_util.register_dataclass
    @dataclasses.dataclass(frozen=True)
    class OwnState(ganzoo.TrainState):
        history: jax.Array

    def build(config: ganzoo.DCGANConfig) -> ganzoo.GAN:
        base = MODELS["dcgan"].build(config)

        def init(key: jax.Array) -> OwnState:
            state = base.init(key)
            named = {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}
            return OwnState(**named, history=jnp.arange(5))

        return dataclasses.replace(base, name="own", init=init, stages=())

    model = dataclasses.replace(MODELS["dcgan"], name="own", build=build)
    gan = ganzoo.create(model, "tiny")
    state = trained(gan)
    ganzoo.save(gan, state, tmp_path / "own.safetensors")
    with pytest.raises(UserError, match="unknown model 'own'"):
        ganzoo.load(tmp_path / "own.safetensors")
    loaded, found = ganzoo.load(tmp_path / "own.safetensors", model=model)
    assert loaded.name == "own"
    assert_loaded(found, state)
    again = serialization.from_bytes(state, serialization.to_bytes(state))
    assert isinstance(again, OwnState)


def test_what_cannot_be_saved_is_named(tmp_path: Path) -> None:
    gan, other = ganzoo.create("dcgan", "tiny"), ganzoo.create("stylegan2", "tiny")
    state = trained(gan)

    def save_inside(traced: ganzoo.TrainState) -> None:
        ganzoo.save(gan, traced, tmp_path / "m.safetensors")

    refused: dict[str, Callable[[], None]] = {
        "path = '.*model.pkl': must end in .safetensors": lambda: ganzoo.save(gan, state, tmp_path / "model.pkl"),
        "cannot write .*No such file": lambda: ganzoo.save(gan, state, tmp_path / "no" / "model.safetensors"),
        "is no weight of this stylegan2|missing weight": lambda: ganzoo.save(other, state, tmp_path / "m.safetensors"),
        "step cannot be written": lambda: ganzoo.save(gan, jax.eval_shape(gan.init, KEY), tmp_path / "m.safetensors"),
        "step cannot be written .*Tracer": lambda: jax.jit(save_inside)(state),
    }
    for words, attempt in refused.items():
        with pytest.raises(UserError, match=words) as caught:
            attempt()
        assert len(str(caught.value).splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


# Bytes of Flax ------------------------------------------------------------------------------------------------------


def test_flax_serialises_a_train_state(gan: ganzoo.GAN) -> None:
    state = trained(gan)
    found = serialization.from_bytes(jax.tree.map(jnp.zeros_like, state), serialization.to_bytes(state))
    assert type(found) is type(state)
    assert jax.tree.structure(found) == jax.tree.structure(state)
    jax.tree.map(np.testing.assert_array_equal, found, state)


def test_flax_refuses_the_bytes_of_another_state() -> None:
    ours, theirs = (ganzoo.create(name, "tiny") for name in ("dcgan", "stylegan2"))
    state = trained(theirs)
    assert isinstance(state, StyleGAN2State)
    with pytest.raises(UserError, match="a TrainState has the fields"):
        serialization.from_bytes(trained(ours), serialization.to_bytes(state))


def test_classes_without_images_are_known_wherever_the_model_goes(run: Path, tmp_path: Path) -> None:
    folder, file, back = tmp_path / "run", tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    gan = ganzoo.create("dcgan", "tiny", label_size=5)
    state = trained(gan)
    record = {"format": pretrained.RUN_FORMAT, "experiment": {"model": "dcgan", "gan": dataclasses.asdict(gan.config)}}
    with Checkpoints(folder / FOLDERS[0]) as checkpoints:
        checkpoints.save(100, state)
    (folder / "config.json").write_text(json.dumps(record | {"present_classes": [1, 4]}))
    assert main(["convert", str(folder), str(file)]) == 0
    ganzoo.save(*ganzoo.load(file), back)
    for source in (folder, file, back):
        found, loaded = ganzoo.load(source)
        assert found.present_classes == (1, 4)
        labels = np.eye(5, dtype=np.float32)[[4, 1, 4]]
        expected = gan.sample(state, KEY, 3, first=1, labels=labels)
        np.testing.assert_allclose(found.sample(loaded, KEY, 3, first=1), expected, atol=1e-6)
    (folder / "config.json").write_text(json.dumps(record | {"present_classes": [5]}))
    with pytest.raises(UserError, match=r"present_classes = \[5\]: must be a list of numbers below 5"):
        ganzoo.load(folder)


def test_a_checkpoint_without_checksums_is_noted_once(run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(run, tmp_path / "a")
    file = folder / "checkpoints" / "200" / METADATA
    file.write_text(json.dumps(json.loads(file.read_text()) | {"custom_metadata": {}}))
    lines: list[str] = []
    ganzoo.load(folder, log=lines.append)
    pretrained.read_start(str(folder), lines.append)
    assert [line for line in lines if line.endswith("200 has no checksums, so damage to it would pass unseen")]
    assert len(lines) == 3  # one of load; the source and one of read_start
    ganzoo.load(folder, checkpoint=100, log=lines.append)
    assert len(lines) == 3


# Checkpoints of a run -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with checkpoints of 100 and 200 images; best are those of 50 and, most of all, of 150."""
    folder = tmp_path_factory.mktemp("runs") / "a"
    gan = ganzoo.create("dcgan", "tiny")
    states = {images: dataclasses.replace(trained(gan, images), images=jnp.uint32(images)) for images in NUMBERS}
    with Checkpoints(folder / FOLDERS[0]) as checkpoints:
        checkpoints.save(100, states[100])
        checkpoints.save(200, states[200])
    with Checkpoints(folder / FOLDERS[1], keep_best=2) as checkpoints:
        checkpoints.save(50, states[50], 7.0)
        checkpoints.save(150, states[150], 5.0)
    record = {"format": pretrained.RUN_FORMAT, "experiment": {"model": "dcgan", "gan": dataclasses.asdict(gan.config)}}
    (folder / "config.json").write_text(json.dumps(record))
    return folder


NUMBERS = (50, 100, 150, 200)
MEANT = {
    ("", None): 200,
    ("", "latest"): 200,
    ("", "best"): 150,
    ("", 100): 100,
    ("", "100"): 100,
    ("", 50): 50,
    ("best", None): 150,
    ("best/50", None): 50,
    ("checkpoints", None): 200,
    ("checkpoints/100", None): 100,
}


@pytest.mark.parametrize(("inside", "checkpoint"), MEANT)
def test_the_checkpoint_that_was_meant(run: Path, inside: str, checkpoint) -> None:
    images = MEANT[inside, checkpoint]
    gan, state = ganzoo.load(run / inside, checkpoint=checkpoint)
    assert int(state.images) == images
    assert_loaded(state, dataclasses.replace(trained(gan, images), images=jnp.uint32(images)))
    if checkpoint is None:
        told: list[str] = []
        start = pretrained.read_start(str(run / inside), told.append).weights
        assert start
        for name, array in start.items():
            np.testing.assert_array_equal(array, by_name(state)[name], err_msg=name)
        assert told == [f"start: the weights of {run}/{'best' if images in (50, 150) else 'checkpoints'}/{images}"]


def test_a_checkpoint_that_is_not_there(run: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("plain", "young"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_bytes((run / "config.json").read_bytes())
    with Checkpoints(tmp_path / "plain" / FOLDERS[0]) as checkpoints:
        checkpoints.save(100, {"w": jnp.zeros(3)})
    (tmp_path / "weights.safetensors").write_bytes(b"")
    refused = {
        (run, 300): "holds no checkpoint of 300 images; there are 100, 200, best/50, best/150$",
        (run / "best" / "100", None): "holds no best/100; there are",
        (run, "bset"): "checkpoint = 'bset': must be best, latest or a number of images; did you mean 'best'",
        (run, -1): "checkpoint = -1: must be best",
        (run / "best", "latest"): "must be left out, because .*/best says which one",
        (tmp_path / "plain", "best"): "holds no best checkpoint; train with --metrics fid --keep-best 1 .* are 100$",
        (tmp_path / "plain" / "best", None): "holds no best checkpoint; train with --metrics",
        (tmp_path / "young", None): "holds no checkpoint yet",
        (tmp_path / "empty", None): "is no run folder",
        (tmp_path / "nothing", None): "there is no .*nothing; give a run folder",
        (tmp_path / "weights.safetensors", "best"): "be left out: .* is a file, not a run folder",
    }
    for (source, checkpoint), words in refused.items():
        with pytest.raises(UserError, match=words) as caught:
            ganzoo.load(source, checkpoint=checkpoint)
        assert len(str(caught.value).splitlines()) == 1


def test_looking_for_a_checkpoint_changes_nothing(run: Path) -> None:
    before = sorted(run.rglob("*"))
    assert select(run, "best").name == "best/150"
    assert sorted(run.rglob("*")) == before


def test_what_is_of_no_network_is_shown_as_the_state(tmp_path: Path) -> None:
    gan = ganzoo.create("dcgan", "tiny")
    ganzoo.save(gan, trained(gan), tmp_path / "m.safetensors")
    contents = interop.read(tmp_path / "m.safetensors")
    shown = "\n".join(interop.describe(contents))
    assert "  state          2 arrays, 2 values" in shown
    assert "G_ema" not in shown
    assert "state  images  uint32  ()" in interop.list_arrays(contents)


def test_notes_about_a_file_are_told(tmp_path: Path) -> None:
    """What of an original file is not used is said, also where a run starts from it."""
    gan = ganzoo.create("stylegan2", "tiny")
    converted = interop.Converted("stylegan2", dataclasses.asdict(gan.config), by_name_of_ema(gan))
    arrays = interop.originals(converted) | {"D.unknown": np.zeros(3, np.float32)}
    interop.write_arrays(tmp_path / "theirs.npz", arrays)
    for read in (ganzoo.load, lambda path, log: pretrained.read_start(str(path), log)):
        told: list[str] = []
        read(tmp_path / "theirs.npz", log=told.append)
        assert any("the discriminator is left out" in line for line in told)


KINDS = {"text": "U8", "complex": np.complex64, "bool": bool}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_arrays_that_are_no_numbers_are_no_weights(kind: str, suffix: str, tmp_path: Path) -> None:
    if suffix == ".safetensors" and kind == "text":
        return  # which the format does not have
    gan = ganzoo.create("stylegan2", "tiny")
    arrays = interop.originals(interop.Converted("stylegan2", dataclasses.asdict(gan.config), by_name_of_ema(gan)))
    for theirs in (arrays, by_name_of_ema(gan)):
        wrong = {name: array.astype(KINDS[kind]) if array.ndim > 1 else array for name, array in theirs.items()}
        interop.write_arrays(tmp_path / f"x{suffix}", wrong)
        for read in (ganzoo.load, lambda path: pretrained.read_start(str(path))):
            with pytest.raises(UserError) as caught:
                read(tmp_path / f"x{suffix}")
            assert len(str(caught.value).splitlines()) == 1


def test_weights_that_are_not_finite_are_noted(tmp_path: Path) -> None:
    gan = ganzoo.create("dcgan", "tiny")
    state = trained(gan)
    broken = jax.tree.map(lambda leaf: leaf * jnp.nan, state.ema["params"])
    ganzoo.save(gan, dataclasses.replace(state, ema={**state.ema, "params": broken}), tmp_path / "m.safetensors")
    for read in (ganzoo.load, lambda path, log: pretrained.read_start(str(path), log)):
        told: list[str] = []
        read(tmp_path / "m.safetensors", log=told.append)
        (line,) = [line for line in told if "NaN" in line]
        assert line.startswith("note: ema.params.")
        assert "more holds NaN or infinity" in line


def test_the_config_of_a_run_is_no_link_and_no_pipe(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "b")
    config = tmp_path / "b" / "config.json"
    for make in (lambda: config.symlink_to(run / "config.json"), lambda: os.mkfifo(config), config.mkdir):
        config.rename(tmp_path / f"aside{len(list(tmp_path.iterdir()))}")
        make()
        with pytest.raises(UserError, match=r"config\.json cannot be read"):
            ganzoo.load(tmp_path / "b")


def by_name_of_ema(gan: ganzoo.GAN) -> dict[str, np.ndarray]:
    return {name: array for name, array in by_name(trained(gan)).items() if name.startswith("ema.")}
