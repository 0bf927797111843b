from infinitedance.capture.tools import CaptureTools


def test_the_terms_of_the_weights_are_those_of_their_cards(tmp_path):
    shipped = CaptureTools().licenses()
    assert shipped["lifter"] == "research-non-commercial" and shipped["foot_restoration"]
    (tmp_path / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n")
    own = CaptureTools(lifter=str(tmp_path), restorer="somebody/without-a-folder-here")
    assert own.licenses() == {"lifter": "cc-by-4.0", "foot_restoration": None}
