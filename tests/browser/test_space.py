"""The Space in headless Chromium: from the upload of a song to the files, as a visitor sees and hears it.

Screenshots of each state are written to outputs/screenshots, for a person to look at.
"""

import base64
import contextlib
import os
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("selenium", reason="browser: `make test-browser` installs selenium")
pytest.importorskip("gradio", reason="browser: needs the extra `demo`")
cv2 = pytest.importorskip("cv2", reason="browser: needs the extra `video`")
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

from infinitedance.assets import DEMO_SONG  # noqa: E402
from infinitedance.motion.files import load_motion, read_motion  # noqa: E402
from infinitedance.spaces_demo import pace  # noqa: E402
from infinitedance.spaces_demo.space import running_space  # noqa: E402
from infinitedance.spaces_demo.studio import DOWNLOADS  # noqa: E402

SECONDS = 6
FRAME_SECONDS = 1 / 30
STAGES = list(pace.STAGES.values())
RECORD_STAGES = """
    window.stages = [];
    new MutationObserver(() => {
        const stage = document.querySelector("#stage [role=progressbar]")?.ariaLabel;
        if (stage && !stages.includes(stage)) stages.push(stage);
    }).observe(document.querySelector("#stage"), { subtree: true, childList: true, attributes: true });
"""
VIEWER = "document.querySelector('#stage .stage-host')?.parentElement.viewer"
EDITOR = "document.querySelector('#editor .editor-host')?.parentElement.editor"
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
DESKTOP, TABLET, PHONE = (1280, 900), (768, 1024), (390, 844)


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
        chromium.execute_script("localStorage.clear()")  # another visitor
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
    wait(driver, f"{EDITOR}?.state().bpm > 0")


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


def make_dance(driver) -> None:
    find(driver, "#start").click()
    wait(driver, f"{VIEWER}?.state().duration > 0")


def viewer(driver, call: str):
    return driver.execute_script(f"return {VIEWER}.{call}")


def editor(driver) -> dict:
    return driver.execute_script(f"return {EDITOR}.state()")


def in_editor(driver, selector: str):
    return find(driver, "#editor .editor-host").shadow_root.find_element("css selector", selector)


def picture(driver) -> np.ndarray:
    png = find(driver, "#stage .stage-host").shadow_root.find_element("css selector", ".picture").screenshot_as_png
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR).astype(int)


def problems(driver) -> list[str]:
    return [element.text for element in driver.find_elements("css selector", ".problem")]


def check_layout(driver, width: int) -> None:
    """Nothing sticks out of the screen, and where there are two columns they end together."""
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width
    left, right = (driver.find_elements("css selector", f"{name} > *") for name in ("#making", "#results"))
    if find(driver, "#inputs").rect["y"] == find(driver, "#results").rect["y"]:
        ends = [
            max(part.rect["y"] + part.rect["height"] for part in side if part.is_displayed()) for side in (left, right)
        ]
        assert abs(ends[0] - ends[1]) < 90, ends


def test_a_song_becomes_a_dance_that_plays_in_time_and_can_be_taken_home(visit, song, screenshot, tmp_path):
    driver = visit()
    screenshot(driver, "empty_light")
    check_layout(driver, DESKTOP[0])
    upload(driver, song)
    assert "suits it best" in find(driver, "#genre").text  # with the reason
    set_number(driver, "Length", SECONDS)
    screenshot(driver, "song_light")
    check_layout(driver, DESKTOP[0])
    driver.execute_script(RECORD_STAGES)
    find(driver, "#start").click()
    wait(driver, "!!document.querySelector('#stage [role=progressbar]')")
    screenshot(driver, "running_light")
    wait(driver, f"{VIEWER}?.state().duration > 0")
    stages = [re.split("[:,]", stage)[0] for stage in driver.execute_script("return stages")]
    stages = list(dict.fromkeys(stages))
    assert "Dancing" in stages and stages == [stage for stage in STAGES if stage in stages]
    assert any(
        re.search(r"Dancing: \d+ of 180 frames, about \d+ s left", stage)
        for stage in driver.execute_script("return stages")
    )

    # It plays at once, seen from three quarters in front.
    driver.execute_script(RECORD_SYNC)
    wait(driver, f"errors.length >= 20 || {VIEWER}.state().time >= {SECONDS}")
    errors = driver.execute_script("return errors")
    assert len(errors) >= 3 and np.median(errors) < FRAME_SECONDS
    viewer(driver, "pause()")
    viewer(driver, "seek(0)")
    wait(driver, f"{VIEWER}.state().frame === 0")
    first = picture(driver)
    viewer(driver, "seek(3)")
    wait(driver, f"{VIEWER}.state().frame === 90")
    assert (np.abs(first - picture(driver)).max(axis=-1) > 40).mean() > 0.002

    card = find(driver, "#card")
    assert re.search("Good:|Not so good:", card.text) and "Pulse lock" not in card.text
    card.find_element("css selector", "summary").click()
    assert "Pulse lock" in card.text and "References: " in card.text
    find(driver, "#take").click()
    wait(driver, "!!document.querySelector('.downloads video')")
    screenshot(driver, "done_light")
    video = "document.querySelector('.downloads video')"
    wait(driver, f"{video}.duration > {SECONDS - 0.1} && {video}.videoWidth === 960")
    names = download_all(driver, tmp_path)
    assert {".mp4", ".html", ".glb", ".bvh", ".vrma", ".csv", ".smplx.npz", ".npz"} <= names <= set(DOWNLOADS)
    (file,) = set(tmp_path.glob("my_song_any_*.npz")) - set(tmp_path.glob("*.smplx.npz"))
    motion = load_motion(file)
    assert motion.num_frames == SECONDS * 30 and f"seed {motion.provenance['seed']}" in card.text
    assert read_motion(file.with_suffix(".bvh")).num_frames == motion.num_frames


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


