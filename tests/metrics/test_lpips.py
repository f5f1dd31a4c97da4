"""LPIPS against a PyTorch module of the same architecture with the same random weights, and its files."""

import importlib.util
from functools import partial
from pathlib import Path

import golden_cases as golden
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from ganzoo.errors import UserError
from ganzoo.metrics.lpips import LEVELS, features, halved, lpips, lpips_extractor, of_length_one, read_weights

needs_torch = pytest.mark.skipif(not importlib.util.find_spec("torch"), reason="the reference is a PyTorch module")
WIDTHS = (4, 6, 8, 8, 10)
"""Of narrow networks, which are quick."""


def drawn(widths=WIDTHS, seed: int = 0) -> dict[str, np.ndarray]:
    """Random weights by the names of torchvision and of the package lpips."""
    random, width, arrays = np.random.default_rng(seed), 3, {}
    for number, (level, wide) in enumerate(zip(LEVELS, widths, strict=True)):
        for i in level:
            kernel = random.normal(size=(wide, width, 3, 3)) * np.sqrt(2 / (9 * width))
            arrays[f"features.{i}.weight"] = kernel.astype(np.float32)
            arrays[f"features.{i}.bias"] = random.normal(0, 0.1, wide).astype(np.float32)
            width = wide
        arrays[f"lin{number}.model.1.weight"] = random.uniform(0, 1, (1, wide, 1, 1)).astype(np.float32)
    return arrays


ARRAYS = drawn()


