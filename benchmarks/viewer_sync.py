"""Measure how far the viewer's picture is from the song: `python benchmarks/viewer_sync.py [--seconds 180]`.

Headless Chromium plays a song from the server of `infinitedance view`. The dance walks along x at a steady speed, so
the place of the drawn figure says which time is shown; it is compared with the song's own time at many moments.
"""

import argparse
import shutil
import tempfile
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import soundfile

from infinitedance.motion.drawing.viewing import viewer_dance
from infinitedance.motion.motion import Motion
from infinitedance.motion.skeleton import NUM_JOINTS
from infinitedance.spaces_demo.view_dances import Show, make_server

CHROMIUM, DRIVER = "chromium", "chromedriver"
# WebGL in software, no requests of the browser's own.
FLAGS = """
    --headless --no-sandbox --use-gl=angle --use-angle=swiftshader --enable-unsafe-swiftshader --disable-quic
    --no-first-run --disable-background-networking --disable-component-update --disable-sync --hide-scrollbars
""".split()
FRAME_RATE = 30.0
METRES_PER_SECOND = 0.25
# At moments that the page's drawing knows nothing of: the period shares no multiple with those of screens and dances.
SAMPLE_MILLISECONDS = 47
SAMPLER = """
    window.samples = { drawn: [], any: [] };
    const sample = (list) => {
        const { audioTime, rootPositions, isPlaying } = viewer.state();
        if (isPlaying) list.push([audioTime, rootPositions[0][0]]);
    };
    const afterDrawing = () => { sample(samples.drawn); requestAnimationFrame(afterDrawing); };
    requestAnimationFrame(afterDrawing);
    setInterval(() => sample(samples.any), arguments[0]);
"""


def start_chromium(width: int = 480, height: int = 420) -> Any:
    """Return a Selenium driver of headless Chromium with a window of so many pixels."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which(CHROMIUM) or CHROMIUM
    for flag in [*FLAGS, f"--window-size={width},{height}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which(DRIVER)))
    resize(driver, width, height)
    return driver


def resize(driver: Any, width: int, height: int) -> None:
    """Give the page so many pixels; the headless window itself has a least width."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def walking_motion(seconds: float) -> Motion:
    """Return a body that glides along x at `METRES_PER_SECOND` and lifts its arms up and down."""
    times = np.arange(round(seconds * FRAME_RATE)) / FRAME_RATE
    root = np.stack([METRES_PER_SECOND * times, np.full_like(times, 0.98), 0 * times], axis=-1)
    rotations = np.zeros((len(times), NUM_JOINTS, 4))
    rotations[..., 0] = 1
    swing = 0.6 * np.sin(2 * np.pi * times)
    rotations[:, 16, 0], rotations[:, 16, 3] = np.cos(swing / 2), np.sin(swing / 2)
    contacts = np.tile(np.sin(2 * np.pi * times)[:, None] > 0, (1, 4))
    return Motion(FRAME_RATE, root, rotations, foot_contacts=contacts, provenance={"genre": "walk", "seed": 7})


def write_song(path: Path, seconds: float) -> Path:
    """Write a tone that beeps twice a second."""
    times = np.arange(round(8000 * seconds)) / 8000
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * 440 * times) * (times % 0.5 < 0.05), 8000)
    return path


def walking_show(folder: Path, seconds: float) -> Show:
    """Return the walk with its song, written to `folder`, and a beat every half second."""
    beats = np.arange(0, seconds, 0.5)
    dance = viewer_dance(walking_motion(seconds), "walk", beat_times_seconds=beats, downbeat_times_seconds=beats[::4])
    return Show([dance], write_song(folder / "song.wav", seconds), "walk")


def start_sampling(driver: Any) -> None:
    """Let the page write down the song's time and the figure's place again and again while it plays."""
    driver.execute_script(SAMPLER, SAMPLE_MILLISECONDS)


def sampled_errors(driver: Any, moments: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the song's times and how much later they are than the times shown, both `(samples,)`, seconds.

    Args:
        driver: In which `start_sampling` was called.
        moments: `"drawn"`, right after every drawing, or `"any"`, whenever a timer fires.
    """
    audio_times, places = np.array(driver.execute_script(f"return samples.{moments}")).T
    return audio_times, audio_times - places / METRES_PER_SECOND


def summary(times: np.ndarray, errors: np.ndarray) -> str:
    """Return the errors in words, with what they grow by from the first third of the time to the last."""
    milliseconds = 1000 * errors
    drift = np.median(milliseconds[times > times.max() * 2 / 3]) - np.median(milliseconds[times < times.max() / 3])
    within = 100 * np.mean(np.abs(milliseconds) < 1000 / FRAME_RATE)
    return (
        f"median {np.median(milliseconds):.1f} ms, 95 % {np.quantile(milliseconds, 0.95):.1f}, most "
        f"{np.abs(milliseconds).max():.1f}, within one frame {within:.1f} %, drift {drift:.1f} ms; "
        f"{len(errors)} moments"
    )


def main() -> None:
    """Play, and print the errors."""
    from selenium.webdriver.support.ui import WebDriverWait

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=180.0, help="of the song (default: 180)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, make_server(walking_show(Path(folder), arguments.seconds)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        driver = start_chromium()
        try:
            driver.get(f"http://127.0.0.1:{server.server_port}/")
            start_sampling(driver)
            driver.switch_to.active_element.send_keys(" ")
            WebDriverWait(driver, 2 * arguments.seconds + 30).until(
                lambda driver: driver.execute_script("return samples.any.length > 0 && !viewer.state().isPlaying")
            )
            results = {moments: sampled_errors(driver, moments) for moments in ("drawn", "any")}
        finally:
            driver.quit()
        server.shutdown()
    times, _ = results["drawn"]
    rate = len(times) / np.ptp(times)
    print(f"{times.max():.0f} s of song, {rate:.0f} pictures a second; the picture is behind the song:")
    print(f"  when it is drawn: {summary(*results['drawn'])}")
    print(f"  at any moment:    {summary(*results['any'])}")


if __name__ == "__main__":
    main()
