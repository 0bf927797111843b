"""The notebook of the guides runs from its first cell to its last, at small size."""

import json
import sys
from types import SimpleNamespace

from infinitedance import read_motion
from infinitedance.dataset_builder.procedural.dataset import make_procedural_dataset
from infinitedance.training import finetune


def test_the_notebook_runs(repository_root, tmp_path, monkeypatch):
    cells = json.loads((repository_root / "docs/finetune.ipynb").read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert len(code) >= 5 and not any(cell.get("outputs") for cell in cells)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(finetune, "HELD_OUT_BASE_DANCES", 5)
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(Image=lambda path: path.read_bytes()))
    make_procedural_dataset("my_clips", num_clips=5, seconds=16.0)  # stand in for a user's own
    names: dict = {}
    for index, cell in enumerate(code):
        if index == 1:
            names["STEPS"] = 4
        exec(compile(cell, f"cell {index}", "exec"), names)
    assert names["record"]["steps"] == 4 and names["record"]["held_out_loss"] is not None
    assert names["pipeline"].genres[-1] == "my-style" == names["dance"].motion.provenance["genre"]
    assert read_motion(tmp_path / "my_style/dance.bvh").num_frames == names["dance"].motion.num_frames
    assert (tmp_path / "my_style/dance.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "my_style/adapter/adapter_model.safetensors").is_file()
