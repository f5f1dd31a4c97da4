"""A command that trains next to nothing, and what lies in the folder that it makes."""

from pathlib import Path

from data.pictures import encode, rainbow

TINY = ["train", "dcgan-tiny", "--channels", "1", "--images", "64", "--batch-size", "16", "--devices", "1"]
PNG = encode(rainbow())


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Every file below the folder with its content, and every folder."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}
