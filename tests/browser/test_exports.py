"""Exported dances in other people's readers: three.js, three-vrm and the Khronos validator, in headless Chromium.

Pictures of the body are written to outputs/screenshots, for a person to look at.
"""

import base64
import shutil
from dataclasses import replace

import numpy as np
import pytest

from infinitedance.dataset_builder.procedural.dance import synthesize_dance
from infinitedance.motion.drawing.body_mesh import rest_positions
from infinitedance.motion.drawing.clothes import human_body
from infinitedance.motion.files import BONE_NAMES, export_motion

pytest.importorskip("selenium", reason="browser: `make test-browser` installs selenium")

MILLIMETRE = 1e-3
FRAMES = [0, 1, 20, 37, 58, 59]
STEP = 97  # every so manieth vertex


@pytest.fixture(scope="module")
def dance(make_moving):
    beats = {"beat_times_seconds": [0.5, 1.0], "downbeat_times_seconds": [0.5]}
    return replace(make_moving(num_frames=60), provenance={"seed": 7, **beats})


@pytest.fixture(scope="module")
def call(chromium, repository_root, tmp_path_factory):
    """Call a function of readers.js; files are given as paths, numbers and names as they are."""
    bundle = repository_root / "tests" / "browser" / "readers" / "node_modules" / "readers.js"
    if not bundle.is_file():
        pytest.skip("browser: tests/browser/readers is not built; `make test-browser` builds it where npm is found")
    page = tmp_path_factory.mktemp("readers") / "readers.html"
    shutil.copyfile(bundle, page.with_name("readers.js"))
    page.write_text('<!doctype html><meta charset="utf-8"><script src="readers.js"></script>')

    def call_reader(name, path, *arguments):
        if chromium.current_url != page.as_uri():
            chromium.get(page.as_uri())
        packed = [base64.b64encode(path.read_bytes()).decode(), *arguments]
        result = chromium.execute_async_script(
            "const [name, values, done] = arguments;"
            "readers[name](...values).then((value) => done({ value }), (error) => done({ error: error.stack }))",
            name,
            packed,
        )
        assert "error" not in result, result["error"]
        return result["value"]

    return call_reader


def times(motion):
    return [frame / motion.frame_rate for frame in FRAMES]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("human.glb", {}),
        ("capsules.glb", {"body": "capsules", "names": "vrm"}),
        ("bones.glb", {"body": "none", "names": "mixamo"}),
        ("unreal.glb", {"names": "unreal"}),
        ("dance.vrma", {}),
    ],
)
@pytest.mark.parametrize("num_frames", [1, 60])
def test_the_khronos_validator_finds_no_fault(name, options, num_frames, dance, call, tmp_path):
    export_motion(dance.cut(0, num_frames), tmp_path / name, **options)
    report = call("validate", tmp_path / name)
    assert (report["numErrors"], report["numWarnings"]) == (0, 0), report["messages"]
    assert report["info"]["animationCount"] == 1


