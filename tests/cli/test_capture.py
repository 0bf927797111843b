"""From a video to a dance like it, by the commands alone."""

import pytest

from infinitedance.cli import main
from infinitedance.motion.files import load_motion


@pytest.fixture
def seeing_cli(monkeypatch, seeing_tools):
    """Let the command capture with tools that see without errors."""
    monkeypatch.setattr("infinitedance.capture.tools.CaptureTools", lambda **_: seeing_tools)


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
