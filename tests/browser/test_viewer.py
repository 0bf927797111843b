"""The viewer in headless Chromium: what a person would see, press and hear."""

from threading import Thread

import numpy as np
import pytest

from infinitedance.motion.drawing.viewing import viewer_dance
from infinitedance.spaces_demo.view_dances import Show, make_server, write_page

cv2 = pytest.importorskip("cv2", reason="browser: needs the extra `video`")
pytest.importorskip("selenium", reason="browser: `make test-browser` installs selenium")
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

SECONDS = 12
FRAME_SECONDS = 1 / 30


@pytest.fixture(scope="module")
def show(sync_benchmark, tmp_path_factory) -> Show:
    return sync_benchmark["walking_show"](tmp_path_factory.mktemp("show"), SECONDS)


@pytest.fixture(scope="module")
def page(show, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("page") / "walk.html"
    write_page(show, path)
    return path.as_uri()


@pytest.fixture
def open_page(chromium, page):
    """Open a page with a fresh viewer; at the end the console must hold no message of the viewer."""

    def open_url(url=page):
        chromium.get(url)
        wait(chromium, "viewer.state().time === 0")
        return chromium

    chromium.get_log("browser")  # what another test left
    yield open_url
    messages = [entry["message"] for entry in chromium.get_log("browser")]
    # Software WebGL tells that reading the canvas for a screenshot is slow.
    assert not [message for message in messages if "GPU stall" not in message]


def state(driver) -> dict:
    return driver.execute_script("return viewer.state()")


def wait(driver, condition: str, seconds: float = 10):
    return WebDriverWait(driver, seconds, 0.02).until(lambda driver: driver.execute_script(f"return {condition}"))


def press(driver, *keys):
    driver.switch_to.active_element.send_keys(*keys)


def in_viewer(driver, selector: str):
    return driver.find_element("id", "viewer").shadow_root.find_element("css selector", selector)


def picture(driver) -> np.ndarray:
    """Return the picture as it is drawn, `(height, width, 3)`, red, green, blue."""
    wait(driver, "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")
    png = in_viewer(driver, ".picture").screenshot_as_png
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)[..., ::-1].astype(int)


def is_left_arm(pixels: np.ndarray) -> np.ndarray:
    """Return where the picture has the strong blue of the left side, `(height, width)`."""
    return pixels[..., 2] - pixels[..., 0] > 90


def test_two_moments_look_different_and_one_moment_looks_the_same(open_page):
    driver = open_page()
    first, again = picture(driver), picture(driver)
    press(driver, Keys.END)
    later = picture(driver)
    assert np.abs(first - again).max() == 0
    assert (np.abs(first - later).max(axis=-1) > 40).mean() > 0.002
    assert is_left_arm(first).sum() > 50


def test_the_picture_is_within_a_frame_of_the_song(open_page, show, sync_benchmark):
    with make_server(show) as server:
        Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        driver = open_page(f"http://127.0.0.1:{server.server_port}/")
        sync_benchmark["start_sampling"](driver)
        press(driver, Keys.SPACE)
        wait(driver, "viewer.state().audioTime > 1.5")
        driver.execute_script("viewer.seek(8)")
        wait(driver, "viewer.state().audioTime > 9")
        press(driver, "+")  # one and a quarter of the speed
        wait(driver, "viewer.state().audioTime > 10.5")
        press(driver, Keys.SPACE)
        wait(driver, "!viewer.state().isPlaying")
        times, errors = sync_benchmark["sampled_errors"](driver, "drawn")
        driver.get("about:blank")  # lets go of the song before the server ends
        server.shutdown()
    assert times.min() < 2 and times.max() > 10
    assert np.median(np.abs(errors)) < FRAME_SECONDS / 2
    assert np.quantile(np.abs(errors), 0.9) < FRAME_SECONDS


