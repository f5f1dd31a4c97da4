"""The page about runs in a browser: no complaint, and curves, groups and samples answer to keys and the pointer."""

from pathlib import Path

import pytest
from report.browser import Browser, find
from report.report_runs import digits, make_run, noise

from ganzoo.grids import grid, save_png
from ganzoo.metrics import MetricsConfig
from ganzoo.report import write_report

pytestmark = [pytest.mark.slow, pytest.mark.skipif(find() is None, reason="there is no Chromium")]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    runs = [make_run(folder / f"slow-seed{seed}", seed=seed, samples=digits()) for seed in (0, 1)]
    runs.append(make_run(folder / "fast", rate=1e-3))
    save_png(runs[0] / "samples" / "000000000.png", grid(noise(), 8))
    return write_report(
        runs, folder / "report.html", extractor=MetricsConfig(extractor="pixels"), log=lambda line: None
    )


@pytest.fixture
def browser(page: Path, tmp_path: Path):
    with Browser(tmp_path / "profile") as browser:
        browser.look(1280)
        browser.open(page)
        yield browser
        assert browser.said == []


def test_keys_show_values(browser: Browser) -> None:
    browser.ask("document.querySelector('[data-chart] svg').focus()")
    tip = "document.querySelector('[data-chart] .tip').innerText"
    browser.press("ArrowLeft")
    last = browser.ask(tip)
    assert last.startswith("4,000 images")
    assert "2 seeds" in last
    browser.press("ArrowLeft")
    assert browser.ask(tip).startswith("3,000 images")
    browser.press("Home")
    assert browser.ask(tip).startswith("1,000 images")
    browser.press("Escape")
    assert browser.ask("document.querySelector('[data-chart] .tip').hidden")


def test_the_pointer_shows_values_within_the_chart(browser: Browser) -> None:
    for width in (400, 1280):
        browser.look(width)
        browser.ask("document.querySelector('[data-chart]').scrollIntoView()")
        box = browser.ask(
            "(({x, y, width, height}) => [x, y, width, height])"
            "(document.querySelector('[data-chart] svg').getBoundingClientRect())"
        )
        for share in (0.2, 0.5, 0.9):
            browser.point(box[0] + share * box[2], box[1] + box[3] / 2)
            left, right = browser.ask(
                "(({left, right}) => [left, right])"
                "(document.querySelector('[data-chart] .tip').getBoundingClientRect())"
            )
            assert box[0] - 1 <= left < right <= box[0] + box[2] + 1


def test_groups_are_hidden_and_shown(browser: Browser) -> None:
    seen = "getComputedStyle(document.querySelector('svg g[data-group=\"1\"]')).display"
    assert browser.ask(seen) != "none"
    browser.ask("document.querySelector('[data-toggle=\"1\"]').focus()")
    browser.press("Enter")
    assert browser.ask(seen) == "none"
    assert browser.ask("document.querySelector('[data-toggle=\"1\"]').getAttribute('aria-pressed')") == "false"
    browser.press("Enter")
    assert browser.ask(seen) != "none"


def test_samples_go_back_in_time(browser: Browser) -> None:
    source = "document.querySelector('[data-film=f0]').src"
    last = browser.ask(source)
    browser.ask("document.getElementById('time').focus()")
    browser.press("Home")
    first = browser.ask(source)
    assert first != last
    assert browser.ask("document.querySelector('output[for=time]').textContent") == "0"
    browser.press("End")
    assert browser.ask(source) == last


@pytest.mark.parametrize("width", [320, 400, 1280])
def test_nothing_is_wider_than_the_window(width: int, browser: Browser) -> None:
    browser.look(width)
    assert browser.ask("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("dark", [False, True])
def test_texts_and_lines_stand_out(dark: bool, browser: Browser) -> None:
    """Contrast of at least 4.5 for text and 3 for lines, as WCAG 2.2 asks (1.4.3, 1.4.11)."""
    browser.look(1280, dark=dark)
    script = """(() => {
      const luminance = (text) => {
        const [r, g, b] = text.match(/[\\d.]+/g).map((part) => part / 255)
          .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const page = luminance(getComputedStyle(document.body).backgroundColor);
      const contrast = (text) => {
        const pair = [luminance(text), page].sort((a, b) => b - a);
        return (pair[0] + 0.05) / (pair[1] + 0.05);
      };
      const least = (kind, name) =>
        Math.min(...[...document.querySelectorAll(kind)].map((element) => contrast(getComputedStyle(element)[name])));
      return [least("p, td, th, h1, summary", "color"), least("svg text", "fill"), least(".line", "stroke")];
    })()"""
    text, labels, lines = browser.ask(script)
    assert text >= 4.5
    assert labels >= 4.5
    assert lines >= 3
