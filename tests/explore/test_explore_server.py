"""The server without a browser: images, guards, uploads, works, and visitors who do not disturb each other."""

import asyncio
import base64
import io
import json
import re
import time
from pathlib import Path
from urllib.parse import quote

import jax.numpy as jnp
import numpy as np
import pytest
from latent_states import drawn_state
from PIL import Image

pytest.importorskip("starlette", reason="the extra explore")

from explore.calls import HOST, Browser, call
from metrics.test_lpips import ARRAYS

import ganzoo
from ganzoo.errors import UserError
from ganzoo.explore import work
from ganzoo.explore.engine import Engine
from ganzoo.explore.guard import refusal
from ganzoo.explore.history import History
from ganzoo.explore.jobs import Job
from ganzoo.explore.pictures import uploaded
from ganzoo.explore.server import Site
from ganzoo.explore.settings import Settings
from ganzoo.explore.turns import Stale, Turns
from ganzoo.latent import Sampler, projection, tuning
from ganzoo.metrics.lpips import Lpips, read_weights


@pytest.fixture(scope="module")
def site() -> Site:
    gan = ganzoo.create("stylegan2", "tiny", channels=1, label_size=3)
    return Site(Engine(Sampler(gan, drawn_state(gan), batch=4)))


@pytest.fixture
def browser(site: Site) -> Browser:
    return Browser(site.app("127.0.0.1"))


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def picture(width: int, height: int, kind: str = "png") -> bytes:
    content = io.BytesIO()
    shades = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(shades).save(content, format=kind)
    return content.getvalue()


def finished(browser: Browser, job: dict) -> dict:
    """Wait for a work of at most a minute."""
    for _ in range(600):
        found = browser.get(f"/jobs/{job['job']}").json
        if found["done"]:
            return found
        time.sleep(0.1)
    raise AssertionError(found)


def test_the_page_and_its_parts_are_there(browser: Browser) -> None:
    page = browser.get("/")
    assert (page.status, page.headers["content-type"].split(";")[0]) == (200, "text/html")
    for name in ("main.js", "page.css", "icon.svg"):
        assert browser.get(f"/static/{name}").status == 200
    assert browser.get("/about").json["labels"] == 3


def test_every_part_that_a_script_imports_is_there(site: Site) -> None:
    for name, content in site._files.items():
        for line in content.decode().splitlines() if name.endswith(".js") else ():
            if line.rstrip().endswith('.js";') and " from " in line:
                assert line.split('"')[1].removeprefix("./") in site._files, line


@pytest.mark.parametrize("name", ["..%2Fserver.py", "server.py", "../server.py", "%2Fetc%2Fpasswd", "main.js%00"])
def test_no_other_file_can_be_read(browser: Browser, name: str) -> None:
    assert browser.get(f"/static/{name}").status == 404


def test_an_image_and_the_settings_in_a_saved_one(browser: Browser, site: Site) -> None:
    shown, saved = browser.get("/image?seed=3&psi=0.5"), browser.get("/saved.png?psi=0.5&seed=3")
    assert shown.status == saved.status == 200
    with opened(shown.content) as image, opened(saved.content) as kept:
        assert np.array_equal(np.asarray(image), site.engine.images([Settings(seed=3, psi=0.5)])[0, ..., 0])
        assert np.array_equal(np.asarray(image), np.asarray(kept))
        about = json.loads(kept.text["ganzoo"])
    assert about["settings"] == "seed=3&psi=0.5"
    assert about["model"] == "stylegan2"
    with opened(browser.get(f"/image?{about['settings']}").content) as again:
        assert np.array_equal(np.asarray(again), np.asarray(image))


def test_neighbours_are_one_picture(browser: Browser, site: Site) -> None:
    height, width, _ = site.engine.gan.image_shape
    answer = browser.get("/near?of=seed%3D3&plane=7&step=0.5")
    with opened(answer.content) as image, opened(browser.get("/image?seed=3").content) as middle:
        assert image.size == (3 * width, 3 * height)
        cut = np.asarray(image)[height : 2 * height, width : 2 * width].astype(int)
        assert np.abs(cut - np.asarray(middle)).max() <= 1


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("/image?psi=nan", "psi = nan"),
        ("/image?walks=1", "unknown setting"),
        ("/image?class=7", "class = 7: must be 0 to 2"),
        ("/near?of=&plane=-1", "plane = -1"),
        ("/near?from=1", "unknown 'from'"),
        ("/run", "no run folder"),
        ("/jobs/none", "not kept any more"),
    ],
)
def test_bad_input_is_one_message(browser: Browser, target: str, told: str) -> None:
    answer = browser.get(target)
    assert answer.status == 400
    assert told in answer.json["error"]


