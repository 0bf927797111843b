"""The Space in headless Chromium: from the upload of a song to the files, as a visitor sees and hears it.

Screenshots of each state are written to outputs/screenshots, for a person to look at.
"""

import base64
import contextlib
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("selenium", reason="browser: `make test-browser` installs selenium")
pytest.importorskip("gradio", reason="browser: needs the extra `demo`")
cv2 = pytest.importorskip("cv2", reason="browser: needs the extra `video`")
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

from infinitedance.assets import DEMO_SONG  # noqa: E402
from infinitedance.motion.files import load_motion, read_motion  # noqa: E402
from infinitedance.spaces_demo.space import running_space  # noqa: E402
from infinitedance.spaces_demo.studio import DOWNLOADS  # noqa: E402

SECONDS = 6
FRAME_SECONDS = 1 / 30
STAGES = ["Reading the song", "Listening to the music", "Dancing", "Measuring the dance"]
RECORD_STAGES = """
    window.stages = [];
    new MutationObserver(() => {
        const stage = document.querySelector("#stage [role=progressbar]")?.ariaLabel;
        if (stage && !stages.includes(stage)) stages.push(stage);
    }).observe(document.querySelector("#stage"), { subtree: true, childList: true, attributes: true });
"""
VIEWER = "document.querySelector('#stage .stage-host').parentElement.viewer"
# Right after each drawing: how far the time shown is from the song's.
RECORD_SYNC = f"""
    window.errors = [];
    const sample = () => {{
        const {{ time, audioTime, isPlaying }} = {VIEWER}.state();
        if (isPlaying && audioTime > 0.3) errors.push(Math.abs(time - audioTime));
        requestAnimationFrame(sample);
    }};
    requestAnimationFrame(sample);
"""
DESKTOP, PHONE = (1280, 900), (390, 844)


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")  # Gradio serves whatever lies in the working directory
    with contextlib.chdir(elsewhere), running_space() as (_, url):
        yield url


@pytest.fixture(scope="module")
def song(tmp_path_factory) -> Path:
    """The first seconds of the shipped song."""
    sound, rate = soundfile.read(DEMO_SONG, frames=round(SECONDS * soundfile.info(DEMO_SONG).samplerate))
    path = tmp_path_factory.mktemp("songs") / "my song.wav"
    soundfile.write(path, sound, rate)
    return path


@pytest.fixture
def visit(chromium, sync_benchmark, url):
    """Open the page with a theme and a window of so many pixels."""

    def open_page(theme="light", size=DESKTOP):
        sync_benchmark["resize"](chromium, *size)
        features = [{"name": "prefers-color-scheme", "value": theme}]
        chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        chromium.get(url)
        wait(chromium, "!!document.querySelector('#start') && !!document.querySelector('#song input[type=file]')")
        return chromium

    yield open_page
    chromium.get("about:blank")
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    sync_benchmark["resize"](chromium, 480, 420)


@pytest.fixture(scope="session")
def screenshot(repository_root):
    """Write the whole page as PNG."""
    folder = repository_root / "outputs" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)

    def take(driver, name):
        size = driver.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        png = driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})["data"]
        (folder / f"space_{name}.png").write_bytes(base64.b64decode(png))

    return take


def wait(driver, condition: str, seconds: float = 120):
    return WebDriverWait(driver, seconds, 0.05).until(lambda driver: driver.execute_script(f"return {condition}"))


def find(driver, selector: str):
    return driver.find_element("css selector", selector)


def upload(driver, path: Path) -> None:
    find(driver, "#song input[type=file]").send_keys(str(path))
    wait(driver, "!!document.querySelector('#song [aria-label=\"Clear\"]')")


def set_number(driver, label: str, value: int) -> None:
    """Type into the number field beside a slider, as its label names it."""
    field = find(driver, f"input[type=number][aria-label*='{label}']")
    slider = find(driver, f"input[type=range][aria-label*='{label}']")
    while slider.get_property("value") != str(value):  # a field that has just unfolded may not listen yet
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(str(value), Keys.TAB)


def open_options(driver) -> None:
    find(driver, "#more button").click()
    wait(driver, "!!document.querySelector(\"input[type=number][aria-label*='Variants']\")?.offsetParent")


def wait_for_viewer(driver) -> None:
    wait(driver, f"{VIEWER}?.state().duration > 0")


def viewer(driver, call: str):
    return driver.execute_script(f"return {VIEWER}.{call}")


def picture(driver) -> np.ndarray:
    png = find(driver, "#stage .stage-host").shadow_root.find_element("css selector", ".picture").screenshot_as_png
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR).astype(int)


def told(driver) -> str:
    toast = "document.querySelector('[data-testid=toast-body]')"
    wait(driver, f"!!{toast} && getComputedStyle({toast}).opacity === '1'")
    return driver.execute_script("return document.querySelector('[data-testid=toast-text]').textContent.trim()")