def test_keys_play_step_loop_and_change_the_speed(open_page):
    driver = open_page()
    press(driver, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_LEFT)
    wait(driver, "viewer.state().frame === 2")
    press(driver, Keys.SHIFT, Keys.ARROW_RIGHT, Keys.SHIFT)
    wait(driver, "viewer.state().time === 0.5")  # the next beat
    press(driver, Keys.SPACE)
    wait(driver, "viewer.state().isPlaying && viewer.state().time > 0.7")
    press(driver, Keys.SPACE)
    wait(driver, "!viewer.state().isPlaying")
    stopped = state(driver)["time"]
    press(driver, "l", "-", "-")
    assert state(driver)["isLooping"] and state(driver)["rate"] == 0.5 and state(driver)["keepsPitch"]
    assert state(driver)["time"] == stopped
    press(driver, Keys.HOME)
    wait(driver, "viewer.state().time === 0")


def test_a_loop_begins_again_and_without_it_the_dance_stops_at_its_end(open_page):
    driver = open_page()
    driver.execute_script("viewer.seek(arguments[0])", SECONDS - 0.3)
    press(driver, "l", Keys.SPACE)
    wait(driver, "viewer.state().isPlaying && viewer.state().time > 0.1 && viewer.state().time < 2")
    press(driver, "l", Keys.END)
    wait(driver, "!viewer.state().isPlaying")
    assert state(driver)["time"] == SECONDS
    assert state(driver)["frame"] == SECONDS * 30 - 1


def test_buttons_are_labeled_and_the_slider_seeks(open_page):
    driver = open_page()
    press(driver, "p")
    buttons = driver.find_element("id", "viewer").shadow_root.find_elements("css selector", "button, input, select")
    assert len(buttons) == 21
    assert all(button.accessible_name for button in buttons if button.is_displayed() or button.tag_name == "input")
    play = in_viewer(driver, "[data-action=play]")
    play.click()
    wait(driver, "viewer.state().isPlaying")
    assert play.accessible_name == "Pause"
    play.click()
    slider = in_viewer(driver, ".timeline input")
    slider.send_keys(Keys.HOME, Keys.ARROW_RIGHT)
    wait(driver, "viewer.state().frame === 1")
    slider.click()  # its middle
    wait(driver, f"Math.abs(viewer.state().time - {SECONDS / 2}) < 0.2")


def test_foot_contacts_are_shown_and_hidden(open_page):
    driver = open_page()
    driver.execute_script("viewer.seek(0.25)")  # both feet touch
    shown = picture(driver)
    press(driver, "c")
    hidden = picture(driver)
    assert (np.abs(shown - hidden).max(axis=-1) > 30).sum() > 50


def test_a_human_body_takes_the_place_of_the_mannequin(open_page):
    driver = open_page()
    mannequin = picture(driver)
    press(driver, "b")
    human = picture(driver)
    press(driver, "b")
    changed = np.abs(mannequin - human).max(axis=-1) > 40
    assert 0.002 < changed.mean() < 0.1
    has_trousers = [
        (pixels.max(axis=-1) < 90) & (pixels[..., 2] > pixels[..., 0] + 8) for pixels in (mannequin, human)
    ]
    assert has_trousers[1].sum() > 5 * has_trousers[0].sum()  # in their dark blue, which no mannequin wears
    assert np.abs(mannequin - picture(driver)).max() == 0


def test_the_camera_follows_or_lets_the_dancer_go(open_page):
    driver = open_page()
    middle = picture(driver).shape[1] // 2
    side = {}
    for follows in (True, False):
        if not follows:
            press(driver, Keys.HOME)
            wait(driver, "viewer.state().time === 0")
            press(driver, "f")
        press(driver, Keys.END)
        columns = np.nonzero(is_left_arm(picture(driver)))[1]
        side[follows] = abs(np.median(columns) - middle) if len(columns) else np.inf
    assert side[True] < middle / 2 < side[False]


def test_two_dances_stand_side_by_side_on_one_clock(chromium, open_page, show, sync_benchmark, tmp_path):
    other = viewer_dance(sync_benchmark["walking_motion"](SECONDS).mirror(), "mirrored <walk>")
    write_page(Show([*show.dances, other], show.song, "both"), tmp_path / "both.html")
    sync_benchmark["resize"](chromium, 900, 420)
    try:
        driver = open_page((tmp_path / "both.html").as_uri())
        driver.execute_script("viewer.seek(4)")
        pixels = picture(driver)
        halves = pixels[:, :450], pixels[:, 450:]
        assert all(is_left_arm(half).sum() > 50 for half in halves)
        assert "mirrored <walk>" in in_viewer(driver, ".labels").text
        places = np.array(state(driver)["rootPositions"])
        np.testing.assert_allclose(places[:, 0], [1.0, -1.0], atol=1e-4)
    finally:
        sync_benchmark["resize"](chromium, 480, 420)


