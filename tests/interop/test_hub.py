"""Names of the Hugging Face Hub: one line for whatever goes wrong, private uploads, and a card."""

import json
import logging
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pickles
import pytest

import ganzoo
from ganzoo import grids
from ganzoo.cli import main
from ganzoo.errors import UserError
from ganzoo.interop import Converted, hub, model_card


class Library(types.SimpleNamespace):
    """Stands for the library of the Hub, with one repository; remembers what was asked of it."""

    def __init__(self, file: Path | None = None, *, private: bool | None = None, card: bool = False) -> None:
        super().__init__(file=file, private=private, card=card, asked=[], files={}, probed=[], failure=None)
        self.cached = False

    errors = types.SimpleNamespace(HfHubHTTPError=LookupError)

    def try_to_load_from_cache(self, repository: str, file: str) -> str | None:
        return str(self.file) if self.cached else None

    def hf_hub_url(self, repository: str, file: str) -> str:
        return f"{repository}/{file}"

    def get_hf_file_metadata(self, url: str, timeout: float = 10) -> None:
        self.probed.append((url, timeout))
        if self.failure:
            raise self.failure

    def hf_hub_download(self, **wanted: Any) -> str:
        self.asked.append(wanted)
        return str(self.file)

    def create_repo(self, repository: str, *, private: bool, exist_ok: bool) -> None:
        assert exist_ok
        self.private = private if self.private is None else self.private

    def repo_info(self, repository: str) -> Any:
        return types.SimpleNamespace(private=self.private)

    def file_exists(self, repository: str, name: str) -> bool:
        return self.card

    def upload_file(self, *, path_or_fileobj: str | bytes, path_in_repo: str, repo_id: str) -> None:
        is_path = isinstance(path_or_fileobj, str)
        self.files[repo_id, path_in_repo] = Path(path_or_fileobj).read_bytes() if is_path else path_or_fileobj


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return pickles.written("sg2_uncond", tmp_path)


