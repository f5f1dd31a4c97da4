"""The page about runs: what it shows of whole, damaged and empty folders, and that names in a folder stay text."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from report.report_runs import SHAPE, digits, make_run, row

from ganzoo.cli import main
from ganzoo.errors import UserError
from ganzoo.grids import grid, save_png
from ganzoo.metrics import MetricsConfig
from ganzoo.metrics.neighbours import closest
from ganzoo.report import write_report
from ganzoo.report.charts import HEIGHT, LINE, Charts, Scale, sections, shown, ticks
from ganzoo.report.neighbours import EACH, SHOWN, Search
from ganzoo.report.pictures import last_images
from ganzoo.report.records import MOST_POINTS, Curve, differing, grouped, read_runs

PIXELS = MetricsConfig(extractor="pixels")


def quiet(line: str) -> None:
    """Take a line."""


def groups_of(*folders: Path):
    runs, left_out = read_runs(folders)
    assert not left_out
    return grouped(runs)


@pytest.fixture
def three(tmp_path: Path) -> list[Path]:
    """Two seeds of one config, and a run with another learning rate."""
    first = [make_run(tmp_path / f"slow-seed{seed}", seed=seed) for seed in (0, 1)]
    return [*first, make_run(tmp_path / "fast", rate=1e-3)]


# Groups and curves --------------------------------------------------------------------------------------------------


def test_runs_that_differ_in_their_seed_are_one_group(three: list[Path]) -> None:
    slow, fast = groups_of(*three)
    assert [run.seed for run in slow.runs] == [0, 1]
    assert (slow.title, fast.title) == ("slow (2 seeds)", "fast")
    assert differing([slow, fast]) == {"gan.learning_rate": [2e-4, 1e-3]}


def test_other_images_make_another_group(three: list[Path]) -> None:
    config = three[1] / "config.json"
    config.write_text(config.read_text().replace('"experiment"', '"fingerprint": "0a", "experiment"'))
    assert differing(groups_of(*three[:2])) == {"data.fingerprint": ["unknown", "0a"]}


def test_a_curve_is_the_mean_of_the_seeds_between_their_extremes(tmp_path: Path) -> None:
    own = [
        [{"images": 16, "a": 1.0}, {"images": 32, "a": 4.0}],
        [{"images": 16, "a": 3.0}, {"images": 32, "a": float("nan")}],
    ]
    (group,) = groups_of(*(make_run(tmp_path / str(seed), seed=seed, rows=rows) for seed, rows in enumerate(own)))
    curve = group.curve("a")
    assert curve is not None
    for found, expected in zip(
        (curve.images, curve.mean, curve.low, curve.high, curve.count),
        ([16, 32], [2, 4], [1, 4], [3, 4], [2, 1]),
        strict=True,
    ):
        np.testing.assert_array_equal(found, expected)
    assert group.curve("b") is None


def test_long_curves_are_averaged(tmp_path: Path) -> None:
    rows = [{"images": 10 * (i + 1), "a": float(i)} for i in range(2 * MOST_POINTS)]
    (group,) = groups_of(make_run(tmp_path / "run", rows=rows))
    curve = group.curve("a")
    assert curve is not None
    np.testing.assert_allclose(curve.mean, 0.5 + 2 * np.arange(MOST_POINTS))
    np.testing.assert_allclose(curve.images, 15 + 20 * np.arange(MOST_POINTS))


def test_runs_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    folders = [make_run(tmp_path / place / "run", rate=rate) for place, rate in (("a", 1e-3), ("b", 1e-4))]
    assert [group.name for group in groups_of(*folders)] == ["a/run", "b/run"]
    assert len(groups_of(folders[0], tmp_path / "b" / ".." / "a" / "run")) == 1


def test_every_scalar_is_in_one_section(three: list[Path]) -> None:
    found = sections(groups_of(*three))
    names = [name for _, _, names in found for name in names]
    assert sorted(names) == sorted(set(row(1000, 0, 1e-3)) - {"images", "step"})
    assert [title for title, *_ in found][:2] == ["Metrics", "Losses"]


# Charts -------------------------------------------------------------------------------------------------------------


def one(values: list[float]) -> Curve:
    numbers = np.array(values)
    return Curve(np.arange(len(values)) * 10.0, numbers, numbers, numbers, np.ones(len(values)))


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (0, 4000, [0, 1000, 2000, 3000, 4000]),
        (-0.1, 0.3, [-0.1, 0, 0.1, 0.2, 0.3]),
        (9.8, 10.1, [9.8, 9.9, 10.0, 10.1]),
    ],
)
def test_ticks_are_round(first: float, last: float, expected: list[float]) -> None:
    assert ticks(first, last, most=4) == expected


def test_a_scale_is_logarithmic_where_values_are_of_many_sizes() -> None:
    wide, narrow, negative = Scale([one([1, 1000])]), Scale([one([1, 2])]), Scale([one([-1, 1000])])
    assert (wide.is_log, narrow.is_log, negative.is_log) == (True, False, False)
    heights = [wide.y(value) for value in (1, 10, 100)]
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2])
    assert Scale([one([3, 3, 3])]).axes().count("rule") > 1  # a constant has a scale, too


@pytest.mark.parametrize(
    ("value", "expected"), [(0, "0"), (0.12345, "0.123"), (1234.5, "1234"), (25e3, "25k"), (5e6, "5M"), (1e-7, "1e-07")]
)
def test_numbers(value: float, expected: str) -> None:
    assert shown(value) == expected


def test_letters_at_the_ends_of_curves_do_not_lie_on_each_other(tmp_path: Path) -> None:
    folders = [make_run(tmp_path / str(i), rate=1e-3 + 1e-9 * i) for i in range(10)]
    drawn = Charts(groups_of(*folders)).chart("generator/loss")
    places = sorted(float(y) for y in re.findall(r'class="letter [^>]* y="([\d.]+)"', drawn))
    assert len(places) == 10
    assert min(np.diff(places)) > LINE - 0.2
    assert 0 < places[0] < places[-1] < HEIGHT


def test_a_band_for_seeds_and_a_dot_for_a_single_row(three: list[Path], tmp_path: Path) -> None:
    drawn = Charts(groups_of(*three)).chart("generator/loss")
    assert drawn.count('class="band g0"') == 1
    assert "band g1" not in drawn
    assert "at the end: A " in drawn
    alone = Charts(groups_of(make_run(tmp_path / "new", every=4000))).chart("generator/loss")
    assert "<circle" in alone


# Samples and neighbours ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_grid_is_cut_into_its_images(channels: int, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    images = np.random.default_rng(0).integers(0, 256, (64, 16, 16, channels), np.uint8)
    save_png(run / "samples" / "000005000.png", grid(images, 8))
    config = run / "config.json"
    config.write_text(config.read_text().replace('"channels": 1', f'"channels": {channels}'))
    (record,), _ = read_runs([run])
    np.testing.assert_array_equal(last_images(record), images)


def test_the_closest_are_those_of_all_distances() -> None:
    rng = np.random.default_rng(0)
    queries, others = rng.normal(size=(5, 7)).astype(np.float32), rng.normal(size=(23, 7)).astype(np.float32)
    others[4] = queries[2]
    every = np.linalg.norm(queries[:, None].astype(float) - others[None], axis=-1)
    distances, numbers = closest(queries, others, 4, block=6)
    np.testing.assert_array_equal(numbers, np.argsort(every, 1)[:, :4])
    np.testing.assert_allclose(distances, np.sort(every, 1)[:, :4], atol=1e-6)


def test_copies_of_training_images_are_found_out(tmp_path: Path) -> None:
    copies, new = make_run(tmp_path / "copies", samples=digits()), make_run(tmp_path / "new")
    search, ((first, second), _) = Search(PIXELS, log=quiet), read_runs([copies, new])
    found = search(first)
    assert found.is_suspicious
    assert (found.close, found.count, found.of) == (1.0, 64, 1797)
    np.testing.assert_array_equal(found.nearest[:, 0], found.samples)
    assert found.nearest.shape == (SHOWN, EACH, *SHAPE)
    assert found.distances[:, 0].max() < 1e-3
    other = search(second)
    assert not other.is_suspicious
    assert other.median > 1


def test_embedded_digits_are_compared_by_their_classifier(tmp_path: Path) -> None:
    ((run,), _) = read_runs([make_run(tmp_path / "run", samples=digits())])
    found = Search(MetricsConfig(reals=200), log=quiet)(run)
    assert (found.features, found.of) == ("digit-classifier", 200)
    assert 0 < found.close < 0.5  # most of the copied images are not among the 200


# The page -----------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """Opens and closes every element, and keeps the attributes."""

    EMPTY = ("meta", "img", "input", "line", "circle", "path")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag) -> None:
        if tag not in self.EMPTY:
            assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        self.texts.append(data)


def page_of(*folders: Path, **options) -> tuple[str, Page]:
    out = folders[0].parent / "report.html"
    text = write_report(folders, out, **{"neighbours": False, "log": quiet, **options}).read_text()
    return text, Page(text)


def test_the_page_holds_everything_and_reaches_for_nothing(three: list[Path]) -> None:
    text, page = page_of(*three, neighbours=True, extractor=PIXELS)
    sources = [value for _, name, value in page.attributes if name in ("src", "href", "srcset", "data", "action")]
    assert len(sources) > 3
    assert all(source.startswith("data:image/webp;base64,") for source in sources)
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|@import|url\(", text)
    shown_text = " ".join(page.texts)
    for part in ("slow (2 seeds)", "gan.learning_rate", "0.001", "metric/random-conv/frechet", "4,000", "complete",
                 "Nearest training images", "pixels features", "bands reach"):  # fmt: skip
        assert part in shown_text, part
    assert len(text) < 2**20


def test_the_policy_of_the_page_allows_its_own_script_alone(three: list[Path]) -> None:
    text, page = page_of(*three)
    (policy,) = [
        value for tag, name, value in page.attributes if tag == "meta" and name == "content" and "src" in value
    ]
    (script,) = re.findall(r"<script>(.*?)</script>", text, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_names_from_a_folder_are_text(tmp_path: Path) -> None:
    evil = "<img src=x onerror=alert(1)>"
    rows = [{"images": 16, f"a{evil}": 1.0, "</script><b>": 2.0, "images_per_s": 1.0}]
    run = make_run(tmp_path / evil.replace("/", ""), rows=rows, data=f"{evil}\u202e")
    config = run / "config.json"
    config.write_text(config.read_text().replace('"model": "dcgan"', '"model": "</title><script>"'))
    text, page = page_of(run, neighbours=True)
    assert "onerror" not in {name for _, name, _ in page.attributes}
    assert text.count("<script") == 2
    assert "\u202e" not in text


def test_damaged_and_empty_runs_are_a_line_each(three: list[Path], tmp_path: Path) -> None:
    empty, broken = make_run(tmp_path / "empty", rows=[]), make_run(tmp_path / "broken")
    for file in (empty / "samples").iterdir():
        file.unlink()
    (broken / "config.json").write_text("{")
    lines: list[str] = []
    text, page = page_of(*three, empty, broken, tmp_path / "absent", log=lines.append)
    expected = [
        f"{empty} has nothing to show yet: no row in metrics.jsonl and no sample grid",
        f"{broken}/config.json cannot be read",
        f"{tmp_path / 'absent'} is no run folder: it has no config.json",
    ]
    assert len(lines) == 3
    assert all(line.startswith(f"left out: {start}") for line, start in zip(lines, expected, strict=True))
    assert text.count("Left out: ") == 3
    assert "fast" in " ".join(page.texts)


def test_broken_grids_and_half_rows_spoil_nothing(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    for file in (run / "samples").iterdir():
        file.write_bytes(file.read_bytes()[:80])
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"images": 5000, "generator/lo')
    text, page = page_of(run, neighbours=True, extractor=PIXELS)
    assert "no sample grid" in " ".join(page.texts)
    assert "cannot be read as PNG" in " ".join(page.texts)
    assert "4,000" in text


def test_a_data_set_that_is_gone_costs_the_neighbours_only(tmp_path: Path) -> None:
    lines: list[str] = []
    run = make_run(tmp_path / "run", data=str(tmp_path / "gone.zip"))
    _, page = page_of(run, neighbours=True, log=lines.append)
    assert any(line.startswith("note: no nearest training images of run: ") and "gone.zip" in line for line in lines)
    assert "left out. " in "".join(page.texts)
    assert "generator/loss" in page.texts


# The command --------------------------------------------------------------------------------------------------------


def test_the_command(three: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "x.html"
    assert main(["report", *map(str, three), "--out", str(out), "--no-neighbours"]) == 0
    assert capsys.readouterr().out == f"{out.stat().st_size / 2**20:.1f} MiB -> {out}\n"
    assert "Nearest training images" not in out.read_text()


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        ([], "no run folder is given"),
        (["absent"], "absent is no run folder: it has no config.json"),
        (["run", "--out", "x.pdf"], "x.pdf: the name of a report must end in .html"),
        (["run", "--out", "absent/x.html"], "there is no folder absent"),
        (["run", "--extractor", "inception", "--inception", "absent"], "no Inception weights at absent"),
        (["run", "--extractor", "digits", "--inception", "x"], "inception = 'x': must be left out"),
    ],
)
def test_what_is_wrong_is_one_line(args, complaint, tmp_path, monkeypatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "run")
    assert main(["report", *args]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert complaint in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


def test_no_run_at_all_is_an_error_of_the_function(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no run folder"):
        write_report([tmp_path], tmp_path / "x.html")