@pytest.mark.parametrize(("names", "body"), [("smpl", "human"), ("unreal", "human"), ("mixamo", "none")])
def test_three_js_finds_joints_and_body_of_a_glb_where_they_are(names, body, dance, call, tmp_path):
    export_motion(dance, tmp_path / "dance.glb", names=names, body=body)
    first = 1 if names == "unreal" else 0
    result = call("readGlb", tmp_path / "dance.glb", times(dance), list(range(first, first + 22)), STEP)
    assert result["duration"] == pytest.approx(59 / 30)
    assert result["notes"]["beat_times_seconds"] == [0.5, 1.0] and result["notes"]["provenance"] == {"seed": 7}
    joints = np.array([place["joints"] for place in result["places"]])
    np.testing.assert_allclose(joints, dance.joint_positions()[FRAMES], atol=MILLIMETRE)
    vertices = np.array([place["vertices"] for place in result["places"]])
    counts = np.bincount(human_body(dance.skeleton).parts) if body == "human" else []
    assert vertices.shape[1] == sum(-(-count // STEP) for count in counts)
    if body == "human":
        assert np.linalg.norm(vertices[:, :, None] - joints[:, None], axis=-1).min(axis=-1).max() < 0.3


def write_vrm_model(motion, path, **options):
    """Write the rest pose of a dance as a VRM model and return it in base64."""
    pygltflib = pytest.importorskip("pygltflib")
    glb = path.with_suffix(".glb")
    export_motion(motion.cut(0, 1), glb, names="vrm", **options)
    gltf = pygltflib.GLTF2().load_binary(str(glb))
    gltf.extensionsUsed = ["VRMC_vrm"]
    gltf.extensions["VRMC_vrm"] = {
        "specVersion": "1.0",
        "meta": {"name": "model", "authors": ["test"], "licenseUrl": "https://vrm.dev/licenses/1.0/"},
        "humanoid": {"humanBones": {name: {"node": node} for node, name in enumerate(BONE_NAMES["vrm"])}},
    }
    gltf.save_binary(str(path))
    return base64.b64encode(path.read_bytes()).decode()


@pytest.mark.parametrize("size", [1.0, 1.4])
def test_a_vrm_model_of_any_size_dances_a_vrm_animation(size, dance, call, tmp_path):
    model = replace(dance, skeleton=dance.skeleton.scaled(size))
    encoded = write_vrm_model(model, tmp_path / "model.vrm")
    export_motion(dance, tmp_path / "dance.vrma")
    result = call("readVrma", tmp_path / "dance.vrma", encoded, times(dance), list(BONE_NAMES["vrm"]))
    assert result["duration"] == pytest.approx(59 / 30)
    expected = replace(model, root_positions=dance.root_positions * size).joint_positions()[FRAMES]
    np.testing.assert_allclose(np.array(result["places"]), expected, atol=MILLIMETRE)


@pytest.mark.parametrize("body", ["human", "none"])
def test_three_js_finds_joints_and_body_of_an_fbx_where_they_are(body, dance, call, tmp_path):
    dance = replace(dance, frame_rate=25.0)  # not what any reader takes for granted
    try:
        export_motion(dance, tmp_path / "dance.fbx", names="unreal", body=body)
    except ImportError as error:
        pytest.skip(f"browser: {error}")
    result = call("readFbx", tmp_path / "dance.fbx", times(dance), ["root", *BONE_NAMES["unreal"]])
    assert result["unit"] == 1  # centimetre
    assert result["duration"] == pytest.approx(59 / 25, abs=1e-3)
    np.testing.assert_allclose(result["scales"], 1, atol=1e-5)
    data = (tmp_path / "dance.fbx").read_bytes()
    assert b'"provenance": {"seed": 7}' in data and data.count(b"LimbNode") > 23 and b"Icosphere" not in data
    joints = np.array([place["joints"] for place in result["places"]]) / 100
    np.testing.assert_allclose(joints[:, 0], dance.root_positions[FRAMES] * [1, 0, 1], atol=MILLIMETRE)
    np.testing.assert_allclose(joints[:, 1:], dance.joint_positions()[FRAMES], atol=MILLIMETRE)
    assert result["name"].endswith("dance")
    standing = rest_positions(dance.skeleton)
    standing[:, 1] += dance.skeleton.toe_rest_height - standing[:, 1].min()
    np.testing.assert_allclose(np.array(result["rest"])[1:] / 100, standing, atol=MILLIMETRE)
    if body == "none":
        return
    export_motion(dance, tmp_path / "dance.glb", names="unreal")
    glb = call("readGlb", tmp_path / "dance.glb", times(dance), [0], STEP)
    boxes = [np.array([place["box"] for place in places]) for places in (result["places"], glb["places"])]
    np.testing.assert_allclose(boxes[0] / 100, boxes[1], atol=2 * MILLIMETRE)


def test_pictures_show_a_body(dance, call, repository_root, tmp_path):
    cv2 = pytest.importorskip("cv2", reason="browser: needs the extra `video`")
    folder = repository_root / "outputs" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    export_motion(dance, tmp_path / "dance.glb")
    export_motion(synthesize_dance("waltz", 90, 4.0, seed=6), tmp_path / "waltz.vrma")
    model = write_vrm_model(dance, tmp_path / "model.vrm", body="capsules")
    pictures = {
        "rest": call("picture", tmp_path / "dance.glb", {}),
        "frame_0": call("picture", tmp_path / "dance.glb", {"time": 0.0}),
        "frame_37": call("picture", tmp_path / "dance.glb", {"time": 37 / 30}),
        "vrm": call("pictureOfVrm", tmp_path / "waltz.vrma", model, 37 / 30, {"width": 640, "height": 480}),
    }
    for name, picture in pictures.items():
        png = base64.b64decode(picture)
        (folder / f"export_{name}.png").write_bytes(png)
        pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR).astype(int)
        is_body = pixels[..., 0] - pixels[..., 2] > 15  # its color is bluish
        assert 0.05 < is_body.mean() < 0.5
