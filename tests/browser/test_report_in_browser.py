"""The report in a real headless browser: ``make test-browser``.

With ``REPORT=reports/quickstart/report.html`` that report is opened instead of a made-up one;
with ``SCREENSHOTS=folder`` pictures of what was seen are kept there.
"""

import os
import time
from pathlib import Path

import pytest
from selenium.webdriver import Keys

from jaxtherapy.reporting import csv_files, report
from tests.evaluation.small_evaluation import small_evaluation

SESSION = "return Number(document.querySelector('#scrub').value)"
LAST = "return Number(document.querySelector('#scrub').max)"
PLAYING = "return document.querySelector('#play').getAttribute('aria-pressed') === 'true'"
FOCUS_PLAYER = "document.querySelector('#player').focus()"
NOW = "return document.querySelector('#now').textContent"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    if os.environ.get("REPORT"):
        return Path(os.environ["REPORT"])
    folder = tmp_path_factory.mktemp("report")
    csv_files.write(small_evaluation(), folder)
    return report.write_report(folder)[0]


@pytest.fixture
def page(browser, path):
    browser.resize(1280, 900)
    browser.open(path)
    yield browser
    assert browser.logged() == []


def wait_for(browser, script, seconds=10.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if browser.run(script):
            return True
        time.sleep(0.05)
    return False


def shoot(browser, name):
    if os.environ.get("SCREENSHOTS"):
        folder = Path(os.environ["SCREENSHOTS"])
        folder.mkdir(parents=True, exist_ok=True)
        browser.screenshot(folder / f"{name}.png")


def test_it_loads_and_asks_for_nothing_else(browser, path):
    browser.open(path)
    assert browser.logged() == []
    assert browser.requested() == [path.resolve().as_uri()]


def test_nothing_of_a_name_runs(page):
    assert page.run("return document.querySelectorAll('img, script').length") == 2
    assert page.run("return document.querySelectorAll('img').length") == 0


def test_every_figure_has_a_size_and_ink(page):
    sizes = page.run(
        "return [...document.querySelectorAll('.panel svg')].map(svg => {"
        "const box = svg.getBBox(), seen = svg.getBoundingClientRect();"
        "const data = /var\\(--(blue|orange|green|purple|amber|sky)\\)/;"
        "const marks = [...svg.querySelectorAll('path, use')].filter(each =>"
        " data.test(each.getAttribute('style')) && each.getBoundingClientRect().width > 0);"
        "return [box.width, box.height, seen.width, seen.height, marks.length] })"
    )
    assert len(sizes) > 10
    for width, height, seen_width, seen_height, marks in sizes:
        assert min(width, height) > 50 and min(seen_width, seen_height) > 100
        assert marks > 0  # axes without data are ink and grey


def test_the_player_plays_and_pauses(page):
    page.run("document.querySelector('#player').scrollIntoView()")
    assert page.run(SESSION) == 0 and page.run(NOW).startswith("Intake.")
    page.click("#play")
    assert page.run(PLAYING) and wait_for(page, SESSION + " >= 2")
    page.click("#play")
    paused = page.run(SESSION)
    time.sleep(1.2)
    assert page.run(SESSION) == paused and not page.run(PLAYING)
    assert page.run(NOW).startswith(f"Session {paused} of ")
    shoot(page, "player")


def test_it_stops_at_the_end_and_starts_over(page):
    page.run(FOCUS_PLAYER)
    page.press(Keys.END)
    last = page.run(LAST)
    assert page.run(SESSION) == last and "The end: " in page.run(NOW)
    page.press(Keys.LEFT)
    page.press(Keys.SPACE)
    assert wait_for(page, f"{SESSION} === {last} && !({PLAYING[7:]})")
    page.press(Keys.SPACE)
    assert page.run(PLAYING) and wait_for(page, f"{SESSION} > 0 && Number(scrub.value) < {last}")


def test_keys(page):
    page.run(FOCUS_PLAYER)
    for key, session in (
        (Keys.RIGHT, 1),
        (Keys.RIGHT, 2),
        (Keys.LEFT, 1),
        (Keys.LEFT, 0),
        (Keys.LEFT, 0),
        (Keys.RIGHT, 1),
    ):
        page.press(key)
        assert page.run(SESSION) == session
    page.press(Keys.HOME)
    assert page.run(SESSION) == 0
    speed = "return document.querySelector('#speed').value"
    before = float(page.run(speed))
    page.press(Keys.UP)
    assert float(page.run(speed)) > before
    page.press(Keys.DOWN)
    assert float(page.run(speed)) == before
    page.press(Keys.SPACE)
    assert page.run(PLAYING)
    page.press(Keys.SPACE)
    assert not page.run(PLAYING)


def test_keys_work_where_nothing_is_focused_and_the_player_is_seen(page):
    page.press(Keys.RIGHT)
    assert page.run(SESSION) == 0  # it is far below
    # A sliver of it is seen: space still scrolls.
    page.run(
        "const top = document.querySelector('#player').getBoundingClientRect().top;"
        "window.scrollBy(0, top - window.innerHeight + 40)"
    )
    time.sleep(0.3)
    page.press(Keys.SPACE)
    assert not page.run(PLAYING) and page.run(SESSION) == 0
    time.sleep(1)  # space scrolls smoothly, and would go on
    page.run("document.querySelector('#player').scrollIntoView()")
    time.sleep(0.3)
    page.press(Keys.RIGHT)
    assert page.run(SESSION) == 1


def test_a_button_that_is_pressed_by_key_acts_once(page):
    page.run("document.querySelector('#play').focus()")
    page.press(Keys.SPACE)
    assert page.run(PLAYING)
    page.press(Keys.SPACE)
    assert not page.run(PLAYING)


def test_scrubbing_and_choosing(page):
    page.run(
        "const s = document.querySelector('#scrub'); s.value = 5;"
        "s.dispatchEvent(new Event('input'))"
    )
    assert page.run(NOW).startswith("Session 5 of ")
    assert page.run("return document.querySelectorAll('#circle g text').length") == 2
    choose = (
        "const s = document.querySelector(arguments[0]); s.selectedIndex = s.options.length - 1;"
        "s.dispatchEvent(new Event('change')); return s.options.length"
    )
    assert page.run(choose, "#who") > 1 and page.run(SESSION) == 0
    assert page.run(choose, "#which") > 1 and page.run(NOW).startswith("Intake.")


@pytest.mark.parametrize("width", [320, 390, 768])
def test_nothing_is_wider_than_a_phone(browser, path, width):
    browser.resize(width, 700, mobile=True, scale=2)
    browser.open(path)
    assert browser.run("return document.documentElement.scrollWidth") <= width
    assert browser.run("return window.innerWidth") == width
    text = "return Math.min(...[...document.querySelectorAll('.panel svg text')].map("
    text += "t => t.getBoundingClientRect().height).filter(h => h > 0))"
    assert browser.run(text) >= 8  # readable
    browser.run(FOCUS_PLAYER)
    browser.press(Keys.RIGHT)
    player = text.replace(".panel svg text", "#player svg text")
    assert browser.run(player) >= 12  # line height of ten pixels of type
    for name, selector in (("top", "h1"), ("figures", "figure"), ("player", "#player")):
        browser.run("document.querySelector(arguments[0]).scrollIntoView()", selector)
        shoot(browser, f"phone_{width}_{name}")
    assert browser.logged() == []


def test_dark(page):
    page.dark()
    dark = page.run("return getComputedStyle(document.body).backgroundColor")
    ink = page.run("return getComputedStyle(document.querySelector('.panel svg text')).fill")
    shoot(page, "dark")
    page.dark(False)
    assert dark == "rgb(21, 23, 26)" and ink == "rgb(232, 232, 234)"