def by_slice(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same by the names of ``lpips.LPIPS(net="vgg").state_dict()``, all of it."""
    slices = {str(i): k for k, level in enumerate(LEVELS, 1) for i in level}
    found = {"scaling_layer.shift": np.zeros((1, 3, 1, 1), np.float32)}
    for name, array in arrays.items():
        first, number, *rest = name.split(".")
        theirs = name if first != "features" else ".".join([f"net.slice{slices[number]}", number, *rest])
        found[theirs] = array
        if first.startswith("lin"):
            found[name.replace("lin", "lins.", 1)] = array.copy()
    return found


def torch_distance(arrays, a, b):
    """The distances of tensors [N, 3, H, W] in [-1, 1], by PyTorch."""
    import torch
    from torch.nn import functional as F

    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    shift = torch.tensor([-0.030, -0.088, -0.188])[:, None, None]
    scale = torch.tensor([0.458, 0.448, 0.450])[:, None, None]

    def seen(x):
        x, levels = (x - shift) / scale, []
        for level in LEVELS:
            x = F.max_pool2d(x, 2) if levels else x
            for i in level:
                x = F.relu(F.conv2d(x, tensors[f"features.{i}.weight"], tensors[f"features.{i}.bias"], padding=1))
            levels.append(x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10))
        return levels

    return sum(
        F.conv2d((x - y).square(), tensors[f"lin{number}.model.1.weight"]).mean((1, 2, 3))
        for number, (x, y) in enumerate(zip(seen(a), seen(b), strict=True))
    )


@pytest.fixture
def saved(tmp_path: Path):
    """Writes arrays as a file in a folder of their own."""

    def save(name: str, arrays: dict[str, np.ndarray]) -> Path:
        path = tmp_path / name
        if path.suffix == ".safetensors":
            safetensors.numpy.save_file(arrays, path)
        elif path.suffix == ".npz":
            np.savez(path, **arrays)
        else:
            import torch

            torch.save({key: torch.from_numpy(array) for key, array in arrays.items()}, path)
        return path

    return save


def images(seed: int, *shape: int) -> np.ndarray:
    return np.tanh(golden.draw(seed, *shape)).astype(np.float32)


# The distance -------------------------------------------------------------------------------------------------------


@needs_torch
def test_values_and_gradients(saved) -> None:
    """One of the convolutions is wide enough for Winograd's algorithm."""
    import torch

    arrays, a, b = drawn((4, 64, 6, 8, 10), seed=1), images(1, 2, 48, 37, 3), images(2, 2, 48, 37, 3)
    distance = lpips([saved("all.safetensors", arrays)])
    theirs = torch.from_numpy(golden.nchw(a).copy()).requires_grad_()
    expected = torch_distance(arrays, theirs, torch.from_numpy(golden.nchw(b).copy()))
    expected.sum().backward()

    def total(a):
        found = distance(a, b)
        return found.sum(), found

    gradient, found = golden.run(jax.grad(total, has_aux=True), a)
    np.testing.assert_allclose(found, expected.detach().numpy(), rtol=1e-5)
    golden.assert_near([np.asarray(gradient)], [theirs.grad.numpy().transpose(0, 2, 3, 1)], 1e-4)
    prepared = distance.to(b)
    np.testing.assert_allclose(golden.run(lambda towards, a: towards(a), prepared, a), found, rtol=1e-5)


def test_channels_and_sizes() -> None:
    weights = read_weights(ARRAYS)
    see = partial(golden.run, partial(features, weights))
    grey = images(0, 1, 16, 16, 1)
    for ours, other in zip(see(grey), see(np.repeat(grey, 3, axis=-1)), strict=True):
        np.testing.assert_allclose(ours, other, atol=1e-6)
    opaque, clear = (np.concatenate([images(0, 1, 16, 16, 3), np.full((1, 16, 16, 1), a, "f4")], -1) for a in (1, -1))
    for other, alpha in ((opaque[..., :3], opaque), (np.ones((1, 16, 16, 3), "f4"), clear)):
        np.testing.assert_allclose(see(alpha)[0], see(other)[0], atol=1e-6)
    large = images(0, 1, 16, 32, 3).repeat(32, 1).repeat(32, 2)  # 512 x 1024 pixels
    assert jax.eval_shape(partial(features, weights), large)[0].shape == (1, 256, 512, WIDTHS[0])
    for ours, other in zip(see(large), see(large[:, ::2, ::2]), strict=True):
        np.testing.assert_allclose(ours, other, atol=1e-6)
    with pytest.raises(UserError, match="LPIPS needs images of at least 16 pixels, not 15x40"):
        see(np.zeros((1, 15, 40, 3), np.float32))


def test_places_where_nothing_is_seen_have_a_gradient() -> None:
    x = jnp.stack([jnp.zeros(3), jnp.array([3.0, 0.0, 4.0])])[None, None]
    np.testing.assert_allclose(of_length_one(x)[0, 0], [[0, 0, 0], [0.6, 0, 0.8]], atol=1e-7)
    gradient = jax.grad(lambda x: of_length_one(x)[..., 1].sum() + of_length_one(x)[0, 0, 1, 0])(x)
    assert np.isfinite(gradient).all()


def test_the_maximum() -> None:
    x = golden.draw(0, 1, 5, 6, 2)
    ours = np.asarray(halved(jnp.asarray(x)))
    assert ours.shape == (1, 2, 3, 2)
    np.testing.assert_array_equal(ours[0, 1, 2], x[0, 2:4, 4:6].max((0, 1)))


def test_features_of_which_it_is_the_squared_distance(saved) -> None:
    path = saved("all.npz", ARRAYS)
    extractor, a, b = lpips_extractor([path]), images(1, 2, 16, 16, 3), images(2, 2, 16, 16, 3)
    both = (np.concatenate([a, b]) + 1) * 127.5
    x, y = np.split(np.asarray(golden.run(extractor.function, extractor.weights, both)), 2)
    np.testing.assert_allclose(np.square(x - y).sum(1), golden.run(lpips([path]), a, b), rtol=1e-4)


# Its files ----------------------------------------------------------------------------------------------------------


def assert_weights(files) -> None:
    found, expected = (jax.tree.leaves(weights) for weights in (lpips(files).weights, read_weights(ARRAYS)))
    for ours, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, other)