def test_two_dancers_share_one_floor_and_never_meet(chromium, open_page, show, sync_benchmark, tmp_path):
    other = viewer_dance(sync_benchmark["walking_motion"](SECONDS).mirror(), "mirrored")
    write_page(Show([other, *show.dances], show.song, "both"), tmp_path / "both.html")  # they walk towards each other
    sync_benchmark["resize"](chromium, 900, 420)
    try:
        driver = open_page((tmp_path / "both.html").as_uri())
        press(driver, "g")
        for time in (0, 4, 8, 11.9):
            driver.execute_script("viewer.seek(arguments[0])", time)
            wait(driver, f"viewer.state().time === {time}")
            first, second = np.array(state(driver)["rootPositions"])
            assert np.linalg.norm((first - second)[[0, 2]]) > 0.9
        assert in_viewer(driver, "[data-action=together]").get_attribute("aria-pressed") == "true"
        driver.execute_script("viewer.seek(0)")
        columns = np.nonzero(is_left_arm(picture(driver)).any(axis=0))[0]
        assert np.ptp(columns) > 200 and np.diff(columns).max() > 20  # two left arms in one picture
        press(driver, "g")
        wait(driver, "Math.abs(viewer.state().rootPositions[0][0]) < 1e-4")
    finally:
        sync_benchmark["resize"](chromium, 480, 420)


def test_a_mirrored_dance_goes_the_other_way_before_the_same_camera(open_page):
    driver = open_page()
    press(driver, "f")
    driver.execute_script("viewer.seek(1)")
    wait(driver, "viewer.state().time === 1")
    (before,) = state(driver)["rootPositions"]
    seen = picture(driver)
    press(driver, "x")
    wait(driver, "viewer.state().rootPositions[0][0] < 0")
    (after,) = state(driver)["rootPositions"]
    np.testing.assert_allclose(after, [-before[0], before[1], before[2]], atol=1e-5)
    assert is_left_arm(picture(driver)).sum() > 50
    press(driver, "x")
    assert (np.abs(picture(driver) - seen).max(axis=-1) > 40).mean() < 0.001


def test_the_view_turns_to_the_front_and_back_to_three_quarters(open_page):
    driver = open_page()
    angles = []
    for key in ("r", "v", "r"):
        press(driver, key)
        angles.append(np.degrees(state(driver)["cameraYaw"]))
    np.testing.assert_allclose(angles, [30, 0, 30], atol=0.5)


def test_bars_are_played_again_and_again(open_page):
    driver = open_page()
    press(driver, "p")
    first, last = (in_viewer(driver, f"[data-action={name}]") for name in ("first", "last"))
    assert len(first.find_elements("css selector", "option")) == 7  # all, and six bars of two seconds
    first.send_keys("2")
    wait(driver, "viewer.state().range !== null")
    last.send_keys("2")
    wait(driver, "viewer.state().range[1] === 4")
    assert state(driver)["range"] == [2, 4] and state(driver)["isLooping"] and state(driver)["time"] == 2
    assert in_viewer(driver, ".loop").is_displayed()
    driver.execute_script("viewer.seek(3.8); viewer.play()")
    wait(driver, "viewer.state().time > 2.1 && viewer.state().time < 3")
    driver.execute_script("viewer.pause(); viewer.seek(8.5)")
    in_viewer(driver, "[data-action=play]").send_keys("o")  # to the fifth bar
    assert state(driver)["range"] == [2, 10]
    in_viewer(driver, "[data-action=play]").send_keys("i")  # from the fifth bar on
    assert state(driver)["range"] == [8, 10]
    first.send_keys("a")
    wait(driver, "viewer.state().range === null && !viewer.state().isLooping")


