from types import SimpleNamespace

import numpy as np
import pytest

from infinitedance.dataset_builder.built import BuiltDataset
from infinitedance.pipeline import MusicToDancePipeline
from infinitedance.training.release import make_references

pytest.importorskip("faiss", reason="the retrieval index needs the extra `data`")


def test_the_model_makes_a_library_of_its_own_dances_where_no_real_one_may_be_given_on(
    tmp_path, monkeypatch, build_procedural, save_tiny_pipeline, make_encoder
):
    monkeypatch.setattr(make_references, "SECONDS", 11.0)
    monkeypatch.setattr(make_references, "CANDIDATES", 2)
    data_dir = build_procedural(tmp_path, 4, 12.0)
    genres = ["cha-cha", "hip-hop", "rumba", "waltz"]
    model_dir = save_tiny_pipeline(tmp_path / "model", genres=genres)
    make_encoder().save_pretrained(tmp_path / "encoder")
    folders = [str(folder) for folder in (model_dir, tmp_path / "encoder", data_dir, tmp_path / "own" / "library")]
    make_references.main([*folders, "--license", "research only"])
    pipeline = MusicToDancePipeline.from_pretrained(model_dir, tmp_path / "own" / "library")
    assert len(pipeline.retriever.dances) == 2 * len(genres)
    columns = pipeline.retriever.index.columns
    assert set(columns["genre"].values) == set(genres)
    assert set(columns["source"].values) == {"own"} and set(columns["license"].values) == {"research only"}


def test_the_passages_that_are_told_most_clearly_are_taken_of_the_clips_that_may_be_given_on(
    write_built, walking_features, tmp_path, monkeypatch
):
    monkeypatch.setattr(make_references, "CLIPS_PER_GENRE", 1)
    shippable, other = make_references.SHIPPABLE_LICENSES[0], "research only"
    features = {name: walking_features(600, phase) for phase, name in enumerate(("a", "b", "closed", "rare", "most"))}
    licenses = {"a": shippable, "b": shippable, "closed": other, "rare": shippable, "most": other}
    fields = {name: {"license": license, "genre": "waltz"} for name, license in licenses.items()}
    fields["rare"]["genre"] = fields["most"]["genre"] = "rumba"
    features["most"] = walking_features(700, 1.0)
    data = BuiltDataset(write_built(tmp_path, features, fields))
    margins = iter([1.0, 2.0, 0.5, 0.0, 5.0, 1.0])  # three passages of 10 s, 5 s apart, of "a" and of "b"
    classifier = SimpleNamespace(genres=["waltz", "other"], distances=lambda _: np.array([[1.0, 1.0 + next(margins)]]))
    (found,) = make_references.real_dances(data, classifier, "waltz")
    assert (found.clip_id, found.license) == ("b", shippable)
    np.testing.assert_array_equal(found.motion_features, features["b"][150:450])
    assert next(margins, None) is None  # the clip that may not be given on was not looked at
    assert make_references.real_dances(data, classifier, "rumba") == []
