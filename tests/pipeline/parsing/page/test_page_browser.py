"""The page in a real browser: Chromium without a window, driven by selenium."""

import json
import shutil
import time

import numpy as np
import psutil
import pytest

from pipeline.parsing.page.parsed_page import media_url, parsed_page
from pipeline.parsing.parsed_video import ModelFacts
from pipeline.parsing.truth import Truth

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.wait import WebDriverWait  # noqa: E402

CHROMIUM, CHROMEDRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and CHROMEDRIVER), reason="chromium or chromedriver is not installed")

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
)  # fmt: skip
PATIENCE_SECONDS = 20
HOSTILE = (
    "<b>bold</b><script>window.hit = 1</script>",
    "'\"><img src=x onerror='window.hit = 2'>",
    "</script>",
    "<!--",
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = Service(CHROMEDRIVER)
    driver = webdriver.Chrome(options=options, service=service)
    started = psutil.Process(service.process.pid)
    try:
        yield driver
    finally:
        family = [started, *started.children(recursive=True)]
        driver.quit()
        _, alive = psutil.wait_procs(family, timeout=PATIENCE_SECONDS)
        for process in alive:
            process.kill()
        assert not alive


@pytest.fixture(scope="module")
def film(make_clip, tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("film") / "a b's #1 é.mp4", seconds=10, size="160x90")


@pytest.fixture
def show(browser, film, make_video, preview, tmp_path):
    """Open the page of a video; what the browser said before is forgotten."""

    def open_page(*, width=1280, media=None, seconds=10, truth=None, **options):
        options = {"path": film, "seconds": seconds, **options}
        target = tmp_path / "page.html"
        url = media or media_url(film, target)
        page = parsed_page(make_video(**options), preview=preview, media=url, truth=truth)
        target.write_text(page, encoding="utf-8")
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.get("about:blank")
        for log in ("browser", "performance"):
            browser.get_log(log)
        browser.get(target.as_uri())
        return target

    return open_page


def until(browser, condition):
    """Wait until a JavaScript expression is true; gives its value."""
    script = f"return {condition}"
    return WebDriverWait(browser, PATIENCE_SECONDS, poll_frequency=0.05).until(lambda one: one.execute_script(script))


def ready(browser):
    until(browser, "video.readyState >= 2")


def at(browser, selector, share, *, down=0.5):
    """An action at a share of the width and height of an element."""
    element = browser.find_element(By.CSS_SELECTOR, selector)
    size = element.size
    right, below = round((share - 0.5) * size["width"]), round((down - 0.5) * size["height"])
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    return ActionChains(browser).move_to_element_with_offset(element, right, below)


def press(browser, key):
    ActionChains(browser).send_keys(key).perform()


def moment(browser):
    return browser.execute_script("return video.currentTime")


def playhead(browser):
    """Its place as a moment."""
    return browser.execute_script(
        "const line = playhead.getBoundingClientRect(), box = ruler.lastChild.getBoundingClientRect();"
        "return (line.left + 1 - box.left) / box.width * data.seconds"
    )


def test_no_error_and_no_request_but_the_video(show, browser, film):
    target = show()
    ready(browser)
    assert browser.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = {one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent"}
    assert {url for url in sent if not url.startswith("data:")} <= {target.as_uri(), film.as_uri(), "about:blank"}
    assert browser.execute_script("return [video.videoWidth, video.videoHeight]") == [160, 90]
    assert browser.execute_script("return Math.round(video.duration)") == 10


def test_a_click_seeks_to_the_second(show, browser):
    show()
    ready(browser)
    at(browser, "[data-place='1'] .time", 0.77).click().perform()
    assert moment(browser) == 7
    assert playhead(browser) == pytest.approx(7, abs=0.02)
    at(browser, ".strip .time", 0.12).click().perform()
    assert moment(browser) == 1
    at(browser, "[data-place='1'] .gutter", 0.1).click().perform()
    assert moment(browser) == 1
    browser.find_element(By.CSS_SELECTOR, "#events tbody tr:nth-child(2)").click()
    assert moment(browser) == 3
    assert browser.execute_script("return time.value") == "0:03"
    assert browser.execute_script("return now.innerText.split(/\\n/)") == ["Dog", "heard 0.88 · seen 0.90"]
    playing = browser.find_elements(By.CSS_SELECTOR, "#events tr.playing")
    assert [row.text.split()[:2] for row in playing] == [["Dog", "heard"], ["Dog", "seen"]]


def test_the_pointer_shows_probabilities(show, browser):
    show()
    at(browser, "[data-place='1'] .time", 0.35).perform()
    hint = browser.find_element(By.ID, "hint")
    assert hint.text.split("\n") == [
        "Dog", "0:03 to 0:04", "audio 0.8765 heard, threshold 0.50", "visual 0.9000 seen, threshold 0.50",
    ]  # fmt: skip
    at(browser, "[data-place='1'] .time", 0.05).perform()
    assert hint.text.split("\n")[2] == "audio 0.1000 not heard, threshold 0.50"
    at(browser, "[data-place='1'] .gutter", 0.1).perform()
    assert not hint.is_displayed()


def test_what_lies_where(show, browser):
    """Dog is heard in seconds 2 to 4, seen in 3 to 7, so that both meet in 3 and 4."""
    show()
    kinds = browser.execute_script(
        "return [...document.querySelectorAll(\"[data-place='1'] .block\")].map((b) => "
        "[b.className, Math.round(parseFloat(b.style.left)), Math.round(parseFloat(b.style.width))])"
    )
    assert kinds == [["block heard begins", 20, 10], ["block both begins ends", 30, 20], ["block seen ends", 50, 30]]
    colours = {browser.execute_script(f"return getComputedStyle(document.querySelector('.block.{kind}')).borderColor")
               for kind in ("heard", "both", "seen")}  # fmt: skip
    assert len(colours) == 3


def test_the_switch_shows_all_classes(show, browser):
    show()

    def names():
        return [element.text for element in browser.find_elements(By.CSS_SELECTOR, ".class-row .gutter b")]

    assert names() == ["Speech", "Dog"]
    browser.find_element(By.CSS_SELECTOR, ".switch span").click()
    assert names() == ["Speech", "Dog", "Cat", "Car"]
    browser.find_element(By.CSS_SELECTOR, ".switch span").click()
    assert names() == ["Speech", "Dog"]


def test_the_playhead_follows_and_a_click_plays_on(show, browser):
    show()
    ready(browser)
    press(browser, Keys.SPACE)
    until(browser, "!video.paused && video.currentTime > 0.5")
    seen, shown = browser.execute_script("return [video.currentTime, parseFloat(playhead.style.left) / 10]")
    assert shown == pytest.approx(seen, abs=0.3)
    at(browser, ".wave .time", 0.65).click().perform()
    until(browser, "video.currentTime > 6.2")
    assert browser.execute_script("return video.paused") is False
    assert playhead(browser) > 6
    press(browser, Keys.SPACE)
    assert browser.execute_script("return video.paused") is True


def test_keys(show, browser):
    show()
    ready(browser)
    steps = ((Keys.ARROW_RIGHT, 1), (Keys.ARROW_RIGHT, 2), (Keys.ARROW_LEFT, 1), (Keys.HOME, 0), (Keys.ARROW_LEFT, 0))
    for key, expected in steps:
        press(browser, key)
        assert moment(browser) == expected
    browser.execute_script("video.focus()")
    press(browser, Keys.ARROW_RIGHT)
    assert moment(browser) == 1
    browser.execute_script("seek(4.5)")
    press(browser, Keys.ARROW_LEFT)
    assert moment(browser) == 4


def test_zoom(show, browser):
    show(seconds=600, media="gone.mp4")
    until(browser, "!missing.hidden")
    width = "return tracks.lastChild.lastChild.offsetWidth"
    fitted = browser.execute_script(width)
    assert browser.execute_script("return scroller.scrollWidth - scroller.clientWidth") == 0
    for _ in range(12):
        press(browser, "+")
    assert browser.execute_script(width) == 600 * 120
    assert not browser.find_element(By.ID, "in").is_enabled()
    browser.execute_script("seek(300)")
    assert 0 <= browser.execute_script("return playhead.getBoundingClientRect().left") <= 1280
    browser.find_element(By.ID, "fit").click()
    assert browser.execute_script(width) == fitted


def test_hostile_names_are_text(show, browser):
    model = ModelFacts(HOSTILE[0], "zero-shot", HOSTILE[1], {HOSTILE[2]: HOSTILE[3]}, {"audio": HOSTILE})
    show(classes=HOSTILE, model=model, notes=HOSTILE)
    browser.find_element(By.CSS_SELECTOR, ".switch span").click()
    names = [element.text for element in browser.find_elements(By.CSS_SELECTOR, ".class-row .gutter b")]
    assert names == list(HOSTILE)
    assert [element.text for element in browser.find_elements(By.CSS_SELECTOR, ".notes li")] == list(HOSTILE)
    at(browser, "[data-place='1'] .time", 0.35).perform()
    assert browser.find_element(By.ID, "hint").text.startswith(HOSTILE[1])
    assert HOSTILE[1] in browser.find_element(By.ID, "events").text
    assert browser.execute_script("return window.hit === undefined && document.querySelectorAll('script').length") == 2
    assert browser.get_log("browser") == []


def test_the_policy_lets_nothing_out(show, browser):
    show()
    said = browser.execute_async_script(
        "const done = arguments[0];"
        "document.addEventListener('securitypolicyviolation', (event) => done(event.effectiveDirective));"
        "fetch('http://127.0.0.1:9/').catch(() => {});"
    )
    assert said == "connect-src"
    said = browser.execute_async_script(
        "const done = arguments[0];"
        "document.addEventListener('securitypolicyviolation', (event) => done(event.effectiveDirective));"
        "document.body.insertAdjacentHTML('beforeend', '<i onclick=\"window.hit = 3\"></i>');"
        "document.body.lastChild.click();"
    )
    assert said == "script-src-attr"


def test_annotations_lie_beside_the_events(show, browser):
    grids = {name: np.zeros((10, 4), bool) for name in ("audio", "visual")}
    grids["audio"][1:4, 1] = grids["visual"][8:, 2] = True
    show(truth=Truth("clip_0_10", ("Dog", "Cat"), grids, np.arange(10) < 9))
    outlines = browser.execute_script(
        "return [...document.querySelectorAll('.true')].map((one) => "
        "[one.closest('.class-row').dataset.place, one.className, one.style.left, one.style.width])"
    )
    assert outlines == [["1", "true audio", "10%", "30%"], ["2", "true visual", "80%", "20%"]]
    at(browser, "[data-place='1'] .time", 0.15).perform()
    assert browser.find_element(By.ID, "hint").text.split("\n")[2:] == [
        "audio 0.1000 not heard, threshold 0.50, annotated", "visual 0.1000 not seen, threshold 0.50, not annotated",
    ]  # fmt: skip
    at(browser, "[data-place='1'] .time", 0.95).perform()
    assert "annotated" not in browser.find_element(By.ID, "hint").text


def test_a_video_that_is_gone(show, browser):
    show(media="gone.mp4")
    until(browser, "!missing.hidden")
    at(browser, "[data-place='1'] .time", 0.45).click().perform()
    assert playhead(browser) == pytest.approx(4, abs=0.02)
    press(browser, Keys.ARROW_RIGHT)
    assert playhead(browser) == pytest.approx(5, abs=0.02)


def test_random_weights_are_red_and_on_top(show, browser):
    show(model=ModelFacts("runs/x", "run", weights={"resnet152": "random:0"}))
    box = browser.find_element(By.CSS_SELECTOR, ".random")
    assert box.rect["y"] == 0
    assert box.rect["width"] == 1280
    assert "RANDOM WEIGHTS" in box.text
    red, green, blue = (int(part) for part in box.value_of_css_property("background-color")[5:].split(",")[:3])
    assert red > 150 > 3 * max(green, blue) - 60
    browser.execute_script("window.scrollTo(0, 10000)")
    assert browser.execute_script("return document.querySelector('.random').getBoundingClientRect().top") == 0


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits(show, browser, width, scheme):
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    show(width=width, notes=["x" * 300], model=ModelFacts("m" * 200, "run"))
    time.sleep(0.1)
    assert browser.execute_script("return document.documentElement.scrollWidth") == width
    text, page = (browser.execute_script(f"return getComputedStyle(document.body).{name}")
                  for name in ("color", "backgroundColor"))  # fmt: skip
    levels = [sum(int(part) for part in colour.strip("rgb()").split(",")) for colour in (text, page)]
    assert (levels[0] < levels[1]) == (scheme == "light")