@pytest.mark.parametrize("suffix", [pytest.param(".pth", marks=needs_torch), ".safetensors", ".npz"])
def test_the_published_names(suffix: str, saved) -> None:
    classes = {"classifier.0.weight": np.ones((4, 5), np.float32)}
    network = {name: array for name, array in ARRAYS.items() if name.startswith("features")}
    heads = {name: array for name, array in ARRAYS.items() if name.startswith("lin")}
    files = [saved(f"vgg16{suffix}", network | classes), saved(f"vgg{suffix}", heads)]
    assert_weights(files)
    assert_weights(files[::-1])
    assert_weights([saved(f"all{suffix}", by_slice(ARRAYS))])
    only = {name: array for name, array in by_slice(ARRAYS).items() if "model" not in name or "lins." in name}
    assert_weights([saved(f"few{suffix}", only)])
    with pytest.raises(UserError, match=r"weights of LPIPS lack lin0\.model\.1\.weight and 4 more; LPIPS takes vgg16"):
        lpips(files[:1])
    with pytest.raises(UserError, match=r"weights of LPIPS lack features\.0\.weight and 25 more"):
        lpips(files[1:])


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("features.5.weight", (6, 5, 3, 3), "features.5.weight is (6, 5, 3, 3), not (6, 4, 3, 3)"),
        ("features.28.weight", (10, 10, 5, 5), "features.28.weight is (10, 10, 5, 5), not (10, 10, 3, 3)"),
        ("features.7.bias", (6, 1), "features.7.bias is (6, 1), not (6,)"),
        ("features.0.bias", (5,), "features.0.weight is (4, 3, 3, 3), not (5, 3, 3, 3)"),
        ("lin2.model.1.weight", (1, 9, 1, 1), "lin2.model.1.weight is (1, 9, 1, 1), not (1, 8, 1, 1)"),
    ],
)
def test_other_shapes(name, shape, expected) -> None:
    with pytest.raises(UserError) as error:
        read_weights(ARRAYS | {name: np.ones(shape, np.float32)})
    assert expected in str(error.value)


@pytest.mark.parametrize("kind", ["U8", np.complex64, np.bool_])
def test_arrays_that_are_no_weights(kind) -> None:
    with pytest.raises(UserError, match=r"lin0\.model\.1\.weight is of type \S+; weights must be real numbers"):
        read_weights(ARRAYS | {"lin0.model.1.weight": ARRAYS["lin0.model.1.weight"].astype(kind)})


def test_one_name_in_two_files(tmp_path: Path) -> None:
    """The same array may be in both files; another one of the same name is refused."""
    for name, shift in (("a", 0), ("b", 0), ("c", 1)):
        np.savez(tmp_path / f"{name}.npz", **{key: array + np.float32(shift) for key, array in ARRAYS.items()})
    lpips([tmp_path / "a.npz", tmp_path / "b.npz"])
    with pytest.raises(UserError, match=r"c\.npz: .* is in another of the files of LPIPS, too, and differs; give one"):
        lpips([tmp_path / "a.npz", tmp_path / "c.npz"])


def test_what_is_not_there_or_no_distance(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"weights of LPIPS lack features\.24\.bias; LPIPS takes"):
        read_weights({name: array for name, array in ARRAYS.items() if name != "features.24.bias"})
    with pytest.raises(UserError, match=r"lin0\.model\.1\.weight has values below 0"):
        read_weights(ARRAYS | {"lin0.model.1.weight": -np.ones((1, 4, 1, 1), np.float32)})
    with pytest.raises(UserError, match=r"no LPIPS weights at nowhere\.pth; LPIPS takes vgg16.*/v0\.1/vgg\.pth"):
        lpips(["nowhere.pth"])
    (tmp_path / "bad.pth").write_bytes(b"something else")
    with pytest.raises(UserError, match=r"bad\.pth: neither a pickle"):
        lpips([tmp_path / "bad.pth"])