def test_another_one_joins_the_gallery_beside_the_first_and_survives_a_reload(visit, song, screenshot):
    driver = visit("dark")
    screenshot(driver, "empty_dark")
    upload(driver, song)
    set_number(driver, "Length", 3)
    make_dance(driver)
    first = driver.current_url
    find(driver, "#another").click()
    wait(driver, "document.querySelectorAll('.gallery li').length === 2")
    wait(driver, f"location.href !== '{first}' && {VIEWER}?.state().isPlaying")
    seeds = [re.search(r"seed (\d+)", item.text)[1] for item in driver.find_elements("css selector", ".gallery li")]
    assert seeds[0] != seeds[1] and seeds[0] in find(driver, "#card").text

    find(driver, ".gallery .compare").click()
    wait(driver, f"{VIEWER}?.state().rootPositions.length === 2")
    (ours, other) = np.array(viewer(driver, "state()")["rootPositions"])
    assert np.linalg.norm((ours - other)[[0, 2]]) > 0.9  # on one floor
    screenshot(driver, "compare_dark")

    driver.get(first)
    wait(driver, f"{VIEWER}?.state().duration === 3")
    assert seeds[1] in find(driver, "#card").text and driver.current_url == first
    assert len(driver.find_elements("css selector", ".gallery li")) == 2
    check_layout(driver, DESKTOP[0])
    find(driver, ".gallery .pick").click()
    wait(driver, f"document.querySelector('#card').innerText.includes('seed {seeds[0]}')")
    key = re.search("dance=([0-9a-f]{32})", first)[1]
    driver.get(first.replace(key, "0" * 32))
    wait(driver, "!!document.querySelector('.problem')")
    assert "no longer kept" in problems(driver)[0]


def test_cancel_ends_the_work_and_leaves_the_page_as_it_was(visit, screenshot):
    made = set(Path(os.environ["GRADIO_TEMP_DIR"]).rglob("dances.json"))
    driver = visit()
    find(driver, "#example").click()
    wait(driver, f"{EDITOR}?.state().bpm > 0")
    find(driver, "#start").click()
    wait(driver, "!!document.querySelector('#cancel')?.offsetParent")
    screenshot(driver, "cancel_light")
    find(driver, "#cancel").click()
    wait(driver, "!document.querySelector('#start').disabled && !document.querySelector('#cancel')?.offsetParent")
    wait(driver, "!document.querySelector('#stage [role=progressbar]')")
    assert not driver.find_elements("css selector", ".gallery li") and not problems(driver)
    set_number(driver, "Length", 2)
    make_dance(driver)
    assert len(driver.find_elements("css selector", ".gallery li")) == 1
    now = set(Path(os.environ["GRADIO_TEMP_DIR"]).rglob("dances.json"))
    assert len(now - made) == 1  # the first one was never made


