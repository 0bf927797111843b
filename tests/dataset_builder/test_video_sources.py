"""Videos as sources of a build."""

import json
from pathlib import Path

import pytest

from infinitedance.dataset_builder.build import build_dataset
from infinitedance.dataset_builder.built import BuiltDataset
from infinitedance.dataset_builder.manifest import read_manifest
from infinitedance.dataset_builder.procedural.dataset import make_procedural_dataset
from infinitedance.dataset_builder.stages import SourceFolder


@pytest.fixture
def videos(tmp_path, write_video) -> Path:
    write_video(tmp_path / "videos/solo.mkv", 1)
    write_video(tmp_path / "videos/pair.mkv", 2)
    return tmp_path / "videos"


def built_files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def build(videos: Path, output: Path, tools, options: str = "license=CC0", **settings) -> Path:
    source = SourceFolder.parse(f"video={videos},{options}")
    return build_dataset([source], output, mirror=False, capture_tools=tools, **settings)


def test_videos_become_a_data_set_with_their_own_music(videos, tmp_path, seeing_tools):
    data = BuiltDataset(build(videos, tmp_path / "built", seeing_tools, "genre=waltz,license=CC0,person=all"))
    ids = ["video/pair~s0p0", "video/pair~s0p1", "video/pair~s1p0", "video/solo"]
    assert [clip.clip_id for clip in data.clips] == ids
    assert {clip.song_id for clip in data.clips} == {"video/pair", "video/solo"}
    assert {(clip.genre, clip.license, clip.source) for clip in data.clips} == {("waltz", "CC0", "video")}
    assert all(clip.music_file for clip in data.clips)
    assert not any("genre_guessed" in clip.flags for clip in data.clips)
    assert "(captured/report.html)" in (tmp_path / "built/report.md").read_text()
    assert "solo.mkv" in (tmp_path / "built/captured/report.html").read_text()


def test_a_guessed_genre_stays_marked_in_the_data_set(videos, tmp_path, seeing_tools):
    clips = read_manifest(build(videos, tmp_path / "built", seeing_tools))
    assert all("genre_guessed" in clip.flags for clip in clips)
    assert "genre_guessed" in (tmp_path / "built/report.md").read_text()


def test_the_same_build_again_looks_at_no_video(videos, tmp_path, seeing_tools):
    build(videos, tmp_path / "built", seeing_tools)
    before = built_files(tmp_path / "built")
    seeing_tools.tracked.clear()
    build(videos, tmp_path / "built", seeing_tools)
    assert seeing_tools.tracked == []
    assert built_files(tmp_path / "built") == before


def test_a_video_that_was_changed_is_captured_again_and_one_that_is_gone_is_removed(
    videos, tmp_path, write_video, seeing_tools
):
    build(videos, tmp_path / "built", seeing_tools)
    seeing_tools.tracked.clear()
    write_video(videos / "solo.mkv", 3)
    (videos / "pair.mkv").unlink()
    clips = read_manifest(build(videos, tmp_path / "built", seeing_tools))
    assert seeing_tools.tracked == ["solo.mkv"]
    assert [clip.clip_id for clip in clips] == ["video/solo"]
    assert not list((tmp_path / "built").rglob("pair*"))


def test_other_options_capture_again(videos, tmp_path, seeing_tools):
    build(videos, tmp_path / "built", seeing_tools)
    clips = read_manifest(build(videos, tmp_path / "built", seeing_tools, "license=CC BY 4.0"))
    assert {clip.license for clip in clips} == {"CC BY 4.0"}


def test_a_video_that_fails_is_in_the_report_of_the_build(videos, tmp_path, write_video, seeing_tools):
    write_video(videos / "nobody.mkv", 4)
    build(videos, tmp_path / "built", seeing_tools)
    problems = json.loads((tmp_path / "built/report.json").read_text())["left_out"]
    assert [(problem["clip_id"], problem["status"]) for problem in problems] == [("video/nobody", "failed")]
    assert "nobody dances in it" in problems[0]["reasons"][0]


def test_videos_stand_beside_other_sources(videos, tmp_path, seeing_tools):
    make_procedural_dataset(tmp_path / "clips", 1, 3.0)
    sources = [SourceFolder("video", str(videos)), SourceFolder("clip_folder", str(tmp_path / "clips"))]
    output = build_dataset(sources, tmp_path / "built", mirror=False, capture_tools=seeing_tools)
    assert {clip.clip_id.split("/")[0] for clip in read_manifest(output)} == {"video", "clip_folder"}


@pytest.mark.slow
def test_ray_captures_and_builds_to_the_same_bytes(videos, tmp_path, seeing_tools):
    build(videos, tmp_path / "local", seeing_tools)
    build(videos, tmp_path / "ray", seeing_tools, engine="ray", num_workers=2)
    assert built_files(tmp_path / "ray") == built_files(tmp_path / "local")


def test_a_folder_without_videos_is_an_error(tmp_path, seeing_tools):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="There are no videos in"):
        build(tmp_path / "empty", tmp_path / "built", seeing_tools)
