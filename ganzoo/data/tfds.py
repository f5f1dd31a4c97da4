"""TFDS data sets that are already prepared on this machine, read without TensorFlow (array_record files).

This module never downloads anything: a machine without a network should report at once what is missing, and preparing
most data sets needs TensorFlow.
"""

import contextlib
import json
import os
import re
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np

from ganzoo.data.config import DataConfig
from ganzoo.data.images import Target, decode, look
from ganzoo.data.labels import MOST_CLASSES, Labels, of_classes
from ganzoo.data.source import Source, digest
from ganzoo.disk import kind_of, read_regular, recall, remember, user_path
from ganzoo.errors import UserError, printable

PREFIX = "tfds:"
INFO, FEATURES = "dataset_info.json", "features.json"
_OWN = "tensorflow_datasets."
_MOST_METADATA = 2**26
_NAME = re.compile(r"(?P<name>\w+)(/(?P<config>[^:/]+))?(:(?P<version>\d+\.\d+\.\d+))?")
_VERSION = re.compile(r"\d+\.\d+\.\d+")


def open_tfds(data: str, config: DataConfig) -> Source:
    """Open the split ``config.split`` of a prepared TFDS data set.

    The data set must have a feature "image" (an 8- or 16-bit ``Image``); a feature "label" that is a ``ClassLabel``
    gives the classes. No module is imported that the files of the data set name, but for those of TFDS itself.

    Args:
        data: `PREFIX` and the name of the data set.
        config: options of the data set.

    Raises:
        UserError: the data set is not prepared as array_record, is damaged, has features of its own, or lacks the split
            or the feature "image".
    """
    name = data.removeprefix(PREFIX)
    folder = _find(name, _root(config))
    _require_known_features(name, folder)
    tfds = _import_tfds()
    with _damage(name, folder):
        builder = tfds.builder_from_directory(folder)
        with_labels = _check_features(tfds, name, builder.info.features) and config.labels == "auto"
        records = _open_split(tfds, name, builder, config)
        count = _checked_count(name, folder, records)
    lock = threading.Lock()

    def read(index: int) -> dict[str, Any]:
        with lock:  # all threads share one reader; decoding, the costly part, happens outside of the lock
            return records[index]

    def picture(index: int, target: Target) -> np.ndarray:
        return decode(read(index)["image"], target)

    content = digest(builder.info.full_name, config.split, count)
    revision = digest(content, str(folder.resolve()), (folder / INFO).stat().st_mtime_ns)
    with _damage(name, folder):
        labels = _labels(name, builder.info.features["label"], records, revision) if with_labels else None
    return Source(
        title=f"{PREFIX}{builder.info.full_name}, split {config.split} ({folder})",
        names=[f"{config.split} record {index}" for index in range(count)],
        picture=picture,
        look=lambda index: look(read(index)["image"], config.max_pixels),
        labels=labels,
        content=content,
        revision=revision,
        why_unlabelled="" if labels else 'its features have no ClassLabel "label"',
    )


@contextlib.contextmanager
def _damage(name: str, folder: Path) -> Generator[None]:
    """Turn any error of TFDS, which raises many kinds for damaged files, into a ``UserError``."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(
            f"{PREFIX}{name} in {folder} is damaged ({printable(why, 200)}); prepare or copy it again"
        ) from None


def _require_known_features(name: str, folder: Path) -> None:
    """Raise ``UserError`` where TFDS would import a module that the data set names, which may be anybody's."""
    file = folder / FEATURES
    try:
        if kind_of(file) == "nothing":
            return
        nodes = [json.loads(read_regular(file, _MOST_METADATA))]
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{PREFIX}{name}: {file} is damaged ({error}); prepare or copy it again") from None
    while nodes:
        node = nodes.pop()
        if isinstance(node, dict):
            kinds = [node.get("pythonClassName"), node.get("python_class_name"), node.get("type")]
            for kind in kinds:
                if isinstance(kind, str) and not kind.startswith(_OWN):
                    raise UserError(
                        f"{PREFIX}{name} has a feature of the class {printable(kind)}, which is none of TFDS itself "
                        f"and is not imported; write its images into a folder"
                    )
            nodes += node.values()
        elif isinstance(node, list):
            nodes += node


def _checked_count(name: str, folder: Path, records: Any) -> int:
    """Return the number of records; raise ``UserError`` if the files are too small for that many."""
    count, size = len(records), sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    if not 0 < count <= size:
        raise UserError(f"{PREFIX}{name}: {count:,} records in {size:,} bytes of files; prepare or copy it again")
    return count


def _import_tfds() -> Any:
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise UserError(f"tfds data sets need tensorflow-datasets ({error}); pip install tensorflow-datasets") from None
    return tensorflow_datasets


def _root(config: DataConfig) -> Path:
    return user_path(config.data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")


def _find(name: str, root: Path) -> Path:
    """Return the folder root/NAME[/CONFIG]/VERSION of a prepared data set; by default of its newest version."""
    match = _NAME.fullmatch(name)
    if not match:
        raise UserError(f"{PREFIX}{name}: write {PREFIX}NAME, {PREFIX}NAME/CONFIG or {PREFIX}NAME/CONFIG:VERSION")
    base = root / match["name"]
    configs = {path.name: path for path in _listed(base) if _versions(path)}
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
        raise _not_prepared(
            name, root, "there is no such folder" if kind_of(base) != "folder" else "no finished version there"
        )
    version = match["version"] or max(versions, key=lambda text: tuple(map(int, text.split("."))))
    if version not in versions:
        raise _not_prepared(name, root, f"versions there: {', '.join(sorted(versions))}")
    return versions[version]


def _versions(folder: Path) -> dict[str, Path]:
    return {
        path.name: path for path in _listed(folder) if _VERSION.fullmatch(path.name) and kind_of(path / INFO) == "file"
    }


def _listed(folder: Path) -> list[Path]:
    """Return what is in a folder; [] where there is no folder."""
    if kind_of(folder) != "folder":
        return []
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror}); check its permissions") from None


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
    if not 0 < (feature.num_classes or 0) <= MOST_CLASSES:
        raise UserError(f"{PREFIX}{name}: {feature.num_classes} classes; pass --labels none")
    class_names = [feature.int2str(number) for number in range(feature.num_classes)]
    hidden = sum(not 0 <= number < len(class_names) for number in numbers)
    if hidden:
        raise UserError(f"{PREFIX}{name}: {hidden:,} records have no known class; pass --labels none or another split")
    return of_classes(numbers, class_names)
