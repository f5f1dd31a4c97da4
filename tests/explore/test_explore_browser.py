"""The page in a real browser: what a person does there. Needs playwright and a Chromium; skips without them."""

import base64
import io
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import ganzoo
from ganzoo.latent import Sampler
from ganzoo.ops.pixels import to_uint8

pytestmark = pytest.mark.slow
MODEL = Path(__file__).parent.parent.parent / "notebooks" / "digits16.safetensors"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def served(*args: str) -> tuple[subprocess.Popen[str], str]:
    """Start a server on a free port; return it and its address."""
    command = [sys.executable, "-m", "ganzoo.cli", "explore", *args, "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    for line in server.stdout:
        if found := re.search(r"http://\S+", line):
            return server, found[0]
    raise AssertionError(f"no server: {server.wait()}")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright, which drives a browser")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server, address = served(str(MODEL))
    yield address
    with server:  # closes its pipe
        server.terminate()


@pytest.fixture
def visit(chromium: Any) -> Iterator[Any]:
    """Opens addresses, each as another visitor; in the end no page may have complained in its console."""
    complaints: list[str] = []
    contexts = []

    def visit(address: str, width: int = 1280, complains: bool = False) -> Any:
        context = chromium.new_context(viewport={"width": width, "height": 900})
        contexts.append(context)
        page = context.new_page()
        if not complains:
            page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
            page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address)
        page.wait_for_selector("body[data-ready=yes]", timeout=60_000)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert complaints == []


def shown(page: Any) -> np.ndarray:
    """The pixels [H, W, 4] of the image."""
    text = page.evaluate("document.getElementById('image').toDataURL().split(',')[1]")
    with Image.open(io.BytesIO(base64.b64decode(text))) as image:
        return np.asarray(image.convert("RGBA"))


def move(page: Any, label: str, value: float) -> None:
    """Move a slider, and wait for the image."""
    page.evaluate(NEXT)
    page.get_by_label(label, exact=True).first.evaluate(
        "(range, value) => { range.value = value; range.dispatchEvent(new Event('input')); }", value
    )
    page.evaluate("window.drawn.then(() => true)")


def until(page: Any, condition: str, seconds: int = 30) -> None:
    """Wait for a condition, which the page's own policy does not let Playwright look at again and again."""
    for _ in range(10 * seconds):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"{condition}: {page.url}")


def opened(page: Any, title: str) -> Any:
    """Open a panel."""
    panel = page.locator("details.panel", has=page.locator("summary", has_text=re.compile(f"^{title}$"))).first
    if panel.get_attribute("open") is None:
        panel.locator("summary").first.click()
    return panel


NEXT = "window.drawn = new Promise((done) => document.addEventListener('drawn', done, { once: true })); true"
PSI = "psi: 0 is the mean image, 1 does not truncate"


def test_sliders_change_the_image_and_a_link_brings_it_back(visit: Any, address: str) -> None:
    page = visit(address)
    before = shown(page)
    move(page, PSI, 0.3)
    truncated = shown(page)
    assert not np.array_equal(before, truncated)
    move(page, "Component 0", 2)
    moved = shown(page)
    assert not np.array_equal(truncated, moved)
    until(page, "location.search.includes('pca=0:2')")
    again = visit(page.url)
    assert np.array_equal(shown(again), moved)
    page.get_by_role("button", name="Reset all").click()
    until(page, "location.search === ''")
    page.wait_for_timeout(300)
    assert np.array_equal(shown(page), before)


def test_two_visitors_do_not_disturb_each_other(visit: Any, address: str) -> None:
    first, second = visit(f"{address}/?seed=1"), visit(f"{address}/?seed=2")
    ones, twos = shown(first), shown(second)
    for i in range(5):
        move(first, PSI, i / 10)
        move(second, PSI, 1 - i / 10)
    move(first, PSI, 1)
    move(second, PSI, 1)
    assert np.array_equal(shown(first), ones)
    assert np.array_equal(shown(second), twos)


