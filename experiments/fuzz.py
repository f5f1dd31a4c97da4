"""Broken and hostile files of every kind that ganzoo reads: each is read, or refused by the user's error.

    python experiments/fuzz.py --seed 0 --minutes 10
    python experiments/fuzz.py --seed 0 --kind pickle --only 1234

Inputs are seeded changes (`mutations.py`) of whole files: of `tests/golden`, and of files that ganzoo writes. A worker
process reads one after the other within 4 GiB of memory and 20 s each. A failure is any other error than `UserError`, a
message that is not one printable line, a line on stderr, 1 GiB of memory more than before, or the end of the worker.
Its input is kept in `--out`, and the command that repeats it is printed; the exit code is 1.

Price: one CPU core; on a busy one 11 inputs a second where all kinds are in turn, so 6,600 in 10 minutes.
"""

import argparse
import functools
import gc
import io
import itertools
import json
import lzma
import os
import pickle
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, cast

import mutations
import numpy as np
from PIL import Image

from ganzoo import interop, pretrained
from ganzoo.data import DataConfig, inspect, open_dataset
from ganzoo.errors import LONGEST, UserError
from ganzoo.interop.torch_writer import torch_file
from ganzoo.training.quiet import silence_warnings

GOLDEN = Path(__file__).parent.parent / "tests" / "golden"
MEMORY, GROWTH, SECONDS = 4 * 2**30, 2**30, 20
Files = dict[str, bytes]
"""Content by name; of one file, or of a folder."""
TRAIN = ("train", "dcgan-tiny", "--channels", "1", "--images", "32", "--batch-size", "16", "--devices", "1",
         "--steps-per-dispatch", "1", "--image-size", "16")  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """One kind of input."""

    seeds: Callable[[], list[Files]]
    """Function that returns whole inputs."""
    changes: Mapping[str, mutations.Mutation]
    """Mutations by the ends of the names of the files that are changed."""
    use: Callable[[Path], None]
    """Function that reads the folder of an input as the commands do."""


# Whole inputs -------------------------------------------------------------------------------------------------------


def pickles() -> list[Files]:
    """Snapshots of the original code."""
    names = ("sg2_human", "sg2_legacy_tf", "sg3_r")
    return [{"file.pkl": lzma.decompress((GOLDEN / "pkl" / f"{name}.pkl.xz").read_bytes())} for name in names]


def torch_files() -> list[Files]:
    """Checkpoints of other repositories."""
    names = ("netG_epoch_1.pth", "lightning.ckpt", "module.pt", "rosinality.pt")
    return [{"file.pt": (GOLDEN / "foreign" / name).read_bytes()} for name in names]