def test_every_answer_forbids_what_the_page_does_not_need(browser: Browser) -> None:
    for target in ("/", "/image", "/static/none", "/image?psi=x"):
        headers = browser.get(target).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert (headers["x-frame-options"], headers["x-content-type-options"]) == ("DENY", "nosniff")


@pytest.mark.parametrize(
    ("headers", "host", "is_answered"),
    [
        ({"host": HOST}, "127.0.0.1", True),
        ({"host": "localhost:7860"}, "127.0.0.1", True),
        ({"host": "[::1]:7860"}, "::1", True),
        ({"host": "evil.example:7860"}, "127.0.0.1", False),
        ({"host": "evil.example"}, "0.0.0.0", False),
        ({"host": "10.1.2.3:7860"}, "127.0.0.1", False),
        ({"host": "10.1.2.3:7860"}, "0.0.0.0", True),
        ({"host": "lab.example:80"}, "lab.example", True),
        ({"host": ""}, "127.0.0.1", False),
        ({"host": HOST, "origin": f"http://{HOST}"}, "127.0.0.1", True),
        ({"host": HOST, "origin": "http://evil.example"}, "127.0.0.1", False),
        ({"host": HOST, "origin": "null"}, "127.0.0.1", False),
        ({"host": HOST, "sec-fetch-site": "same-origin"}, "127.0.0.1", True),
        ({"host": HOST, "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, "127.0.0.1", False),
    ],
)
def test_requests_of_other_pages_are_refused(headers: dict[str, str], host: str, is_answered: bool) -> None:
    assert (refusal("GET", "/image", headers, host) == "") is is_answered


def test_a_link_on_another_page_opens_this_one_and_no_more() -> None:
    followed = {"host": HOST, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert refusal("GET", "/", followed, "127.0.0.1") == ""
    assert refusal("GET", "/image", followed, "127.0.0.1")
    assert refusal("POST", "/", followed, "127.0.0.1")


def test_a_refusal_reaches_the_browser(browser: Browser) -> None:
    answer = browser.get("/image", host="evil.example")
    assert answer.status == 403
    assert "not called 'evil.example'" in answer.json["error"]
    assert browser.post("/styles", b"", x_visitor="").json["error"].startswith("the header X-Visitor is missing")


# Uploads ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_an_upload_gets_the_size_of_the_model(kind: str) -> None:
    assert uploaded(picture(40, 30, kind), (16, 16, 3)).shape == (16, 16, 3)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "the file is empty"),
        (b"no picture", "not a PNG"),
        (picture(40, 30)[:300], "cannot be read"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a PNG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "not a PNG"),
        (picture(40, 30)[:16] + b"\x00\x0f\x00\x00" * 2 + picture(40, 30)[24:], "cannot be read"),
    ],
)
def test_a_broken_upload_is_one_message(browser: Browser, content: bytes, told: str) -> None:
    answer = browser.post("/jobs/project?steps=1", content)
    assert answer.status == 400
    assert told in answer.json["error"]
    assert "\n" not in answer.json["error"]


def test_an_upload_ends_where_it_is_too_large(browser: Browser) -> None:
    answer = browser.post("/styles", bytes(2**20 + 1))
    assert "more than 1 MB" in answer.json["error"]


# Works --------------------------------------------------------------------------------------------------------------


def test_a_picture_is_found_and_its_link_brings_it_back(browser: Browser, site: Site) -> None:
    job = browser.post("/jobs/project?steps=2&settings=class%3D1", picture(20, 20)).json
    found = finished(browser, job)
    assert found["note"] == "done", found
    shown = browser.get(f"/image?styles={found['styles']}").content
    other = Site(site.engine)  # a server that was started later, by somebody else
    again = Browser(other.app("127.0.0.1")).post("/styles", found["text"].encode()).json
    assert again["styles"] == found["styles"]
    with opened(shown) as image, opened(browser.get(f"/jobs/{job['job']}/picture").content) as told:
        assert np.abs(np.asarray(image).astype(int) - np.asarray(told)).mean() < 3  # half precision
    compiled = projection._step._cache_size()
    finished(browser, browser.post("/jobs/project?steps=2&settings=class%3D2", picture(30, 20)).json)
    assert projection._step._cache_size() == compiled