def test_one_s_own_image(visit: Any, address: str, tmp_path: Path) -> None:
    page = visit(address)
    picture = tmp_path / "mine.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8)).save(picture)
    panel = opened(page, "Your own image")
    panel.locator("input[type=file]").set_input_files(picture)
    panel.get_by_label("Steps", exact=True).fill("20")
    panel.get_by_role("button", name="Find it").click()
    until(page, "location.search.includes('styles=')", seconds=120)
    page.wait_for_timeout(300)
    assert panel.locator("img").count() == 2
    again = visit(page.url)
    found = shown(page)
    assert np.array_equal(shown(again), found)

    panel.get_by_label("Steps of tuning").fill("5000")
    panel.get_by_role("button", name="Tune the generator").click()
    until(page, "[...document.querySelectorAll('.hint')].some((note) => note.textContent.startsWith('step '))", 120)
    panel.get_by_role("button", name="Stop").click()
    panel.get_by_text("stopped", exact=True).wait_for()
    assert "weights=" not in page.url
    panel.get_by_label("Steps of tuning").fill("100")
    panel.get_by_role("button", name="Tune the generator").click()
    until(page, "location.search.includes('weights=')", seconds=120)
    panel.get_by_text(re.compile("PSNR .* after 100 steps")).wait_for()
    page.wait_for_timeout(500)
    tuned = shown(page)
    assert not np.array_equal(tuned, found)
    assert np.array_equal(shown(visit(page.url)), tuned)
    move(page, PSI, 0.5)
    other = shown(page)
    assert not np.array_equal(other, tuned)
    panel.get_by_label("Tuned weights").uncheck()
    until(page, "!location.search.includes('weights=')")
    page.wait_for_timeout(300)
    assert not np.array_equal(shown(page), other)
    move(page, PSI, 1)
    assert np.array_equal(shown(page), found)


def test_a_link_to_weights_that_are_gone_is_one_message(visit: Any, address: str) -> None:
    page = visit(f"{address}/?seed=3&weights=f00", complains=True)
    assert "not kept any more" in page.locator("#error").inner_text()
    page.get_by_label("Tuned weights").uncheck()
    until(page, "document.getElementById('error').hidden")
    assert np.array_equal(shown(page), shown(visit(f"{address}/?seed=3")))


def test_a_broken_upload_is_one_message(visit: Any, address: str, tmp_path: Path) -> None:
    page = visit(address, complains=True)  # the browser itself notes every answer of 400
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n and nothing else")
    panel = opened(page, "Your own image")
    panel.locator("input[type=file]").set_input_files(broken)
    panel.get_by_role("button", name="Find it").click()
    panel.locator(".error").wait_for()
    assert "cannot be read" in panel.locator(".error").inner_text()
    move(page, PSI, 0.5)  # the page goes on


def test_a_point_is_dragged_and_its_link_brings_the_image_back(visit: Any, address: str) -> None:
    page = visit(f"{address}/?seed=7")
    before = shown(page)
    panel = opened(page, "Drag")
    box = page.locator("#image").bounding_box()
    for x, y in ((8, 3), (11, 6)):
        page.mouse.click(box["x"] + box["width"] * (x + 0.5) / 16, box["y"] + box["height"] * (y + 0.5) / 16)
    panel.get_by_text("How", exact=True).click()
    panel.get_by_label("Most steps").fill("20")
    panel.get_by_role("button", name="Start").click()
    until(page, "location.search.includes('styles=')", seconds=120)
    page.wait_for_timeout(500)
    dragged = shown(page)
    assert not np.array_equal(dragged, before)
    assert np.array_equal(shown(visit(page.url)), dragged)
    panel.get_by_role("button", name="Undo").click()
    until(page, "!location.search.includes('styles=')")
    page.wait_for_timeout(500)
    assert np.array_equal(shown(page), before)


