"""The script for Blender beside an exported dance, run with a stand-in for the package bpy."""

import runpy
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from infinitedance.motion.files.blender_markers import blender_rate_hint, write_blender_markers

BEATS = {
    "song": "song.mp3",
    "genre": "waltz",
    "seed": 7,
    "beat_times_seconds": [0.2, 0.7, 1.2, 1.7, 2.2, 99.0],
    "downbeat_times_seconds": [0.7, 2.2],
}


@pytest.fixture
def dance(make_moving):
    return replace(make_moving(num_frames=91), provenance=BEATS)  # 3 s at 30 Hz


def armature(first, last, name="action"):
    action = SimpleNamespace(name=name, frame_range=(first, last))
    return SimpleNamespace(type="ARMATURE", animation_data=SimpleNamespace(action=action))


@pytest.fixture
def run_in_blender(monkeypatch):
    """Run a script in a scene with things in it; importing adds an armature whose keys begin at frame 0."""

    def run(script, things, fps=24, selected=None, keys=90):
        render = SimpleNamespace(fps=fps, fps_base=1.0)
        markers, imported = [], []
        scene = SimpleNamespace(render=render, objects=things, frame_start=1, frame_end=250)
        scene.timeline_markers = SimpleNamespace(new=lambda name, frame: markers.append((name, frame)))

        def load(kind, **options):
            imported.append((kind, render.fps, options))
            things.append(armature(0.0, keys))
            scene.objects = things

        operators = {
            "import_scene": SimpleNamespace(gltf=lambda **options: load("gltf", **options)),
            "import_anim": SimpleNamespace(bvh=lambda **options: load("bvh", **options)),
        }
        context = SimpleNamespace(scene=scene, object=selected, space_data=None)
        bpy = SimpleNamespace(context=context, ops=SimpleNamespace(**operators))
        monkeypatch.setitem(sys.modules, "bpy", bpy)
        runpy.run_path(str(script), run_name="__main__")
        return scene, markers, imported

    return run


def test_an_empty_scene_gets_the_dance_its_rate_its_range_and_its_beats(dance, run_in_blender, tmp_path):
    script = write_blender_markers(dance, tmp_path / "waltz.glb")
    assert script == tmp_path / "waltz.markers.py"
    scene, markers, imported = run_in_blender(script, [SimpleNamespace(type="MESH", animation_data=None)])
    assert imported == [("gltf", 30, {"filepath": str(tmp_path / "waltz.glb")})]  # the rate is set before keys are
    assert (scene.render.fps, scene.render.fps_base) == (30, 1.0)
    assert (scene.frame_start, scene.frame_end) == (0, 90)
    # A beat before the first bar, two bars of three; a beat after the end is none.
    assert markers == [("1", 6), ("bar 1", 21), ("2", 36), ("3", 51), ("bar 2", 66)]
    assert scene.objects[-1].animation_data.action.name == "song_waltz_seed7"


def test_a_dance_that_was_imported_at_24_hz_keeps_its_time(dance, run_in_blender, tmp_path):
    script = write_blender_markers(dance, tmp_path / "waltz.glb")
    other, own = armature(0.0, 50.0), armature(0.0, 72.00001)
    scene, markers, imported = run_in_blender(script, [other, own], selected=own)
    assert not imported
    assert (scene.render.fps, scene.render.fps_base, scene.frame_end) == (24, 1.0, 72)
    assert markers[1] == ("bar 1", round(0.7 * 24))
    assert other.animation_data.action.name == "action"  # the selected one counts


def test_a_bvh_whose_keys_are_a_frame_each_gets_its_own_rate(dance, run_in_blender, tmp_path):
    odd = replace(dance, frame_rate=29.97)
    script = write_blender_markers(odd, tmp_path / "waltz.bvh")
    scene, markers, imported = run_in_blender(script, [armature(1.0, 91.0)])
    assert not imported
    assert scene.render.fps / scene.render.fps_base == pytest.approx(29.97)
    assert (scene.frame_start, scene.frame_end) == (1, 91)
    assert markers[1] == ("bar 1", round(1 + 0.7 * 29.97))


def test_a_dance_without_beats_or_of_one_frame_gets_a_script_too(make_moving, run_in_blender, tmp_path):
    script = write_blender_markers(make_moving(num_frames=1), tmp_path / "pose.bvh")
    scene, markers, imported = run_in_blender(script, [], keys=0.0)
    assert imported[0][0] == "bvh" and imported[0][2]["global_scale"] == 0.01
    assert (scene.render.fps, scene.frame_start, scene.frame_end, markers) == (30, 0, 0, [])


def test_names_are_never_run(dance, run_in_blender, tmp_path):
    odd = replace(dance, provenance={"song": "'); raise SystemExit('", "genre": "\nraise SystemExit\n"})
    script = write_blender_markers(odd, tmp_path / "a\nraise SystemExit\n.glb")
    scene, _, imported = run_in_blender(script, [])
    assert imported[0][2]["filepath"].endswith("a\nraise SystemExit\n.glb")
    assert scene.objects[0].animation_data.action.name == "'); raise SystemExit('_\nraise SystemExit\n"


def test_markers_of_a_file_that_blender_does_not_read_are_refused(dance, tmp_path):
    with pytest.raises(ValueError, match=r"go with .bvh, .fbx, .glb, .*, got .*waltz.vrma"):
        write_blender_markers(dance, tmp_path / "waltz.vrma")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("rate", "name", "expected"),
    [
        (30.0, "waltz.glb", "bpy.context.scene.render.fps = 30 ("),
        (29.97, "WALTZ.BVH", "bpy.context.scene.render.fps = 30; bpy.context.scene.render.fps_base = 1.001 ("),
        (24.0, "waltz.glb", None),
        (30.0, "waltz.fbx", None),  # which says its rate
        (30.0, "waltz.csv", None),
    ],
)
def test_a_line_tells_the_rate_that_the_scene_must_have(rate, name, expected, dance):
    hint = blender_rate_hint(replace(dance, frame_rate=rate), name)
    assert (hint is None) == (expected is None)
    assert hint is None or expected in hint
