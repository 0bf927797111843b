import hashlib
import json
import re
from base64 import b64decode
from dataclasses import replace

import numpy as np
import pytest
import torch

from infinitedance.assets import VIEWER_SCRIPT
from infinitedance.motion.drawing.clothes import human_body
from infinitedance.motion.drawing.viewing import audio_type, viewer_dance, viewer_page
from infinitedance.motion.motion import Motion


@pytest.fixture
def motion(generator) -> Motion:
    rotations = torch.nn.functional.normalize(torch.randn(40, 22, 4, generator=generator), dim=-1)
    root = torch.randn(40, 3, generator=generator)
    contacts = torch.rand(40, 4, generator=generator) > 0.5
    return Motion(30.0, root.numpy(), rotations.numpy(), foot_contacts=contacts.numpy(), provenance={"seed": 3})


def unpack(text: str, dtype: str) -> np.ndarray:
    return np.frombuffer(b64decode(text), dtype)


def test_what_is_packed_holds_the_dance_to_a_fifth_of_a_millimetre(motion):
    packed = json.loads(json.dumps(viewer_dance(motion, "dance")))
    rotations = unpack(packed["joint_rotations"], "<i2").reshape(40, 22, 4) / 32767  # wxyz
    again = replace(
        motion,
        root_positions=unpack(packed["root_positions"], "<f4").reshape(40, 3).copy(),
        joint_rotations=rotations / np.linalg.norm(rotations, axis=-1, keepdims=True),
    )
    assert np.abs(again.joint_positions() - motion.joint_positions()).max() < 2e-4
    bits = unpack(packed["foot_contacts"], "u1")
    np.testing.assert_array_equal((bits[:, None] >> np.arange(4)) & 1, motion.foot_contacts)
    assert packed["detail"] == "seed 3"


def test_the_human_body_is_packed_on_the_bones_of_the_dancer(motion):
    tall = replace(motion, skeleton=motion.skeleton.scaled(1.1))
    packed = viewer_dance(tall, "dance")["human"]
    mesh = human_body(tall.skeleton)
    vertices = unpack(packed["vertices"], "<i2").reshape(-1, 3) * packed["vertex_unit_metres"]
    np.testing.assert_allclose(vertices, mesh.vertices, atol=1e-4)
    np.testing.assert_array_equal(unpack(packed["triangles"], "<u2").reshape(-1, 3), mesh.triangles)
    np.testing.assert_array_equal(unpack(packed["joints"], "u1").reshape(-1, 4), mesh.joints)
    np.testing.assert_array_equal(unpack(packed["parts"], "u1"), mesh.parts)
    assert [each["name"] for each in packed["materials"]] == [each.name for each in mesh.materials]
    assert np.all(unpack(packed["weights"], "u1").reshape(-1, 4).astype(int).sum(axis=1) == 255)


def test_a_dance_without_contacts_says_so(motion):
    assert viewer_dance(replace(motion, foot_contacts=None), "dance")["foot_contacts"] is None


def test_the_page_holds_all_it_needs_and_asks_no_network(motion, tmp_path):
    song = tmp_path / "song.ogg"
    song.write_bytes(b"sound")
    page = viewer_page([viewer_dance(motion, "dance")], song=song, title="<Dance>")
    content = json.loads(re.search(r'id="content">(.*?)</script>', page)[1])
    assert b64decode(content["audio"]) == b"sound" and content["audioType"] == "audio/ogg"
    assert "default-src 'none'" in page and "<title>&lt;Dance&gt;</title>" in page
    assert not re.findall(r"""\b(?:src|href)=(?!"data:)""", page.replace(VIEWER_SCRIPT.read_text(), ""))
    assert set(re.findall(r"https?://[\w./]+", page)) <= {"http://www.w3.org/1999/xhtml"}  # a name, not an address


def test_no_name_can_break_out_of_the_page(motion):
    name = "</script><script>alert(1)</script><!--"
    page = viewer_page([viewer_dance(motion, name)], title=name)
    assert page.count("<script") == page.count("</script>") == 3
    content = re.search(r'id="content">(.*?)</script>', page)[1]
    assert json.loads(content)["dances"][0]["name"] == name


def test_only_one_dance_or_two_are_shown(motion):
    for count in (0, 3):
        with pytest.raises(ValueError, match=f"one dance or two side by side, got {count}"):
            viewer_page([viewer_dance(motion, "dance")] * count)


def test_a_song_that_browsers_do_not_play_is_refused(tmp_path):
    with pytest.raises(ValueError, match="got song.aiff: convert it"):
        audio_type(tmp_path / "song.aiff")


def test_the_bundle_is_small_holds_its_license_and_is_built_from_these_sources(repository_root):
    script = VIEWER_SCRIPT.read_text()
    assert VIEWER_SCRIPT.stat().st_size < 1_000_000
    assert "Permission is hereby granted, free of charge" in script and "three.js authors" in script
    folder = repository_root / "spaces_demo" / "viewer"
    sources = ["build.mjs", "package.json", *(f"src/{path.name}" for path in (folder / "src").iterdir())]
    digest = hashlib.sha256(b"".join((folder / name).read_bytes() for name in sorted(sources))).hexdigest()
    assert f"Sources sha256: {digest}" in script, "run `make viewer`"