def test_bookmarks_a_way_and_a_film(visit: Any, address: str) -> None:
    page = visit(f"{address}/?seed=1")
    page.get_by_role("button", name="Bookmark", exact=True).click()
    page.get_by_role("button", name="Next seed").click()
    page.get_by_role("button", name="Bookmark", exact=True).click()
    panel = opened(page, "Bookmarks and film")
    first = shown(page)
    move(page, "Place on the way", 0.5)
    assert not np.array_equal(shown(page), first)
    panel.get_by_label("Frames between two").fill("4")
    panel.get_by_role("button", name="Make a film").click()
    panel.locator("img.film").wait_for(timeout=60_000)
    until(page, "location.hash.includes('marks=')")
    assert visit(page.url).locator("#marks li").count() == 2


def test_the_keyboard_reaches_everything(visit: Any, address: str) -> None:
    page = visit(address)
    before = shown(page)
    page.get_by_label(PSI, exact=True).focus()
    for _ in range(30):
        page.keyboard.press("ArrowLeft")
    until(page, "location.search.includes('psi=0.7')")
    page.wait_for_timeout(300)
    assert not np.array_equal(shown(page), before)


def test_what_has_the_focus_is_seen(visit: Any, address: str) -> None:
    """On a narrow page, where the image stays while the rest goes by: from the last control back to the first."""
    page = visit(address, width=400)
    seen = []
    while len(seen) < 100:
        page.keyboard.press("Shift+Tab")
        name, is_seen, outline = page.evaluate(FOCUS)
        if name == "BODY":
            break
        assert (is_seen, outline) == (True, "solid"), (name, seen)
        seen.append(name)
    assert len(seen) > 20


FOCUS = """() => {
  const here = document.activeElement, box = here.getBoundingClientRect();
  const top = document.elementFromPoint((box.left + box.right) / 2, (box.top + box.bottom) / 2);
  return [here.tagName, here.contains(top), getComputedStyle(here).outlineStyle];
}"""


@pytest.mark.parametrize("width", [1280, 400])
def test_nothing_is_wider_than_the_page(visit: Any, address: str, width: int) -> None:
    page = visit(address, width=width)
    for title in ("Walk", "Noise", "Your own image"):
        opened(page, title)
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_an_image_comes_quickly(visit: Any, address: str) -> None:
    page = visit(address)
    times = []
    for i in range(40):
        page.evaluate(NEXT)
        page.get_by_label(PSI, exact=True).first.evaluate(
            "(range, value) => { range.value = value; range.dispatchEvent(new Event('input')); }", i / 40
        )
        times.append(page.evaluate("window.drawn.then(({ detail }) => detail.took)"))
    print(f"slider to image: median {statistics.median(times):.0f} ms, slowest {max(times):.0f} ms")
    assert statistics.median(times) < 250  # on a busy machine


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of the digits; the runtime is that of npm."""
    if shutil.which("npm") is None:
        pytest.skip("no npm, which fetches the runtime")
    folder = tmp_path_factory.mktemp("page") / "digits"
    command = [sys.executable, "-m", "ganzoo.cli", "explore", str(MODEL), "--export", str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if "npm cannot fetch" in ended.stderr:
        pytest.skip(ended.stderr)
    assert ended.returncode == 0, ended.stderr
    return folder


def test_an_exported_page_needs_no_server(visit: Any, exported: Path) -> None:
    page = visit(f"{(exported / 'index.html').as_uri()}#seed=7&class=3&psi=0.8")
    found = shown(page)[..., :1].astype(int)
    sampler = Sampler(*ganzoo.load(MODEL))
    latents, labels = sampler.latents([7]), sampler.labels(1, 3)
    wanted = to_uint8(sampler.images(latents, labels, psi=0.8))[0]
    assert np.abs(found - wanted).max() <= 1
    page.get_by_label("Place on the way").evaluate(
        "range => { range.value = 0.5; range.dispatchEvent(new Event('input')); }"
    )
    page.wait_for_timeout(2000)
    assert not np.array_equal(shown(page)[..., :1], found)
