"""The before/after page: what it holds, and, where there is a browser, that it works."""

import json
import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from edvr_cli.cli import main
from edvr_cli.cli.json_lines import JsonLines
from edvr_cli.events import Finished, FrameRestored, Started
from edvr_cli.quality.footage import Footage
from edvr_cli.quality.report import ModelCard, build_report
from edvr_cli.quality.report.plot import line_plot
from tests.support.clips import make_clip

VOID = {"meta", "img", "input", "link", "br"}
BROWSER = os.environ.get("EDVR_BROWSER") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


class Page(HTMLParser):
    """Elements of a page in order, as (tag, attributes); checks that they nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self._open: list[str] = []
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it."""
        self.elements.append((tag, {key: value or "" for key, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note one that closes itself."""
        self.elements.append((tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        """It closes the last one opened."""
        assert self._open.pop() == tag

    def all(self, tag: str, class_: str = "") -> list[dict[str, str]]:
        """The attributes of each element of a kind."""
        return [a for t, a in self.elements if t == tag and class_ in a.get("class", "")]


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    """A source, and a result twice its size."""
    folder = tmp_path_factory.mktemp("report")
    make_clip(folder / "in.mp4", width=64, height=48, frames=12)
    make_clip(folder / "out <b>.mp4", width=128, height=96, frames=12)
    return folder


@pytest.fixture(scope="module")
def page(clips) -> str:
    """The page of the two."""
    footage = Footage.open(clips / "in.mp4"), Footage.open(clips / "out <b>.mp4")
    model = ModelCard({"name": "edvr-x"}, "# card\n\n<script>alert(1)</script>")
    return build_report(*footage, pictures=3, settings={"crf": "17"}, model=model)


def test_the_page_is_whole_and_needs_nothing_else(page):
    """Every tag closes; every address is data; names and the card are shown as text, not run."""
    parsed = Page(page)
    sources = [a[key] for _, a in parsed.elements for key in ("src", "href") if a.get(key)]
    assert sources
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert "url(" not in page
    assert len(parsed.all("script")) == 1
    assert "&lt;script&gt;alert(1)" in page
    assert "out &lt;b&gt;.mp4" in page
    assert "default-src 'none'" in parsed.all("meta")[1]["content"]


def test_every_frame_has_pictures_and_a_crop(page):
    """The first frame's are not stored twice; controls have names."""
    parsed = Page(page)
    crops = parsed.all("button", "crop")
    assert len(crops) == 3
    assert [bool(crop["data-before"]) for crop in crops] == [False, True, True]
    for crop in crops:
        left, top, width, height = map(int, crop["data-crop"].split())
        assert 0 <= left <= 128 - width
        assert 0 <= top <= 96 - height
    for tag in ("button", "input", "svg"):
        assert all(a.get("aria-label") for a in parsed.all(tag))
    assert all(a.get("alt") for a in parsed.all("img"))


def test_figures_settings_model_and_machine_are_told(page):
    """Two sections of figures, each a table and plots; the tables of facts."""
    parsed = Page(page)
    assert len(parsed.all("svg", "plot")) == 4
    text = re.sub(r"<[^>]+>", " ", page)
    for wanted in ("Faithful to the source", "How much changed", "PSNR Y", "edvr-x", "crf", "PyTorch", "64×48"):
        assert wanted in text


def test_with_a_truth_both_are_measured_against_it(clips):
    """It shows bicubic next to restored, and no other sections."""
    footage = Footage.open(clips / "in.mp4"), Footage.open(clips / "out <b>.mp4")
    page = build_report(*footage, truth=footage[1], pictures=1, max_frames=3, vmaf=False)
    assert "Against the truth" in page
    assert "Faithful to the source" not in page
    assert page.count("<polyline") == 2 * 4 - 2  # PSNR of the result, which is the truth, is infinite
    assert "mean of 3 frames" in page


def test_plots_survive_what_cannot_be_drawn():
    """Nothing, one point, a constant, infinities."""
    for points in ([], [(0.0, 1.0)], [(0.0, 1.0), (1.0, 1.0)], [(0.0, float("inf")), (1.0, float("inf"))]):
        text = line_plot("PSNR <Y>", "dB", {"a": points})
        assert "nan" not in text
        assert "inf" not in text
        assert "PSNR &lt;Y&gt;" in text


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    return int(exit_.value.code or 0)


def test_the_command_writes_one_file_and_never_over_another(clips, tmp_path, capsys):
    """Its path is the result."""
    arguments = ["report", clips / "in.mp4", clips / "out <b>.mp4", "-o", tmp_path / "r.html", "--frames", 2]
    assert run(*arguments, "--pictures", 2, "--model", "edvr-s-x4", "--setting", "crf=17") == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Apache-2.0" in text
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]
    assert run(*arguments) == 2
    assert "exists" in capsys.readouterr().err


def test_what_a_run_told_of_itself_comes_on_the_page(clips, tmp_path, capsys):
    """From the lines that upscale --json writes; those of another file are refused."""
    result = clips / "out <b>.mp4"
    started = Started(
        clips / "in.mp4",
        result,
        (64, 48),
        (128, 96),
        12,
        "edvr-s-x4",
        "cuda:0",
        "fp16",
        tile=256,
        resized=False,
        strength=0.85,
    )
    lines = JsonLines()
    for event in (started, FrameRestored(1, 12), Finished(result, 12, 83.0)):
        lines(event)
    (tmp_path / "run.jsonl").write_text(capsys.readouterr().out)
    arguments = ["report", clips / "in.mp4", result, "--frames", 1, "--pictures", 1, "-o", tmp_path / "r.html"]
    assert run(*arguments, "--run", tmp_path / "run.jsonl") == 0
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    for told in ("cuda:0", "fp16", "256 pixels", "0.85", "1 min 23 s", "Model card"):
        assert told in text
    (tmp_path / "run.jsonl").write_text('{"event": "started", "target": "other.mp4"}\n')
    assert run(*arguments, "-y", "--run", tmp_path / "run.jsonl") == 1
    assert "does not mention" in capsys.readouterr().err


# --- In a browser


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium; skips where it or its driver is not installed."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if BROWSER is None:
        pytest.skip("no Chromium on this machine; EDVR_BROWSER may name one")
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        yield launched
        launched.close()


@pytest.fixture
def opened(browser, page, tmp_path):
    """Opens the page in a window of a size; fails at the end if the console said anything."""
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    said: list[str] = []
    contexts = []

    def open_page(width: int = 1000, height: int = 800, **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        tab = context.new_page()
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("request", lambda request: said.append(request.url) if request.url.startswith("http") else None)
        tab.goto((tmp_path / "page.html").as_uri())
        tab.wait_for_function("document.querySelectorAll('canvas[data-drawn]').length === 6")
        return tab

    yield open_page
    for context in contexts:
        context.close()
    assert said == []


def split(tab) -> float:
    """Percent of the stage that shows before."""
    return float(tab.evaluate("getComputedStyle(stage).getPropertyValue('--split')").rstrip("%"))


def transform(tab) -> list[float]:
    """Scale and shift of the picture."""
    return json.loads(tab.evaluate("getComputedStyle(before).transform.replace('matrix(', '[').replace(')', ']')"))


def test_the_slider_moves_by_mouse_and_by_keys(opened):
    """And the clip of the picture with it."""
    tab = opened()
    box = tab.locator("#stage").bounding_box()
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    tab.mouse.down()
    tab.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + 20, steps=4)
    tab.mouse.up()
    assert split(tab) == pytest.approx(20, abs=1)
    clip = tab.evaluate("getComputedStyle(document.querySelector('.before')).clipPath")
    assert float(re.search(r"([\d.]+)%", clip)[1]) == pytest.approx(80, abs=1)
    tab.keyboard.press("ArrowRight")
    assert split(tab) == pytest.approx(22, abs=1)
    tab.locator("#split").focus()
    tab.keyboard.press("End")
    assert split(tab) == 100


def test_frames_zoom_and_crops_follow_buttons_and_keys(opened):
    """Page keys change frames, plus and minus zoom, a crop shows its place."""
    tab = opened()
    first = tab.evaluate("after.src")
    tab.keyboard.press("PageDown")
    assert tab.evaluate("after.src") != first
    assert tab.locator("#where").inner_text() == tab.locator(".crop span").nth(1).inner_text()
    assert tab.locator(".mark.current").first.get_attribute("data-frame") == "1"
    tab.keyboard.press("PageUp")
    assert tab.evaluate("after.src") == first
    tab.keyboard.press("+")
    assert transform(tab)[0] == 2
    tab.locator("#larger").click()
    assert transform(tab)[0] == 4
    tab.keyboard.press("0")
    assert transform(tab)[0] == 1
    tab.locator(".crop").nth(2).click()
    assert transform(tab)[0] > 4
    assert tab.locator("#where").inner_text() == tab.locator(".crop span").nth(2).inner_text()


def test_it_is_read_and_used_on_a_phone(opened):
    """Nothing is wider than the screen; a touch moves the slider."""
    tab = opened(390, 844, has_touch=True, is_mobile=True)
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    box = tab.locator("#stage").bounding_box()
    tab.touchscreen.tap(box["x"] + box["width"] * 0.75, box["y"] + 30)
    assert split(tab) == pytest.approx(75, abs=1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_follows_the_readers_colors(opened, scheme):
    """Text and ground stand apart in both."""
    tab = opened(color_scheme=scheme)
    ground, ink = (
        sum(map(int, re.findall(r"\d+", tab.evaluate(f"getComputedStyle(document.body).{name}"))[:3])) / 3
        for name in ("backgroundColor", "color")
    )
    assert (ground > ink) == (scheme == "light")
    assert abs(ground - ink) > 150