def legacy_files() -> list[Files]:
    """Their arrays in the older format of ``torch.save``."""
    head = [pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    found = []
    for name in ("netG_epoch_1.pth", "rosinality.pt"):
        networks = interop.read(GOLDEN / "foreign" / name).networks
        content = {
            network: {name: array for name, array in each.arrays.items() if array.dtype == np.float32}
            for network, each in networks.items()
        }
        members = {name: raw for name, raw, _ in mutations.members_of(torch_file(content))}
        raws = {name.rpartition("/")[2]: raw for name, raw in members.items() if "/data/" in name}
        storages = [struct.pack("<q", len(raw) // 4) + raw for raw in raws.values()]
        parts = [*head, members["archive/data.pkl"], pickle.dumps(list(raws), 2), *storages]
        found.append({"file.pt": b"".join(parts)})
    return found


def array_files(suffix: str) -> list[Files]:
    """Files of ``numpy.savez`` and ``safetensors`` with the names of the library and of others."""
    contents = interop.read(GOLDEN / "foreign" / "netG_epoch_1.pth")
    model = interop.convert(contents)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{name}{suffix}" for name in ("others", "own")]
        (network,) = contents.networks.values()
        if suffix == ".npz":
            for path, prefix in zip(paths, ("", "G_ema."), strict=True):
                members = [(f"{prefix}{name}.npy", _npy(array), 0) for name, array in network.arrays.items()]
                path.write_bytes(mutations.archive_of(members))
        else:
            interop.write_arrays(paths[0], network.arrays, {})
            interop.save(paths[1], model)
        return [{f"file{suffix}": path.read_bytes()} for path in paths]


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@functools.cache
def pictures() -> Files:
    """Small images of every format and mode."""
    pixels = np.random.default_rng(0).integers(0, 256, (9, 10, 4), np.uint8)
    modes = {
        "rgb.png": "RGB", "rgba.png": "RGBA", "p.png": "P", "l.png": "L", "i16.png": "I;16", "a.jpg": "RGB",
        "c.jpg": "CMYK", "a.webp": "RGBA", "a.gif": "P", "a.bmp": "RGB", "a.tif": "RGB", "a.ppm": "RGB",
    }  # fmt: skip
    found = {}
    for name, mode in modes.items():
        image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(pixels)
        file = io.BytesIO()
        image = image if mode in ("I;16", "RGBA") else image.convert("RGB").convert(mode)
        image.save(file, Image.registered_extensions()[Path(name).suffix])
        found[name] = file.getvalue()
    return found


def labelled() -> Files:
    """Images, and a table of their labels."""
    labels = json.dumps({"labels": [[name, i % 3] for i, name in enumerate(pictures())]})
    return {**pictures(), "dataset.json": labels.encode()}


def archives() -> list[Files]:
    """The same in .zip files, stored and compressed."""
    return [
        {"set.zip": mutations.archive_of([(name, raw, method) for name, raw in labelled().items()])}
        for method in (0, 8)
    ]


@functools.cache
def runs() -> list[Files]:
    """A run folder with checkpoints, of a run that trains for a moment."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", "from ganzoo.cli import main; main()", *TRAIN, "--out", f"{folder}/run"]
        subprocess.run(command, check=True, capture_output=True)
        paths = [path for path in Path(folder, "run").rglob("*") if path.is_file()]
        return [{str(path.relative_to(folder)): path.read_bytes() for path in sorted(paths)}]


def configs() -> list[Files]:
    """Run folders' configs, and the configs of .safetensors files, as run folders have them."""
    found = []
    for model, fields in (
        ("dcgan", {"image_size": 16, "adam_beta1": 0.5}),
        ("stylegan2", {"resample_filter": [1, 3, 3, 1]}),
    ):
        experiment = {"name": model, "model": model, "gan": fields, "data": {}, "training": {"batch_size": 16}}
        found.append({"run/config.json": json.dumps({"format": 2, "experiment": experiment, "start": [16]}).encode()})
    return found


# Uses ---------------------------------------------------------------------------------------------------------------


def use_weights(folder: Path) -> None:
    """Inspect a file of weights and load it."""
    (path,) = folder.iterdir()
    contents = interop.read(path)
    interop.describe(contents), interop.list_arrays(contents)
    converted = pretrained.read_model(path)
    pretrained.state_of(pretrained.build(converted), converted.weights)


def use_images(folder: Path) -> None:
    """Open a data set: a folder of images, or the .zip file that is alone in it."""
    paths = list(folder.iterdir())
    config = DataConfig(data=str(paths[0] if paths[0].suffix == ".zip" else folder), workers=1)
    inspect(config)
    open_dataset(config, (8, 8, 3))


def use_run(folder: Path) -> None:
    """Load a run."""
    converted = pretrained.read_model(folder / "run")
    pretrained.state_of(pretrained.build(converted), converted.weights)


def use_config(folder: Path) -> None:
    """Build the model of a run."""
    experiment = pretrained.read_record(folder / "run")["experiment"]
    pretrained.build(interop.Converted(str(experiment.get("model")), experiment.get("gan") or {}, {}))


torch_changed = mutations.archive_changed({".pkl": mutations.pickle_changed, "": mutations.bytes_changed})
set_changed = mutations.archive_changed({".json": mutations.json_changed, "": mutations.image_changed})
npz_changed = mutations.archive_changed({"": mutations.npy_changed})
KINDS: Mapping[str, Kind] = {
    "pickle": Kind(pickles, {"": mutations.pickle_changed}, use_weights),
    "pickle-bytes": Kind(pickles, {"": mutations.bytes_changed}, use_weights),
    "torch": Kind(torch_files, {"": torch_changed}, use_weights),
    "legacy": Kind(legacy_files, {"": mutations.pickle_changed}, use_weights),
    "npz": Kind(functools.partial(array_files, ".npz"), {"": npz_changed}, use_weights),
    "safetensors": Kind(
        functools.partial(array_files, ".safetensors"), {"": mutations.safetensors_changed}, use_weights
    ),
    "zip": Kind(archives, {"": set_changed}, use_images),
    "image": Kind(lambda: [{name: raw} for name, raw in pictures().items()], {"": mutations.image_changed}, use_images),
    "labels": Kind(lambda: [labelled()], {".json": mutations.json_changed}, use_images),
    "config": Kind(configs, {".json": mutations.json_changed}, use_config),
    "checkpoint": Kind(runs, {"A": mutations.json_changed, "json": mutations.json_changed, "": mutations.bytes_changed},
                       use_run),
}  # fmt: skip
"""All kinds of inputs by name."""


# One input ----------------------------------------------------------------------------------------------------------


@functools.cache
def seeds_of(kind: str) -> list[Files]:
    """The whole inputs of a kind, built once."""
    return KINDS[kind].seeds()


def drawn(kind: str, seed: int, number: int) -> Files:
    """The input of this number, the same whenever it is drawn."""
    draws, changes = random.Random(f"{seed}/{kind}/{number}"), KINDS[kind].changes
    files = dict(draws.choice(seeds_of(kind)))
    names = [name for name in files if any(name.endswith(end) for end in changes)]
    for name in draws.sample(names, 1):
        change = next(each for end, each in changes.items() if name.endswith(end))
        files[name] = change(draws, files[name])
    return files


def written(files: Files, folder: Path) -> None:
    """Write an input into an empty folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def examine(kind: str, seed: int, number: int) -> str | None:
    """Use an input: return None where it is read, and the message where it is refused; raise where it fails."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "input"
        folder.mkdir()
        written(drawn(kind, seed, number), folder)
        try:
            KINDS[kind].use(folder)
        except UserError as error:
            message = str(error)
            if not message.isprintable() or len(message) > LONGEST:
                raise AssertionError(f"a message of {len(message)} characters: {message!r:.300}") from error
            return message.replace(str(folder), "INPUT")
        return None


# The worker ---------------------------------------------------------------------------------------------------------


def work() -> None:
    """Examine the inputs that stdin names, one JSON list ``[kind, seed, number]`` a line, and answer each by a line."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    silence_warnings()  # as the commands do
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        kind, seed, number = json.loads(line)
        seeds_of(kind)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        signal.alarm(SECONDS)
        try:
            message, failure = examine(kind, seed, number), ""
        except BaseException as error:
            message, failure = "", f"{type(error).__name__}: {error}"[:500] or "an error"
        signal.alarm(0)
        gc.collect()  # what the end of an object says on stderr belongs to this input
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        if grown > GROWTH:
            failure = f"{grown / 2**20:.0f} MiB of memory"
        answers.write(json.dumps({"message": message, "failure": failure}) + "\n")
        answers.flush()


class Worker:
    """A process that examines inputs, started anew when it ends."""

    def __init__(self) -> None:
        self.noise = tempfile.TemporaryFile()  # noqa: SIM115, open as long as the worker
        self._heard = 0
        self._process: subprocess.Popen | None = None

    def examine(self, kind: str, seed: int, number: int) -> dict[str, Any]:
        """The message of a refused input (None of one that is read), and the failure, empty if there is none."""
        if self._process is None:
            environment = {**os.environ, "MALLOC_ARENA_MAX": "2", "JAX_PLATFORMS": "cpu"}
            command = [sys.executable, str(Path(__file__)), "--work"]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.noise, text=True, env=environment
            )
        cast("IO[str]", self._process.stdin).write(json.dumps([kind, seed, number]) + "\n")
        cast("IO[str]", self._process.stdin).flush()
        line = cast("IO[str]", self._process.stdout).readline()
        answer = json.loads(line) if line else {"message": "", "failure": f"the worker ended ({self._ended()})"}
        self.noise.seek(self._heard)
        said = self.noise.read()
        self._heard += len(said)
        if said and b"was never awaited" not in said and not answer["failure"]:  # Orbax's, when it likes
            answer["failure"] = f"on stderr: {said.decode(errors='replace')[:500]!r}"
        return answer

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._process is not None:
            self._ended()
        self.noise.close()

    def _ended(self) -> str:
        """Let the process end, and tell how it did."""
        process, self._process = cast("subprocess.Popen", self._process), None
        process.communicate()  # closes its pipes, and waits
        code = process.returncode
        return f"more than {SECONDS} s" if code == -signal.SIGALRM else f"exit code {code}"


# The program --------------------------------------------------------------------------------------------------------


def main() -> int:
    """Examine inputs of all kinds in turn, until the time is over."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="seed of all draws (default 0)")
    parser.add_argument("--minutes", type=float, default=10, help="how long (default 10)")
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=list(KINDS), help="kinds of inputs (default all)")
    parser.add_argument("--only", type=int, help="number of the one input to examine")
    parser.add_argument("--out", type=Path, default=Path("fuzz-failures"), help="folder of inputs that fail")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work()
        return 0
    counts = {kind: {"read": 0, "refused": 0, "failed": 0} for kind in options.kind}
    with Worker() as worker:
        examine_all(worker, options, counts)
    for kind, found in counts.items():
        print(f"{kind:14}" + "".join(f"{count:8,} {outcome}" for outcome, count in found.items()))
    return int(any(found["failed"] for found in counts.values()))


def examine_all(worker: Worker, options: argparse.Namespace, counts: Mapping[str, dict[str, int]]) -> None:
    """Examine one input of each kind after the other, and count what becomes of them."""
    end = time.monotonic() + 60 * options.minutes
    for number in itertools.count() if options.only is None else [options.only]:
        for kind in options.kind:
            if time.monotonic() > end:
                return
            answer = worker.examine(kind, options.seed, number)
            outcome = "failed" if answer["failure"] else "read" if answer["message"] is None else "refused"
            counts[kind][outcome] += 1
            if outcome == "failed":
                keep(kind, options, number, answer["failure"])
            elif options.only is not None:
                print(f"{kind} {number}: {answer['message'] or 'read'}")


def keep(kind: str, options: argparse.Namespace, number: int, failure: str) -> None:
    """Keep an input that fails, and print the command that repeats it."""
    folder = options.out / f"{kind}-{options.seed}-{number}"
    shutil.rmtree(folder, ignore_errors=True)
    written(drawn(kind, options.seed, number), folder)
    print(f"{kind} {number}: {failure}")
    print(f"    {folder}    python {sys.argv[0]} --seed {options.seed} --kind {kind} --only {number}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
