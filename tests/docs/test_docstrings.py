"""Every Python block of a docstring runs as written, beside a song, a dance and a built data set."""

import ast
import doctest
import textwrap
from pathlib import Path

import pytest
import soundfile

from infinitedance.dataset_builder.procedural.music import SAMPLING_RATE, synthesize_music
from infinitedance.motion.files import write_bvh

from .test_blocks import ROOT, read_blocks

FOLDERS = ("audio", "dataset_builder", "evaluation", "modeling", "motion", "restoration", "retrieval", "tokenization")


def docstrings(path: Path) -> list[str]:
    nodes = (ast.Module, ast.ClassDef, ast.FunctionDef)
    found = [ast.get_docstring(node) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, nodes)]
    return [text for text in found if text]


FILES = [ROOT / "pipeline.py", *(path for name in (*FOLDERS, "utils") for path in sorted((ROOT / name).rglob("*.py")))]
BLOCKS = [
    pytest.param(block.code, id=f"{path.relative_to(ROOT)}-{number}")
    for path in FILES
    for number, text in enumerate(docstrings(path))
    for block in read_blocks(textwrap.dedent(text).replace("\n    ```", "\n```") + "\n", path.name)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, dance, build_procedural) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    soundfile.write(folder / "song.mp3", synthesize_music("waltz", 88, 4.0, seed=0), SAMPLING_RATE, format="MP3")
    write_bvh(dance.resample(60), folder / "dance.bvh")
    build_procedural(folder, 4, 3.0, validation=[2], test=[3])
    return folder


@pytest.mark.parametrize("code", BLOCKS)
def test_an_example_runs_as_written(code, folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", folder / "cache")
    code = textwrap.dedent(code)
    if code.startswith(">>>"):
        test = doctest.DocTestParser().get_doctest(code, {}, "example", "example", 0)
        assert test.examples and doctest.DocTestRunner().run(test).failed == 0
    else:
        exec(compile(code, "example", "exec"), {})


def test_examples_are_found():
    assert len(BLOCKS) >= 10