def test_beats_are_counted_shown_and_heard(open_page):
    driver = open_page()
    press(driver, "n")
    for time, count in ((0, "1"), (0.6, "2"), (1.6, "4"), (2.1, "1")):
        driver.execute_script("viewer.seek(arguments[0])", time)
        wait(driver, f"viewer.state().time === {time}")
        assert in_viewer(driver, ".count").text == count
    press(driver, "n", "e", "+", "+", "+", Keys.SPACE)  # at twice the speed a bar of four takes a second
    wait(driver, "viewer.state().isCounting && viewer.state().numClicks >= 2")
    counting = state(driver)
    assert not counting["isPlaying"] and counting["time"] == 2  # the beginning of the bar
    wait(driver, "viewer.state().isPlaying")
    assert state(driver)["numClicks"] == 4
    press(driver, "t")
    wait(driver, "viewer.state().time > 4.2")
    press(driver, Keys.SPACE)
    wait(driver, "!viewer.state().isPlaying")
    stopped = state(driver)
    # A click for each beat that was passed, and at most one that was placed ahead.
    assert 3 <= stopped["numClicks"] - 4 <= 2 * (stopped["time"] - 2) + 2


def test_the_page_follows_the_dark_and_the_light_theme(chromium, open_page):
    brightness = {}
    for theme in ("dark", "light"):
        features = [{"name": "prefers-color-scheme", "value": theme}]
        chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        brightness[theme] = picture(open_page()).mean()
    assert brightness["dark"] < 60 < 180 < brightness["light"]


def test_a_phone_shows_all_controls_inside_the_screen(chromium, open_page, sync_benchmark):
    sync_benchmark["resize"](chromium, 400, 700)
    try:
        driver = open_page()
        assert driver.execute_script("return document.documentElement.scrollWidth") <= 400
        buttons = driver.find_element("id", "viewer").shadow_root.find_elements("css selector", ".bar button")
        assert buttons
        for button in buttons:
            place = button.rect
            assert place["x"] >= 0 and place["x"] + place["width"] <= 400 and place["y"] + place["height"] <= 700
    finally:
        sync_benchmark["resize"](chromium, 480, 420)


def test_a_dance_without_a_song_plays_by_the_clock_of_the_browser(open_page, show, tmp_path):
    write_page(Show(show.dances, None, "silent"), tmp_path / "silent.html")
    driver = open_page((tmp_path / "silent.html").as_uri())
    driver.execute_script("viewer.play(); window.started = performance.now()")
    shown, elapsed = driver.execute_async_script(
        "const done = arguments[0]; setTimeout(() => requestAnimationFrame("
        "() => done([viewer.state().time, (performance.now() - started) / 1000])), 1500)"
    )
    assert abs(shown - elapsed) < 0.15
    assert state(driver)["audioTime"] is None


def test_a_song_that_cannot_be_played_is_told_and_the_dance_goes_on(open_page, show, tmp_path):
    broken = tmp_path / "broken.wav"
    broken.write_text("not a song")
    write_page(Show(show.dances, broken, "broken"), tmp_path / "broken.html")
    driver = open_page((tmp_path / "broken.html").as_uri())
    WebDriverWait(driver, 5).until(lambda driver: "cannot play the song" in in_viewer(driver, ".message").text)
    press(driver, Keys.SPACE)
    wait(driver, "viewer.state().time > 0.3")


def test_mounting_again_replaces_the_viewer_and_ends_its_song(open_page):
    driver = open_page()
    press(driver, Keys.SPACE)
    wait(driver, "viewer.state().audioTime > 0.2")
    driver.execute_script("""
        const { dances } = JSON.parse(document.getElementById("content").textContent);
        const element = document.getElementById("viewer");
        window.old = viewer;
        window.viewer = InfiniteDanceViewer.mount(element, dances, undefined, { theme: "dark" });
        window.songTime = old.state().audioTime;
        viewer.seek(2);
    """)
    wait(driver, "viewer.state().frame === 60")
    assert picture(driver).mean() < 60  # the theme that was asked for
    assert driver.execute_script("return old.state().audioTime === songTime")


def test_wrong_dances_are_refused_in_words(open_page):
    refused = "try { InfiniteDanceViewer.mount(document.body, arguments[0]) } catch (error) { return error.message }"
    driver = open_page()
    assert "one dance or 2, got 3" in driver.execute_script(refused, [{}, {}, {}])
    assert "must have `frame_rate`" in driver.execute_script(refused, [{}])
