"""Reading pickles and other files of networks: every array of the recorded ones, without torch and tensorflow."""

import io
import pickle
import struct
import subprocess
import sys
from pathlib import Path

import hostile
import numpy as np
import pickles
import pytest
import safetensors.numpy

from ganzoo import interop
from ganzoo.errors import UserError


@pytest.mark.parametrize("name", pickles.ALL)
def test_every_array_is_the_recorded_one(name: str, tmp_path: Path) -> None:
    contents = interop.read(pickles.written(name, tmp_path))
    theirs = {"G_ema": "Gs"} if "legacy" in name else {}
    expected = {tuple(key.split("/", 1)): total for key, total in pickles.sums(name).items()}
    for network in {network for network, _ in expected}:
        arrays = contents.networks[theirs.get(network, network)].arrays
        assert arrays.keys() == {key for of, key in expected if of == network}
        for key, array in arrays.items():
            total = np.asarray(array, np.float64).sum()
            assert total == pytest.approx(expected[network, key], rel=1e-12, abs=1e-12), key


def test_what_a_snapshot_says(tmp_path: Path) -> None:
    contents = interop.read(pickles.written("sg2_cond", tmp_path))
    assert contents.facts["augment_p"] == 0.3125
    assert contents.facts["training_set_kwargs"]["max_size"] == 1234
    assert contents.networks["G"].settings["synthesis_kwargs"]["channel_max"] == 24
    lines = interop.describe(contents)
    assert lines[0] == "pickle of PyTorch modules"
    assert any(line.split() == ["label_size:", "10"] for line in lines)
    assert any("training_set_kwargs.resolution: 32" in line for line in lines)
    assert any("synthesis.b32.torgb.weight" in line for line in interop.list_arrays(contents))


def test_neither_torch_nor_tensorflow_is_imported(tmp_path: Path) -> None:
    paths = [str(pickles.written(name, tmp_path)) for name in pickles.ALL]
    code = f"""
import sys
class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "tensorflow"):
            raise ImportError(name)
sys.meta_path.insert(0, Refused())
from pathlib import Path
from ganzoo import interop
print(sum(len(interop.read(Path(path)).networks) for path in {paths}))
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["15"]


# Other files --------------------------------------------------------------------------------------------------------

ARRAYS = {"mapping.fc0.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "synthesis.b4.const": np.ones((2, 4, 4))}


def assert_read(path: Path, networks: tuple[str, ...] = ("G_ema",)) -> None:
    contents = interop.read(path)
    assert tuple(contents.networks) == networks
    for name in networks:
        assert contents.networks[name].arrays.keys() == ARRAYS.keys()
        for key, array in ARRAYS.items():
            np.testing.assert_array_equal(contents.networks[name].arrays[key], array)


def test_state_dicts_of_numpy_and_safetensors(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **ARRAYS)
    assert_read(tmp_path / "a.npz")
    together = {f"{name}.{key}": array for name in ("G", "D") for key, array in ARRAYS.items()}
    safetensors.numpy.save_file(together, tmp_path / "b.safetensors")
    contents = interop.read(tmp_path / "b.safetensors")
    assert set(contents.networks) == {"G", "D"}
    (tmp_path / "c.pkl").write_bytes(pickle.dumps(ARRAYS, 4))
    assert_read(tmp_path / "c.pkl")


def test_files_of_torch_of_both_kinds(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    tensors = {name: torch.from_numpy(array) for name, array in ARRAYS.items()}
    for newer in (True, False):
        torch.save(tensors, tmp_path / "one.pt", _use_new_zipfile_serialization=newer)
        assert_read(tmp_path / "one.pt")
        torch.save({"G": tensors, "D": tensors, "epoch": 3}, tmp_path / "two.pt", _use_new_zipfile_serialization=newer)
        assert_read(tmp_path / "two.pt", ("G", "D"))
        assert interop.read(tmp_path / "two.pt").facts == {"epoch": 3}


def parameter(*state: bytes) -> bytes:
    """A parameter as PyTorch wrote it before version 0.4."""
    return b"ctorch.nn.parameter\nParameter\n)\x81(" + b"".join(state) + b"tb"


def test_the_oldest_files_of_torch(tmp_path: Path) -> None:
    """Parameters with a state of their own, tensors without one, and the texts of Python 2, ``U`` and its length."""
    magic, version = hostile.storage_file(0, b"")[:15], pickle.dumps(1001, 2)
    system = pickle.dumps({"protocol_version": 1001, "little_endian": True, "type_sizes": {}}, 2)
    storage = b"(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpu" + hostile.number(6) + b"NtQ"
    strides, zero = hostile.shape(3, 1), hostile.number(0)
    tensor = hostile.call("torch._utils._rebuild_tensor", storage, zero, hostile.shape(2, 3), strides)
    state = (tensor, b"\x88", hostile.call("collections.OrderedDict"), b"\x88", b"\x89")

    def whole(made: bytes) -> bytes:
        content = hostile.program(b"}(U\x01w" + made + b"U\x01v" + tensor + b"u", 2)
        values = struct.pack("<q6f", 6, *range(6))
        return b"".join([magic, version, system, content, hostile.program(b"](U\x010e", 2), values])

    path = tmp_path / "old.pth"
    path.write_bytes(whole(parameter(*state)))
    array = interop.read(path).networks["G_ema"].arrays["w"]
    np.testing.assert_array_equal(array, np.arange(6, dtype=np.float32).reshape(2, 3))
    for made in (b"ctorch.nn.parameter\nParameter\n)\x81", parameter(zero, *state[1:]), parameter(tensor)):
        path.write_bytes(whole(made))
        with pytest.raises(UserError, match="refused: a parameter"):
            interop.read(path)


def test_tensors_that_view_and_convert(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    base = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    for kind in (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool):
        views = {"whole": base.to(kind), "turned": base.to(kind).permute(2, 0, 1), "part": base.to(kind)[1, :, 1:3],
                 "number": base.to(kind)[1, 1, 1], "none": base.to(kind)[:0]}  # fmt: skip
        torch.save(views, tmp_path / "views.pt")
        for name, array in interop.read(tmp_path / "views.pt").networks["G_ema"].arrays.items():
            expected = views[name].float().numpy()
            np.testing.assert_array_equal(array.astype(np.float32), expected, err_msg=f"{kind} {name}")
            assert array.shape == tuple(views[name].shape)


def test_a_pickle_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole = pickles.content("sg2_uncond")
    for length in [*range(0, 200, 7), *range(200, len(whole), len(whole) // 50), len(whole) - 1]:
        (tmp_path / "cut.pkl").write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"truncated|damaged|neither"):
            interop.read(tmp_path / "cut.pkl")


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read: No such file"):
        interop.read(tmp_path / "missing.pkl")
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        interop.read(tmp_path)
    buffer = io.BytesIO()
    np.save(buffer, np.ones(3))
    (tmp_path / "one.npy").write_bytes(buffer.getvalue())
    with pytest.raises(UserError, match="neither a pickle"):
        interop.read(tmp_path / "one.npy")
