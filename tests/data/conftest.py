"""What the tests of the data share: answers kept apart from the user's, and a small picture set in three packings."""

import pytest

from .pictures import encode, rainbow, write_folder, write_zip


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("GANZOO_CACHE", str(folder))
    return folder


@pytest.fixture
def files():
    """Nine pictures of several kinds and sizes in two folders, as {path: content}."""
    kinds = [("PNG", "png"), ("JPEG", "JPG"), ("WEBP", "webp")]
    return {
        f"{'cat' if i % 2 else 'dog'}/{i}.{kinds[i % 3][1]}": encode(rainbow(10 + i, 14 - i, seed=i), kinds[i % 3][0])
        for i in range(9)
    }


@pytest.fixture
def folder(tmp_path, files):
    return write_folder(tmp_path / "set", files)


@pytest.fixture
def archive(tmp_path, files):
    return write_zip(tmp_path / "set.zip", files)