@pytest.mark.parametrize("text", ["", "!!", "AAAA", work.packed(np.zeros((1, 1)))])
def test_damaged_styles_of_a_link_are_one_message(browser: Browser, text: str) -> None:
    assert "copy the whole link" in browser.post("/styles", text.encode()).json["error"]


def test_a_film_of_bookmarks(browser: Browser) -> None:
    asked = {"settings": "path=seed%253D1|seed%253D2", "frames": 3, "fps": 12}
    job = browser.post("/jobs/film", json.dumps(asked).encode()).json
    assert finished(browser, job)["note"] == "done"
    answer = browser.get(f"/jobs/{job['job']}/picture")
    assert answer.headers["content-type"] == "image/webp"
    with opened(answer.content) as film:
        assert film.n_frames == 6


def test_a_work_can_be_stopped(browser: Browser) -> None:
    asked = {"settings": "path=seed%253D1|seed%253D2", "frames": 1200, "fps": 12}
    job = browser.post("/jobs/film", json.dumps(asked).encode()).json
    browser.post(f"/jobs/{job['job']}/stop")
    assert finished(browser, job)["note"] == "stopped"


def test_a_film_needs_two_bookmarks(browser: Browser) -> None:
    asked = {"settings": "path=seed%253D1", "frames": 3, "fps": 12}
    assert "two or more" in browser.post("/jobs/film", json.dumps(asked).encode()).json["error"]


def test_weights_are_tuned_and_every_setting_works_on_them(browser: Browser, site: Site) -> None:
    styles = site.engine.keep_styles(site.engine.styles(Settings(seed=3)))
    address = f"/jobs/tune?styles={styles}&steps=3"
    found = finished(browser, browser.post(address, picture(20, 20)).json)
    assert found["note"] == "done", found
    assert re.fullmatch(r"PSNR .* dB before tuning, .* dB after 3 steps", found["gain"])
    plain, tuned = (
        browser.get(f"/image?styles={styles}{more}").content for more in ("", f"&weights={found['weights']}")
    )
    assert plain != tuned
    assert opened(tuned).size == opened(plain).size
    psi = browser.get(f"/image?styles={styles}&psi=0.5&weights={found['weights']}")
    assert (psi.status, psi.content == tuned) == (200, False)
    compiled = site.engine.compiled, tuning._step._cache_size()
    finished(browser, browser.post(address, picture(30, 20)).json)
    assert (site.engine.compiled, tuning._step._cache_size()) == compiled
    asked = {"settings": f"path=seed%253D1|{quote(quote('weights=' + found['weights']))}", "frames": 3, "fps": 12}
    assert (
        "of the same weights only"
        in finished(browser, browser.post("/jobs/film", json.dumps(asked).encode()).json)["error"]
    )


def test_tuning_minimises_the_distance_of_the_server(site: Site) -> None:
    def distance(images, targets):
        return jnp.abs(images - targets).mean((1, 2, 3))

    styles = site.engine.keep_styles(site.engine.styles(Settings(seed=3)))
    told = Job("a", "b")
    image = site.engine.images([Settings(styles=styles)])[0]
    work.tuning(site.engine, image, styles, 9, distance)(told)
    assert "after 1 steps" in told.facts["gain"]  # within the threshold from the start


@pytest.mark.slow
def test_a_picture_is_sought_and_tuned_by_lpips() -> None:
    gan = ganzoo.create("stylegan2", "tiny", channels=1, image_size=16)
    distance = Lpips(read_weights(ARRAYS))
    browser = Browser(Site(Engine(Sampler(gan, drawn_state(gan))), distance=distance).app("127.0.0.1"))
    found = finished(browser, browser.post("/jobs/project?steps=5", picture(20, 20)).json)
    assert found["note"] == "done", found
    tuned = finished(browser, browser.post(f"/jobs/tune?steps=5&styles={found['styles']}", picture(20, 20)).json)
    assert tuned["note"] == "done", tuned
    assert browser.get(f"/image?styles={found['styles']}&weights={tuned['weights']}").status == 200


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("styles=..%2Fx", "these styles are not kept"),
        ("steps=5", "these styles are not kept"),
        ("steps=0&styles={0}", "steps = 0"),
        ("steps=99999&styles={0}", "steps = 99999"),
        ("out=a&styles={0}", "unknown 'out'"),
    ],
)
def test_a_bad_request_to_tune_is_one_message(browser: Browser, site: Site, query: str, told: str) -> None:
    styles = site.engine.keep_styles(site.engine.styles(Settings(seed=3)))
    answer = browser.post(f"/jobs/tune?{query.format(styles)}", picture(20, 20))
    assert (answer.status, told in answer.json["error"]) == (400, True), answer.json