def test_a_name_may_include_a_file(monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    library = Library(model)
    monkeypatch.setitem(sys.modules, "huggingface_hub", library)
    gan, _ = ganzoo.load("hf:owner/name/nets/ffhq.pkl")
    assert gan.image_shape == (32, 32, 3)
    assert library.asked == [{"repo_id": "owner/name", "filename": "nets/ffhq.pkl", "etag_timeout": hub.TIMEOUT}]


def test_without_a_connection_nothing_is_tried_again(monkeypatch: pytest.MonkeyPatch, model: Path, capsys) -> None:
    """Unless the file is in the cache; a refusal, which is an answer, is left to the download."""
    library = Library(model)
    library.failure = ConnectionError("Temporary failure in name resolution")
    monkeypatch.setitem(sys.modules, "huggingface_hub", library)
    assert main(["inspect", "hf:owner/name"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "hf:owner/name: model.safetensors cannot be fetched (ConnectionError: Temporary failure" in line
    assert library.asked == []
    assert library.probed == [("owner/name/model.safetensors", hub.TIMEOUT)]
    library.cached = True
    assert main(["inspect", "hf:owner/name"]) == 0
    library.cached, library.failure = False, LookupError("503")
    assert main(["inspect", "hf:owner/name"]) == 0
    monkeypatch.setenv(hub.OWN_TIMEOUT, "30")
    assert main(["inspect", "hf:owner/name"]) == 0
    assert library.probed[-1] == ("owner/name/model.safetensors", 10)
    assert "etag_timeout" not in library.asked[-1]


@pytest.mark.parametrize("public", [False, True])
def test_uploads_are_private_unless_asked(public: bool, monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    library = Library()
    monkeypatch.setitem(sys.modules, "huggingface_hub", library)
    flags = ["--public", "--license", "cc-by-4.0"] if public else []
    assert main(["convert", str(model), "hf:owner/name", *flags]) == 0
    assert library.private is not public
    assert list(library.files) == [("owner/name", "model.safetensors"), ("owner/name", "README.md")]
    card = library.files["owner/name", "README.md"].decode()
    assert ("license: cc-by-4.0" if public else "license: other") in card.replace('"', "")
    assert 'ganzoo.load("hf:owner/name")' in card


def test_nothing_goes_into_a_public_repository_unless_asked(monkeypatch, model: Path, capsys) -> None:
    library = Library(private=False)
    monkeypatch.setitem(sys.modules, "huggingface_hub", library)
    assert main(["convert", str(model), "hf:owner/name"]) == 2
    assert "everybody can see this repository; add --public" in capsys.readouterr().err
    assert not library.files


def test_a_card_that_is_there_stays(monkeypatch: pytest.MonkeyPatch, model: Path, capsys) -> None:
    library = Library(private=True, card=True)
    monkeypatch.setitem(sys.modules, "huggingface_hub", library)
    assert main(["convert", str(model), "hf:owner/name", "--public"]) == 0
    assert list(library.files) == [("owner/name", "model.safetensors")]
    told = capsys.readouterr().out
    assert "note: owner/name stays private" in told
    assert "note: the README.md of owner/name stays as it is" in told


def test_the_hub_without_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match="the extra"):
        hub.fetch("hf:owner/name")


class Broken(Exception):
    """An error of a library that the Hub's is made of, which no class of errors has in common with the others."""


@pytest.mark.parametrize("error", [OSError, ValueError, Broken, RuntimeError])
def test_whatever_the_hub_raises_is_one_line(error, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    def refuse(*wanted, **options):
        logging.getLogger("huggingface_hub").warning("Retrying in 1s [Retry 1/5].")
        raise error("401 Client Error.\n\nRepository Not Found\x1b[31m for url")

    library = Library()
    library.hf_hub_download = library.create_repo = refuse
    monkeypatch.setitem(sys.modules, "huggingface_hub", library)
    for ask, what in {
        lambda: hub.fetch("hf:owner/name"): "fetched",
        lambda: hub.push(Path("x"), "hf:owner/name", "card"): "uploaded",
    }.items():
        with pytest.raises(UserError, match=rf"hf:owner/name: model\.safetensors cannot be {what} \(") as caught:
            ask()
        assert f"{error.__name__}: 401 Client Error.)" in str(caught.value)
    assert not caplog.records


# Cards --------------------------------------------------------------------------------------------------------------


def test_a_card_tells_config_training_metrics_and_licence() -> None:
    weights = {"ema.params.w": np.zeros((3, 4)), "generator.params.w": np.zeros((3, 4))}
    converted = Converted("dcgan", {"image_size": 64, "latent_size": 100}, weights, {"training_set": "ffhq"})
    results = [{"images": 200, "values": {"fid": 12.3456789}, "samples": 5000}]
    card = model_card(converted, "hf:owner/name", training={"images_seen": 200}, metrics=results, licence="mit")
    head, body = card.split("---\n")[1:]
    assert 'license: "mit"' in head
    assert "# name" in body
    assert "of 64 pixels with 12 values" in body
    assert "| fid | 12.346 | 200 | 5000 |" in body
    assert '"images_seen": 200' in body
    assert '"latent_size": 100' in body
    assert '"training_set": "ffhq"' in body
    assert "pip install ganzoo" not in body


def test_a_card_shows_hostile_facts_as_they_are() -> None:
    facts = {"a": "```\n# Title\n<script>", "b": ["x" * 500] * 100}
    card = model_card(Converted("<b>\n---\n", {"image_size": "`x`"}, {}, facts), "hf:o/n", licence="a\nb: c")
    assert card.count("\n---\n") == 1
    assert "\n# Title" not in card
    assert "\nb: c" not in card
    assert len(card) < 25_000


def test_the_card_of_a_run_tells_of_its_training_without_paths(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    library, data = Library(), tmp_path / "secret" / "faces"
    data.mkdir(parents=True)
    for i in range(4):
        grids.save_png(data / f"{i}.png", np.full((16, 16, 1), 60 * i, np.uint8))
    monkeypatch.setitem(sys.modules, "huggingface_hub", library)
    args = ["--images", "32", "--batch-size", "16", "--devices", "1", "--channels", "1", "--data", str(data)]
    assert main(["train", "dcgan-tiny", *args, "--out", str(tmp_path / "run")]) == 0
    rows = [{"images": 32, "values": {"fid": 4.5}, "fake": {"count": 99}}, {"images": 16, "values": {"fid": 7.0}}, 3]
    (tmp_path / "run" / "evaluations.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["convert", str(tmp_path / "run"), "hf:owner/name"]) == 0
    card = library.files["owner/name", "README.md"].decode()
    assert "secret" not in card
    assert '"data": "faces"' in card
    assert '"images_seen": 32' in card
    assert "| fid | 4.5 | 32 | 99 |" in card
    assert "7" not in card.split("## Metrics")[1].split("## Training")[0]
