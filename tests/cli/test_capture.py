"""From a video to a dance like it, by the commands alone."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.capture.cameras import random_camera
from benchmarks.capture.scenes import Look, render_pictures
from benchmarks.capture.videos import CAMERAS
from infinitedance.capture.models import find_models
from infinitedance.cli import main
from infinitedance.motion.files import load_motion


@pytest.fixture
def seeing_cli(monkeypatch, seeing_tools):
    """Let the command capture with tools that see without errors."""
    monkeypatch.setattr("infinitedance.capture.tools.CaptureTools", lambda **_: seeing_tools)


@pytest.fixture
def rendered_video(tmp_path, dance, write_sound, click_song) -> Path:
    """A video of a dance, drawn, with a click at 0.25 s and every half second after it."""
    pytest.importorskip("ai_edge_litert", reason="the extra `capture` is not installed")
    try:
        find_models(network="full")
    except FileNotFoundError:
        pytest.skip("the landmark models are absent: run `infinitedance capture --fetch-models --network full`")
    camera = random_camera(dance, np.random.default_rng(0), CAMERAS[0], 360)
    pictures = list(render_pictures(dance, camera, Look.random(np.random.default_rng(1))))
    song = click_song(24_000, dance.duration_seconds)
    return write_sound(tmp_path / "drawn.mkv", "matroska", "flac", song, 24_000, pictures=pictures)


@pytest.mark.slow
def test_a_drawn_video_leads_a_dance(tmp_path, rendered_video, save_tiny_pipeline, capsys):
    pytest.importorskip("faiss", reason="references need the extra `data`")
    captured, library = tmp_path / "captured", str(tmp_path / "library")
    options = ["--network", "full", "--genre", "rumba", "--output", str(captured)]
    assert main(["capture", str(rendered_video), *options]) == 0
    assert load_motion(captured / "motion/drawn.npz").duration_seconds > 3
    assert "the quality gates pass" in (captured / "report.html").read_text().lower()
    assert main(["index", str(captured), "--output", library]) == 0
    model = save_tiny_pipeline(tmp_path / "model", genres=["rumba"], max_references=1)
    options = ["--model", str(model), "--output", str(tmp_path), "--no-video", "--genre", "rumba"]
    led = [*options, "--references", library, "--pin", "clip_folder/drawn"]
    assert main(["dance", str(rendered_video), *led]) == 0
    assert "of clip_folder/drawn" in capsys.readouterr().out


def test_a_video_leads_a_dance(tmp_path, write_video, save_tiny_pipeline, seeing_cli, capsys):
    pytest.importorskip("faiss", reason="references need the extra `data`")
    video = write_video(tmp_path / "solo.mkv")
    captured, library = str(tmp_path / "captured"), str(tmp_path / "library")
    assert main(["capture", str(video), "--genre", "waltz", "--license", "CC0", "--output", captured]) == 0
    assert main(["index", captured, "--output", library]) == 0
    assert "clip_folder/solo" in capsys.readouterr().out
    model = save_tiny_pipeline(tmp_path / "model", genres=["waltz"], max_references=1)
    options = ["--model", str(model), "--output", str(tmp_path), "--no-video", "--genre", "waltz"]
    led = [*options, "--references", library, "--pin", "clip_folder/solo"]
    assert main(["dance", str(video), *led]) == 0
    windows = load_motion(tmp_path / "solo_waltz_0.npz").provenance["references"]
    assert {hit["clip_id"] for window in windows for hit in window["hits"]} == {"clip_folder/solo"}
    assert {hit["license"] for window in windows for hit in window["hits"]} == {"CC0"}


def test_what_was_captured_is_printed_and_what_failed_ends_with_status_2(tmp_path, write_video, seeing_cli, capsys):
    videos = [str(write_video(tmp_path / f"{name}.mkv", seed)) for seed, name in enumerate(("solo", "nobody"))]
    assert main(["capture", *videos, "--output", str(tmp_path / "out")]) == 2
    printed = capsys.readouterr()
    assert "solo: 2.0 s, not labeled (guessed), 120 beats a minute; slide " in printed.out
    assert "quality gates: passed" in printed.out
    assert "report.html" in printed.out
    assert "nobody.mkv: nobody dances in it" in printed.err


def test_a_captured_clip_that_cannot_be_a_reference_is_named(tmp_path, write_video, seeing_cli, capsys):
    pytest.importorskip("faiss", reason="references need the extra `data`")
    captured = tmp_path / "captured"
    assert main(["capture", str(write_video(tmp_path / "solo.mkv")), "--output", str(captured)]) == 0
    (captured / "motion/solo.npz").write_bytes(b"damaged")
    assert main(["index", str(captured), "--output", str(tmp_path / "library")]) == 2
    assert "None of the 1 clips could be built" in capsys.readouterr().err


def test_a_folder_in_which_nothing_was_captured_is_no_library(tmp_path, write_video, seeing_cli, capsys):
    captured = tmp_path / "captured"
    assert main(["capture", str(write_video(tmp_path / "nobody.mkv")), "--output", str(captured)]) == 2
    assert main(["index", str(captured), "--output", str(tmp_path / "library")]) == 2
    assert "No clip was captured in" in capsys.readouterr().err