def wish(**changes) -> bytes:
    """What the page asks for when a point is dragged."""
    plain = {"settings": "seed=3", "handles": [[2, 3]], "targets": [[6, 3]], "mask": "", "steps": 2, "rate": 1.0}
    return json.dumps({**plain, **changes}).encode()


def test_a_point_is_dragged_and_the_image_kept(browser: Browser, site: Site) -> None:
    height, width, _ = site.engine.gan.image_shape
    mask = base64.b64encode(np.packbits(np.arange(height * width) % width < width // 2).tobytes()).decode()
    job = browser.post("/jobs/drag", wish(mask=mask)).json
    found = finished(browser, job)
    assert found["note"] == "done", found
    assert np.shape(found["handles"]) == (1, 2)
    with opened(browser.get(f"/image?styles={found['styles']}").content) as image:
        before = np.asarray(opened(browser.get("/image?seed=3").content), int)
        assert np.abs(np.asarray(image) - before).max() > 1


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"handles": []}, "handles must be points"),
        ({"handles": [[1]]}, "handles must be points"),
        ({"targets": [["a", 1]]}, "targets must be points"),
        ({"handles": [[1, 1], [2, 2]]}, "be as many as the handles"),
        ({"mask": "!!"}, "the mask is damaged"),
        ({"mask": "AAAA"}, "bits"),
        ({"steps": 0}, "steps = 0"),
        ({"rate": -1}, "learning_rate"),
    ],
)
def test_a_bad_wish_is_one_message(browser: Browser, changes: dict, told: str) -> None:
    answer = browser.post("/jobs/drag", wish(**changes))
    assert (answer.status, told in answer.json["error"]) == (400, True), answer.json


# Visitors -----------------------------------------------------------------------------------------------------------


def test_of_one_visitor_the_newest_request_counts_and_others_do_not_matter() -> None:
    done: list[str] = []

    async def ask(turns: Turns, visitor: str, name: str) -> str:
        try:
            return await turns.take(visitor, "image", lambda: done.append(name) or time.sleep(0.02) or name)
        except Stale:
            return f"{name} dropped"

    async def all_at_once() -> list[str]:
        turns = Turns()
        asked = [("a", "a1"), ("a", "a2"), ("b", "b1"), ("a", "a3"), ("b", "b2")]
        return await asyncio.gather(*(ask(turns, *each) for each in asked))

    assert asyncio.run(all_at_once()) == ["a1", "a2 dropped", "b1 dropped", "a3", "b2"]
    assert done == ["a1", "a3", "b2"]


def test_two_visitors_at_once_get_their_own_images(site: Site) -> None:
    app = site.app("127.0.0.1")

    async def both() -> list[bytes]:
        asked = [
            call(app, "GET", f"/image?seed={seed}", headers={"x-visitor": name}) for seed, name in ((1, "a"), (2, "b"))
        ]
        return [answer.content for answer in await asyncio.gather(*asked)]

    first, second = asyncio.run(both())
    assert first == Browser(app).get("/image?seed=1").content
    assert second == Browser(app).get("/image?seed=2").content


# A run --------------------------------------------------------------------------------------------------------------


def test_the_history_of_a_run(run_folder: Path, site: Site) -> None:
    run = Browser(Site(site.engine, History(run_folder)).app("127.0.0.1"))
    told = run.get("/run").json
    assert told["samples"][-1] == 64
    assert "generator/loss" in told["curves"]
    assert "elapsed_s" not in told["curves"]
    with opened(run.get(f"/run/{told['samples'][-1]}.png").content) as grid:
        assert grid.format == "PNG"
    assert run.get("/run/7.png").status == 400


def test_the_history_follows_no_link_and_survives_half_a_row(run_folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    (run_folder / "samples" / "000000099.png").symlink_to(secret)
    with (run_folder / "metrics.jsonl").open("a") as file:
        file.write('{"images": 99, "generator/lo')
    history = History(run_folder)
    assert 99 not in history.samples()
    assert history.curves()
    with pytest.raises(UserError, match="no samples at 99"):
        history.grid(99)
