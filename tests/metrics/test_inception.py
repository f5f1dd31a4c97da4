"""The Inception network against a PyTorch module of the same architecture with the same random weights."""

import importlib.util
from pathlib import Path

import golden_cases as golden
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ganzoo.errors import UserError
from ganzoo.interop import read_tensors
from ganzoo.metrics import inception
from ganzoo.metrics.config import MetricsConfig, load_extractor
from ganzoo.metrics.extractors import inception_extractor
from metrics.test_weights import write_safetensors

REFERENCE = Path(__file__).parents[2] / "experiments" / "reference_inception.py"
HAS_TORCH = importlib.util.find_spec("torch") is not None
needs_torch = pytest.mark.skipif(not HAS_TORCH, reason="the reference is a PyTorch module")


@pytest.fixture(scope="module")
def theirs():
    """The PyTorch network; batch norm has the statistics that keep activations finite, and none is trivial."""
    import torch

    spec = importlib.util.spec_from_file_location("reference_inception", REFERENCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network = module.network(seed=3)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith(("running_mean", "bn.bias")):
                tensor.normal_(0, 0.1, generator=generator)
            elif name.endswith(("running_var", "bn.weight")):
                tensor.uniform_(0.5, 1.5, generator=generator)
            elif name.endswith("conv.weight"):
                tensor.normal_(0, (2 / tensor[0].numel()) ** 0.5, generator=generator)
    return network


@pytest.fixture(scope="module")
def weights(theirs):
    return {name: tensor.numpy() for name, tensor in theirs.state_dict().items()}


@needs_torch
def test_features_and_scores(theirs, weights) -> None:
    import torch

    images = np.tanh(golden.draw(0, 2, *inception.IMAGE_SIZE, 3)).astype(np.float32)
    ours = golden.run(inception.Inception().apply, {"params": inception.parameters(weights)}, images)
    with torch.inference_mode():
        expected = [tensor.numpy() for tensor in theirs(torch.from_numpy(golden.nchw(images).copy()))]
    assert [array.shape for array in ours] == [(2, inception.FEATURES), (2, inception.OUTPUTS)]
    golden.assert_near(list(ours), expected, 2e-5)
    assert np.abs(expected[0][0] - expected[0][1]).max() > 1e-2  # the images are not all the same to it


@needs_torch
def test_the_classifier_has_no_bias(weights) -> None:
    extractor = inception_extractor(inception.parameters(weights), "clean", "abc")
    np.testing.assert_array_equal(extractor.classifier, weights["fc.weight"].T)
    assert extractor.name == "inception"
    assert extractor.about == {"resize": "clean", "sha256": "abc"}


@needs_torch
def test_weights_from_a_file(weights, tmp_path) -> None:
    path, lines = tmp_path / "weights.safetensors", []
    write_safetensors(path, weights)
    config = MetricsConfig(("fid",), inception=str(path), inception_resize="pytorch")
    extractor = load_extractor(config, lines.append)
    np.testing.assert_array_equal(extractor.classifier, weights["fc.weight"].T)
    assert extractor.about["resize"] == "pytorch"
    assert len(extractor.about["sha256"]) == 64
    assert "nobody has published their SHA-256" in lines[0]


@needs_torch
@pytest.mark.parametrize("is_zip", [True, False])
def test_weights_from_a_pytorch_file(is_zip, theirs, weights, tmp_path) -> None:
    import torch

    torch.save(theirs.state_dict(), tmp_path / "weights.pth", _use_new_zipfile_serialization=is_zip)
    found = read_tensors(tmp_path / "weights.pth")
    assert found.keys() >= {name for name in weights if not name.endswith("num_batches_tracked")}
    for name, array in found.items():
        np.testing.assert_array_equal(array, weights[name], err_msg=name)


@needs_torch
def test_weights_of_something_else(weights) -> None:
    with pytest.raises(UserError, match=r"Mixed_6a\.branch3x3\.conv\.weight is missing"):
        inception.parameters({name: array for name, array in weights.items() if "Mixed_6a.branch3x3.c" not in name})
    with pytest.raises(UserError, match=r"not the weights of FID's Inception-v3: Conv2d_1a_3x3 makes kernel"):
        inception.parameters(weights | {"Conv2d_1a_3x3.conv.weight": np.zeros((32, 4, 3, 3))})
    with pytest.raises(UserError, match=r"fc makes kernel \(2048, 1000\)"):
        inception.parameters(weights | {"fc.weight": np.zeros((1000, 2048))})


# Pools ------------------------------------------------------------------------------------------------------------


def test_the_average_leaves_out_the_padding() -> None:
    x = golden.draw(0, 1, 4, 5, 2)
    ours = np.asarray(inception.average_pool(jnp.asarray(x)))
    np.testing.assert_allclose(ours[0, 1, 1], x[0, 0:3, 0:3].mean((0, 1)), atol=1e-6)
    np.testing.assert_allclose(ours[0, 0, 0], x[0, 0:2, 0:2].mean((0, 1)), atol=1e-6)
    np.testing.assert_allclose(ours[0, 3, 2], x[0, 2:4, 1:4].mean((0, 1)), atol=1e-6)


def test_the_maximum() -> None:
    x = golden.draw(0, 1, 7, 8, 2)
    ours = np.asarray(inception.max_pool(jnp.asarray(x), stride=2))
    assert ours.shape == (1, 3, 3, 2)
    np.testing.assert_array_equal(ours[0, 2, 1], x[0, 4:7, 2:5].max((0, 1)))
    same = np.asarray(inception.max_pool(jnp.asarray(x), stride=1, padding=1))
    assert same.shape == x.shape
    np.testing.assert_array_equal(same[0, 0, 7], x[0, 0:2, 6:8].max((0, 1)))


def test_its_size() -> None:
    shapes = jax.eval_shape(inception.Inception().init, jax.random.key(0), jnp.zeros((1, 299, 299, 3)))
    kernels = sum(leaf.size for path, leaf in jax.tree.leaves_with_path(shapes) if path[-1].key == "kernel")
    assert kernels == 21_751_136 + 2048 * 1008  # the convolutions of torchvision's inception_v3, and the scores
