"""TFDS data sets that are already prepared on this machine, read without TensorFlow (array_record files).

This module never downloads anything: a machine without a network should report at once what is missing, and preparing
most data sets needs TensorFlow.
"""

import json
import os
import re
import threading
from pathlib import Path
from typing import Any

import numpy as np

from ganzoo.data.config import DataConfig
from ganzoo.data.images import Target, decode
from ganzoo.data.labels import Labels, of_classes
from ganzoo.data.source import Source, digest
from ganzoo.disk import recall, remember
from ganzoo.errors import UserError

PREFIX = "tfds:"
_NAME = re.compile(r"(?P<name>\w+)(/(?P<config>[^:/]+))?(:(?P<version>\d+\.\d+\.\d+))?")
_VERSION = re.compile(r"\d+\.\d+\.\d+")


def open_tfds(config: DataConfig) -> Source:
    """Open the split ``config.split`` of the prepared TFDS data set ``config.data``.

    The data set must have a feature "image" (an 8- or 16-bit ``Image``); a feature "label" that is a ``ClassLabel``
    gives the classes.

    Raises:
        UserError: the data set is not prepared as array_record, or lacks the split or the feature "image".
    """
    name = config.data.removeprefix(PREFIX)
    folder = _find(name, _root(config))
    tfds = _import_tfds()
    builder = tfds.builder_from_directory(folder)
    with_labels = _check_features(tfds, name, builder.info.features) and config.labels == "auto"
    records = _open_split(tfds, name, builder, config)
    lock = threading.Lock()

    def read(index: int) -> dict[str, Any]:
        with lock:  # all threads share one reader; decoding, the costly part, happens outside of the lock
            return records[index]

    def picture(index: int, target: Target) -> np.ndarray:
        return decode(read(index)["image"], target)

    content = digest(builder.info.full_name, config.split, len(records))
    revision = digest(content, str(folder.resolve()), (folder / "dataset_info.json").stat().st_mtime_ns)
    return Source(
        title=f"{PREFIX}{builder.info.full_name}, split {config.split} ({folder})",
        names=[f"{config.split} record {index}" for index in range(len(records))],
        picture=picture,
        labels=_labels(name, builder.info.features["label"], records, revision) if with_labels else None,
        content=content,
        revision=revision,
    )


def _import_tfds() -> Any:
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise UserError(f"tfds data sets need tensorflow-datasets ({error}); pip install tensorflow-datasets") from None
    return tensorflow_datasets


def _root(config: DataConfig) -> Path:
    return Path(config.data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


def _find(name: str, root: Path) -> Path:
    """Return the folder root/NAME[/CONFIG]/VERSION of a prepared data set; by default of its newest version."""
    match = _NAME.fullmatch(name)
    if not match:
        raise UserError(f"{PREFIX}{name}: write {PREFIX}NAME, {PREFIX}NAME/CONFIG or {PREFIX}NAME/CONFIG:VERSION")
    base = root / match["name"]
    configs = {} if not base.is_dir() else {path.name: path for path in base.iterdir() if _versions(path)}
    if match["config"]:
        if match["config"] not in configs:
            raise _not_prepared(name, root, f"configs there: {', '.join(sorted(configs)) or 'none'}")
        base = configs[match["config"]]
    elif configs and not _versions(base):
        if len(configs) > 1:
            choice = f"{PREFIX}{match['name']}/{min(configs)}"
            raise UserError(f"{PREFIX}{name}: choose a config, e.g. {choice}; prepared: {', '.join(sorted(configs))}")
        (base,) = configs.values()
    versions = _versions(base)
    if not versions:
        raise _not_prepared(name, root, "there is no such folder" if not base.is_dir() else "no finished version there")
    version = match["version"] or max(versions, key=lambda text: tuple(map(int, text.split("."))))
    if version not in versions:
        raise _not_prepared(name, root, f"versions there: {', '.join(sorted(versions))}")
    return versions[version]


def _versions(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    return {
        path.name: path
        for path in folder.iterdir()
        if _VERSION.fullmatch(path.name) and path.joinpath("dataset_info.json").is_file()
    }


def _not_prepared(name: str, root: Path, finding: str) -> UserError:
    return UserError(f"{PREFIX}{name} is not prepared in {root} ({finding}); {_remedy(name, root)}")


def _remedy(name: str, root: Path) -> str:
    builder = f"tfds.builder('{name}', data_dir='{root}', file_format='array_record')"
    command = f'python -c "import tensorflow_datasets as tfds; {builder}.download_and_prepare()"'
    return f"point --data-dir to it, or prepare it once: pip install tensorflow && {command}"


def _check_features(tfds: Any, name: str, features: Any) -> bool:
    """Check the feature "image"; return whether the data set has classes."""
    known = {key: features[key] for key in features} if isinstance(features, tfds.features.FeaturesDict) else {}
    image = known.get("image")
    if not isinstance(image, tfds.features.Image) or image.np_dtype not in (np.uint8, np.uint16):
        raise UserError(f"{PREFIX}{name} has no 8- or 16-bit Image 'image'; its features: {', '.join(sorted(known))}")
    return isinstance(known.get("label"), tfds.features.ClassLabel)


def _open_split(tfds: Any, name: str, builder: Any, config: DataConfig) -> Any:
    """Return the records of the split, a sequence of dicts with encoded images."""
    stored = str(getattr(builder.info.file_format, "value", "unknown"))
    if stored != "array_record":
        remedy = _remedy(name, _root(config))
        raise UserError(f"{PREFIX}{name} is prepared as {stored}, which only TensorFlow reads; {remedy}")
    try:
        return builder.as_data_source(config.split, decoders={"image": tfds.decode.SkipDecoding()})
    except ValueError as error:
        splits = ", ".join(sorted(builder.info.splits))
        why = " ".join(str(error).splitlines()[-1].split())
        raise UserError(f"{PREFIX}{name} has no split {config.split!r}; known: {splits} ({why})") from None


def _labels(name: str, feature: Any, records: Any, revision: str) -> Labels:
    """Read the class of every record, once for this data set and machine."""
    file = f"data/labels-{revision}.json"
    numbers = recall(file, json.loads)
    if not isinstance(numbers, list) or len(numbers) != len(records):
        numbers = [int(records[index]["label"]) for index in range(len(records))]
        remember(file, json.dumps(numbers).encode())
    class_names = [feature.int2str(number) for number in range(feature.num_classes)]
    hidden = sum(not 0 <= number < len(class_names) for number in numbers)
    if hidden:
        raise UserError(f"{PREFIX}{name}: {hidden:,} records have no known class; pass --labels none or another split")
    return of_classes(numbers, class_names)