def test_the_part_and_the_beat_are_seen_heard_and_corrected(visit, song, screenshot):
    driver = visit()
    upload(driver, song)
    set_number(driver, "Length", 3)
    wait(driver, f"{EDITOR}.state().seconds === 3")
    heard = editor(driver)

    def corrected(action: str, condition: str) -> dict:
        in_editor(driver, f"[data-action={action}]").click()
        wait(driver, f"{EDITOR} && {condition}")
        return editor(driver)

    half = corrected("half", f"Math.abs({EDITOR}.state().bpm - {heard['bpm'] / 2}) < 0.1")
    assert len(half["beats"]) <= len(heard["beats"]) / 2 + 1
    corrected("double", f"Math.abs({EDITOR}.state().bpm - {heard['bpm']}) < 0.1")
    before = editor(driver)
    after = corrected("later", f"{EDITOR}.state().downbeats[0] !== {before['downbeats'][0]}")
    np.testing.assert_allclose(after["beats"], before["beats"], atol=2e-3)
    assert after["downbeats"][0] == pytest.approx(
        before["beats"][before["beats"].index(before["downbeats"][0]) + 1], abs=2e-3
    )
    corrected("reset", f"{EDITOR}.state().downbeats[0] === {heard['downbeats'][0]}")

    driver.execute_script(
        "const tap = document.querySelector('#editor .editor-host').shadowRoot.querySelector('[data-action=tap]');"
        "for (let beat = 0; beat < 6; beat++) setTimeout(() => tap.click(), 400 * beat);"
    )
    wait(driver, f"{EDITOR} && Math.abs({EDITOR}.state().bpm - 150) < 12")

    part = in_editor(driver, ".part")
    ActionChains(driver).drag_and_drop_by_offset(part, 60, 0).perform()
    wait(driver, f"{EDITOR}.state().start > 0.5")
    wait(driver, f"{EDITOR}.state().beats.every((beat) => beat >= {EDITOR}.state().start)")
    moved = editor(driver)
    assert moved["seconds"] == 3
    screenshot(driver, "beat_light")
    in_editor(driver, "[data-action=play]").click()
    wait(driver, f"{EDITOR}.state().isPlaying && {EDITOR}.state().numClicks > 0")
    in_editor(driver, "[data-action=play]").click()
    make_dance(driver)
    assert viewer(driver, "state()")["duration"] == 3


def test_one_problem_at_a_time_stands_at_its_field(visit, song, screenshot, tmp_path):
    with zipfile.ZipFile(tmp_path / "holiday.wav", "w") as archive:
        archive.writestr("song.txt", "no song")
    driver = visit()
    find(driver, "#start").click()
    wait(driver, "!!document.querySelector('.problem')")
    assert problems(driver) == ["Choose a song first, record one, or use the example."]
    find(driver, "#song input[type=file]").send_keys(str(tmp_path / "holiday.wav"))
    wait(driver, "document.querySelector('.problem')?.innerText.includes('zip archive')")
    (told,) = problems(driver)
    assert told.startswith("holiday.wav cannot be read as audio: it is a zip archive.")
    place, field = find(driver, ".problem").rect, find(driver, "#song").rect
    assert 0 < place["y"] - field["y"] - field["height"] < 90  # right below the song and the example
    screenshot(driver, "error_light")
    find(driver, "#start").click()
    wait(driver, "!document.querySelector('#start').disabled")
    assert len(problems(driver)) == 1
    assert driver.execute_script("return !document.querySelector('#stage .stage-host').shadowRoot")
    find(driver, "#song [aria-label='Clear']").click()
    wait(driver, "!!document.querySelector('#song input[type=file]')")
    upload(driver, song)
    assert problems(driver) == []


def test_the_keyboard_goes_from_the_song_to_the_dance(visit, song, screenshot):
    driver = visit("dark")
    upload(driver, song)
    set_number(driver, "Length", 2)
    make_dance(driver)
    find(driver, "h1").click()  # where the keyboard begins
    wanted = ["song", "editor", "genre", "more", "start", "stage", "another", "link", "take", "card", "gallery"]
    reached = []
    for _ in range(60):
        ActionChains(driver).send_keys(Keys.TAB).perform()
        name = driver.execute_script(
            f"return document.activeElement.closest({', '.join('#' + name for name in wanted)!r})?.id"
        )
        if name and name not in reached:
            reached.append(name)
    assert reached == [name for name in wanted if name in reached] and len(reached) >= len(wanted) - 1


def test_variants_come_together(visit, song, screenshot):
    driver = visit("dark")
    upload(driver, song)
    set_number(driver, "Length", 2)
    open_options(driver)
    set_number(driver, "Variants", 2)
    find(driver, "#seed input").send_keys("7", Keys.TAB)
    screenshot(driver, "options_dark")
    make_dance(driver)
    texts = [item.text for item in driver.find_elements("css selector", ".gallery li")]
    assert "seed 8" in texts[0] and "seed 7" in texts[1] and "seed 7" in find(driver, "#card").text


def test_on_a_phone_all_stands_inside_the_screen(visit, sync_benchmark, screenshot):
    driver = visit("dark", PHONE)
    screenshot(driver, "empty_phone")
    find(driver, "#example").click()
    wait(driver, f"{EDITOR}?.state().bpm > 0")
    set_number(driver, "Length", 2)
    make_dance(driver)
    find(driver, "#take").click()
    wait(driver, "!!document.querySelector('.downloads video')")
    check_layout(driver, PHONE[0])
    for selector in ("#start", "#stage", "#actions button", ".downloads li", "#card", "#editor"):
        elements = driver.find_elements("css selector", selector)
        assert elements, selector
        for place in (element.rect for element in elements):
            assert place["x"] >= 0 and place["x"] + place["width"] <= PHONE[0]
    screenshot(driver, "done_phone")
    sync_benchmark["resize"](driver, *TABLET)
    check_layout(driver, TABLET[0])
    screenshot(driver, "done_tablet")
