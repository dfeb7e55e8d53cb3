"""The page in a real browser: it sorts, filters, opens rows, and nothing in it runs or is fetched."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sqsd_lint.report import Options
from sqsd_lint.report.formats.html import write
from tests.report.browser import Page, browser, find_browser
from tests.report.reports import CLEAR, FULL, high_risk, with_rows

COMMAND = find_browser()
pytestmark = pytest.mark.skipif(COMMAND is None, reason="Chromium is not installed")

ATTACK = "</script><script>window.hit=1</script><img src=//example.org/x onerror='window.hit=2'>\u202egnp"
REPORT = with_rows(
    replace(FULL, violations=(*FULL.violations, high_risk("data/<b>.jsonl", 7, 9.0, 99.95, ATTACK)))
)
SHOWN = "[...document.querySelectorAll('.finding')].filter(f => !f.hidden)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    for name, report in {"report": REPORT, "clear": CLEAR}.items():
        with (folder / f"{name}.html").open("w", encoding="utf-8") as stream:
            write(report, stream, Options())
    return folder


@pytest.fixture(scope="module")
def tab() -> Iterator[Page]:
    assert COMMAND
    with browser(COMMAND) as page:
        yield page


@pytest.fixture
def page(tab: Page, folder: Path) -> Page:
    """The report at the width of a laptop."""
    tab.look(width=1100)
    tab.open(f"{(folder / 'report.html').as_uri()}")
    return tab


def rules(page: Page) -> list[str]:
    found: list[str] = page.eval(f"{SHOWN}.map(f => f.dataset.code)")
    return found


def sort(page: Page, key: str) -> str:
    page.eval(f"document.querySelector('th[data-sort={key}] button').click()")
    order: str = page.eval(f"document.querySelector('th[data-sort={key}]').ariaSort")
    return order


def type_in(page: Page, text: str) -> None:
    page.eval(
        f"(() => {{ const s = document.getElementById('search'); s.value = {text!r};"
        " s.dispatchEvent(new Event('input')); })()"
    )


def test_nothing_is_fetched_and_nothing_complains(page: Page, folder: Path) -> None:
    assert page.requests == [(folder / "report.html").as_uri()]
    assert page.complaints == []


def test_the_same_from_a_web_server(tab: Page, folder: Path) -> None:
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    handler.log_message = lambda *args: None  # type: ignore[attr-defined]
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        tab.open(f"http://127.0.0.1:{server.server_port}/report.html")
    finally:
        server.shutdown()
        server.server_close()
    assert len(tab.requests) == 1
    assert tab.complaints == []


def test_a_hostile_row_stays_text(page: Page) -> None:
    assert page.eval("window.hit") is None
    assert page.eval("document.scripts.length") == 1
    assert page.eval("document.images.length") == 0
    shown = page.eval("[...document.querySelectorAll('blockquote')].map(q => q.textContent)")
    assert ATTACK.replace("\u202e", "\\u202e") in shown
    page.eval("document.querySelector('h1').setAttribute('onclick', 'window.hit=3')")
    page.eval("document.querySelector('h1').click()")
    assert page.eval("window.hit") is None  # the policy holds even where escaping would not


def test_sorting_by_score_place_and_rule(page: Page) -> None:
    scores = f"{SHOWN}.map(f => parseFloat(f.querySelector('.score').textContent))"
    assert sort(page, "score") == "descending"
    found = [score for score in page.eval(scores) if score is not None]
    assert found == sorted(found, reverse=True)
    assert found[0] == 11.84
    assert sort(page, "score") == "ascending"
    found = [score for score in page.eval(scores) if score is not None]
    assert found == sorted(found)
    assert sort(page, "place") == "ascending"
    places = page.eval(f"{SHOWN}.map(f => f.querySelector('.place').textContent)")
    assert places == [
        "data/<b>.jsonl:7",
        "data/extra.jsonl:3",
        "data/extra.jsonl:9",
        "data/train.jsonl:12",
        "data/train.jsonl:48",
        "data/train.jsonl:48",
        "data/train.jsonl:1207",
        "data/weights.jsonl",
    ]
    assert page.eval("document.querySelector('th[data-sort=score]').ariaSort") is None
    assert sort(page, "rule") == "ascending"
    assert rules(page) == sorted(rules(page))
    assert page.complaints == []


@pytest.mark.parametrize("width", [1100, 360])
def test_filtering_by_text_rule_and_severity(page: Page, width: int) -> None:
    page.look(width=width)
    visible = f"{SHOWN}.every(f => f.offsetHeight > 0) && [...document.querySelectorAll('.finding[hidden]')]"
    visible += ".every(f => f.offsetHeight === 0)"
    type_in(page, "JOKE sure")
    assert rules(page) == ["SQSD102", "SQSD302"]
    assert page.eval("document.getElementById('shown').textContent") == "2 of 8 shown"
    assert page.eval(visible)
    page.eval("document.querySelector('input[value=warning]').click()")
    assert rules(page) == []
    assert page.eval("document.querySelector('.none').offsetHeight > 0")
    assert page.eval("document.querySelector('table').offsetHeight") == 0
    page.eval("document.getElementById('reset').click()")
    assert len(rules(page)) == 8
    page.eval("document.getElementById('rule').value = 'SQSD101'")
    page.eval("document.getElementById('rule').dispatchEvent(new Event('change'))")
    assert rules(page) == ["SQSD101"] * 3
    assert page.eval(visible)


def test_a_row_opens_by_mouse_and_by_keyboard(page: Page) -> None:
    height = "document.getElementById('detail-0').offsetHeight"
    expanded = "document.querySelector('#finding-0 button').ariaExpanded"
    assert (page.eval(height), page.eval(expanded)) == (0, "false")
    page.eval("document.querySelector('#finding-0 .place').click()")
    assert page.eval(height) > 0
    assert page.eval(expanded) == "true"
    page.eval("document.querySelector('#finding-0 button').focus()")
    page.key("Enter")
    assert (page.eval(height), page.eval(expanded)) == (0, "false")
    page.key("Tab")
    page.key("Enter")
    assert page.eval("document.getElementById('detail-1').offsetHeight") > 0
    detail = page.eval("document.getElementById('detail-1').innerText")
    assert "fingerprint" in detail
    assert "danger" in detail


def test_an_address_opens_its_row(tab: Page, folder: Path) -> None:
    tab.open(f"{(folder / 'clear.html').as_uri()}")
    tab.open(f"{(folder / 'report.html').as_uri()}#finding-2")
    assert tab.eval("document.getElementById('detail-2').offsetHeight") > 0


def test_without_script_every_row_can_be_read(tab: Page, folder: Path) -> None:
    tab.look(width=1100, script=False)
    tab.open((folder / "report.html").as_uri())
    heights = "[...document.querySelectorAll('.detail')].map(d => d.offsetHeight > 0)"
    assert tab.eval(heights) == [True] * 8
    assert tab.eval("document.querySelector('.tools').offsetHeight") == 0
    assert tab.complaints == []


@pytest.mark.parametrize("width", [360, 800, 1400])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["report", "clear"])
def test_the_page_fits_and_can_be_read(
    tab: Page, folder: Path, tmp_path: Path, name: str, width: int, dark: bool
) -> None:
    tab.look(width=width, dark=dark)
    tab.open((folder / f"{name}.html").as_uri())
    tab.eval("document.querySelectorAll('.finding').forEach(f => f.classList.add('open'))")
    assert tab.eval("document.documentElement.scrollWidth") == width
    assert tab.eval(UNREADABLE) == []
    tab.screenshot(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 10_000


# Every visible text: at least 11 pixels high, and a contrast of at least 4.5 (WCAG AA).
UNREADABLE = """(() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  function rgba(colour) {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  }
  function background(element) {
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.push(rgba(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce(
      (under, over) => under.map((c, i) => c + (over[i] - c) * over[3] / 255), [255, 255, 255]);
  }
  function luminance(colour) {
    const [r, g, b] = colour.map(c => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  }
  const wrong = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const element = walk.currentNode.parentElement;
    const text = walk.currentNode.data.trim();
    if (!text || element.closest('script, title, .hidden, option') || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const colour = rgba(element.closest('svg') ? style.fill : style.color).slice(0, 3);
    const [a, b] = [luminance(colour), luminance(background(element))].sort((x, y) => y - x);
    const svg = element.closest('svg.chart');
    const scale = svg ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1;
    const size = parseFloat(style.fontSize) * scale;
    if ((a + 0.05) / (b + 0.05) < 4.5 || size < 10.4) wrong.push([text, (a + 0.05) / (b + 0.05), size]);
  }
  return wrong;
})()"""
