import json

import numpy as np
import pytest

from benchmarks import retrieval as report_retrieval
from infinitedance.training import train_retrieval

TINY_MODEL = {"window_frames": 48, "stride_frames": 24, "hidden_size": 8, "num_attention_heads": 2}


@pytest.fixture(scope="module")
def folders(tmp_path_factory, write_built):
    """A built data set of nine paired dances, four of them held out, and a run on it."""
    folder = tmp_path_factory.mktemp("built")
    generator = np.random.default_rng(0)
    dances, fields = {}, {}
    for number in range(9):
        np.save(folder / f"music_{number}.npy", generator.standard_normal((90, 109)).astype(np.float32))
        dances[f"clip_{number}"] = generator.standard_normal((90, 269)).astype(np.float32)
        fields[f"clip_{number}"] = {
            "genre": "wrwrwwwrr"[number],
            "split": "train" if number < 5 else ("test", "validation")[number // 7],
            "song_id": f"song_{number}",
            "music_file": f"music_{number}.npy",
        }
    write_built(folder, dances, fields)
    run = folder / "run"
    options = ["--model", json.dumps(TINY_MODEL), "--batch_size", "4", "--max_steps", "1"]
    train_retrieval.main(["--data_dir", str(folder), "--output_dir", str(run), *options])
    return folder, run


@pytest.fixture
def scale_file(tmp_path):
    names = ("build_seconds", "disk_mb", "load_seconds", "peak_memory_mb")
    names += tuple(f"search_ms_{name}" for name in ("all", "genre", "rare_license"))
    names += tuple(f"recall_{name}" for name in ("all", "genre", "rare_license"))
    names += ("query_ms", "query_genre_ms", "query_diverse_ms")
    rows = [{"windows": 1234, "kind": "IndexFlatIP"} | {name: 0.25 for name in names}]
    (tmp_path / "scale.json").write_text(json.dumps(rows))
    return tmp_path / "scale.json"


def test_the_page_holds_every_section_that_is_given_and_keeps_the_others(folders, scale_file, tmp_path):
    data_dir, run = (str(folder) for folder in folders)
    output = tmp_path / "retrieval.md"
    options = ["--encoder", run, "--data_dir", data_dir, "--held_out_dir", data_dir, "--output", str(output)]
    procedural = ["--procedural_data_dir", data_dir, "--procedural_run", run]
    report_retrieval.main([*options, *procedural, "--scale", str(scale_file)])
    report_retrieval.main(options)
    assert list(json.loads(output.with_suffix(".json").read_text())) == ["real", "procedural", "scale"]
    text = output.read_text()
    for heading in (
        "# Retrieval",
        "## 1. Real dances",
        "### Genre of retrieved dances",
        "## 2. Synthetic data",
        "## 3. Scale",
    ):
        assert heading in text
    assert "Held-out dances: 2 w." in text
    assert text.count("| 2 dances, 6 windows |") == 3
    assert text.count("| 2 songs, 6 windows |") == text.count("| 4 songs, 12 windows |") == 2
    assert "| 1234 | IndexFlatIP | 0.250 |" in text
    assert "--encoder run --data_dir built" in text and str(data_dir) not in text  # no absolute path


def test_a_procedural_run_needs_its_data(folders, tmp_path, capsys):
    data_dir, run = (str(folder) for folder in folders)
    options = [
        "--encoder",
        run,
        "--data_dir",
        data_dir,
        "--held_out_dir",
        data_dir,
        "--output",
        str(tmp_path / "a.md"),
    ]
    with pytest.raises(SystemExit):
        report_retrieval.main([*options, "--procedural_run", run])
    assert "are given together" in capsys.readouterr().err