def test_a_song_becomes_a_dance_that_plays_in_time_and_can_be_taken_home(visit, song, screenshot, tmp_path):
    driver = visit()
    screenshot(driver, "empty_light")
    upload(driver, song)
    set_number(driver, "Length", SECONDS)
    driver.execute_script(RECORD_STAGES)
    find(driver, "#start").click()
    wait(driver, "!!document.querySelector('#stage [role=progressbar]')")
    screenshot(driver, "running_light")
    wait_for_viewer(driver)
    stages = driver.execute_script("return stages")
    assert "Dancing" in stages and stages == [stage for stage in STAGES if stage in stages]

    first = picture(driver)
    viewer(driver, "seek(3)")
    wait(driver, f"{VIEWER}.state().frame === 90")
    assert (np.abs(first - picture(driver)).max(axis=-1) > 40).mean() > 0.002
    viewer(driver, "seek(0)")
    find(driver, "#stage .stage-host").shadow_root.find_element("css selector", "[data-action=play]").click()
    driver.execute_script(RECORD_SYNC)
    wait(driver, f"errors.length >= 20 || {VIEWER}.state().time >= {SECONDS}")
    errors = driver.execute_script("return errors")
    assert len(errors) >= 3 and np.median(errors) < FRAME_SECONDS

    wait(driver, "!!document.querySelector('.downloads video')")
    screenshot(driver, "done_light")
    assert "Pulse lock" in find(driver, "#card").text and "References: " in find(driver, "#card").text
    video = "document.querySelector('.downloads video')"
    wait(driver, f"{video}.duration > {SECONDS - 0.1} && {video}.videoWidth === 960")
    names = download_all(driver, tmp_path)
    assert {".mp4", ".html", ".glb", ".bvh", ".vrma", ".csv", ".smplx.npz", ".npz"} <= names <= set(DOWNLOADS)
    motion = load_motion(tmp_path / "my_song_any_0.npz")
    assert motion.num_frames == SECONDS * 30 and motion.provenance["seed"] == 0
    assert read_motion(tmp_path / "my_song_any_0.bvh").num_frames == motion.num_frames


def download_all(driver, folder: Path) -> set[str]:
    """Click every download; return the endings of the files that came, each as large as the page says."""
    driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)})
    endings = set()
    for item in driver.find_elements("css selector", ".downloads li"):
        link = item.find_element("css selector", "a")
        path = folder / link.get_attribute("download")
        link.click()
        WebDriverWait(driver, 30, 0.05).until(lambda _, path=path: path.exists())
        assert f"{path.stat().st_size / 1e6:.1f} MB" == item.find_element("css selector", "small").text
        endings.add(link.text)
    return endings


def test_variants_dance_side_by_side(visit, song, screenshot):
    driver = visit("dark")
    screenshot(driver, "empty_dark")
    upload(driver, song)
    set_number(driver, "Length", 3)
    open_options(driver)
    set_number(driver, "Variants", 2)
    screenshot(driver, "options_dark")
    find(driver, "#start").click()
    wait_for_viewer(driver)
    wait(driver, "!!document.querySelector('#beside')")
    driver.find_elements("css selector", "#beside label")[2].click()  # nothing, seed 0, seed 1
    wait(driver, f"{VIEWER}?.state().rootPositions.length === 2")
    driver.find_elements("css selector", "#shown label")[1].click()
    wait(driver, "document.querySelector('#card').innerText.includes('How seed 1 dances')")
    wait(driver, "document.querySelector('.downloads a[download$=\"_1.mp4\"]')")
    wait_for_viewer(driver)
    screenshot(driver, "done_dark")


def test_a_wrong_file_is_told_in_words(visit, screenshot, tmp_path):
    with zipfile.ZipFile(tmp_path / "holiday.wav", "w") as archive:
        archive.writestr("song.txt", "no song")
    driver = visit()
    find(driver, "#song input[type=file]").send_keys(str(tmp_path / "holiday.wav"))
    wait(driver, "!document.querySelector('#song input[type=file]') || !!document.querySelector('#song [aria-label]')")
    text = ""
    while "zip archive" not in text:  # pressed before the upload has ended, the page asks for a song
        find(driver, "#start").click()
        text = told(driver)
        screenshot(driver, "error_light")
        find(driver, "[data-testid=toast-close]").click()
    assert text.startswith("holiday.wav cannot be read as audio: it is a zip archive.")
    assert driver.execute_script("return !document.querySelector('#stage .stage-host').shadowRoot")


def test_without_a_song_the_keyboard_alone_gets_an_answer(visit, screenshot):
    driver = visit("dark")
    for _ in range(40):
        driver.switch_to.active_element.send_keys(Keys.TAB)
        if driver.switch_to.active_element.get_attribute("id") == "start":
            break
    driver.switch_to.active_element.send_keys(Keys.ENTER)
    assert told(driver) == "Choose a song first, record one, or use the example."
    screenshot(driver, "error_dark")


def test_on_a_phone_all_stands_inside_the_screen(visit, screenshot):
    driver = visit("dark", PHONE)
    screenshot(driver, "empty_phone")
    find(driver, "#example").click()
    wait(driver, "!!document.querySelector('#song [aria-label=\"Clear\"]')")
    set_number(driver, "Length", 3)
    find(driver, "#start").click()
    wait_for_viewer(driver)
    wait(driver, "!!document.querySelector('.downloads video')")
    assert driver.execute_script("return document.documentElement.scrollWidth") <= PHONE[0]
    for selector in ("#start", "#stage", ".downloads li", ".evaluation td"):
        elements = driver.find_elements("css selector", selector)
        assert elements, selector
        for place in (element.rect for element in elements):
            assert place["x"] >= 0 and place["x"] + place["width"] <= PHONE[0]
    screenshot(driver, "done_phone")
