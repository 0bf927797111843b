import json
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoFeatureExtractor, AutoModel

from infinitedance import (
    ChoreoLlamaReleaseConfig,
    ChoreoLlamaReleaseModel,
    MuqFeatureExtractor,
    ReleaseRetriever,
    ReleaseRetrieverConfig,
)
from infinitedance.cli import main
from infinitedance.modeling.choreollama_release.conversion_release import find_published_files
from infinitedance.utils.checkpoints import check_checksums

LLAMA_OPTIONS = ["--bridge-heads", "2", "--llama-config"]
CODEC_META = "InfiniteDanceData/dance/alldata_new_joint_vecs264/meta"


@pytest.fixture
def published(published_release, tmp_path):
    return shutil.copytree(published_release, tmp_path / "published")


def command(folder, output, *more):
    return main(
        ["import-release", str(folder), "--output", str(output), *LLAMA_OPTIONS, f"{folder}/llama.json", *more]
    )


def changed(path, change):
    """Save a checkpoint again after a change of its weights."""
    content = torch.load(path, weights_only=True)
    change(content.get("net") or content.get("state_dict") or content)
    torch.save(content, path)


def test_every_weight_arrives_in_the_precision_of_its_file(published_release, imported_release):
    model = AutoModel.from_pretrained(imported_release)
    assert type(model) is ChoreoLlamaReleaseModel and model.dtype == torch.bfloat16
    found = model.state_dict()
    generator = torch.load(published_release / "dance.pt", weights_only=True)
    codec = torch.load(published_release / "vq" / "net_last.pth", weights_only=True)["net"]
    wanted = generator | {f"codec.{name}": tensor for name, tensor in codec.items()}
    assert set(found) - set(wanted) == {"codec.feature_mean", "codec.feature_std", "condition_mean", "condition_std"}
    for name, tensor in wanted.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor), name
    retriever = AutoModel.from_pretrained(imported_release / "retriever")
    lightning = torch.load(published_release / "clip.ckpt", weights_only=True)["state_dict"]
    assert type(retriever) is ReleaseRetriever
    assert all(torch.equal(lightning[f"model.{name}"], tensor) for name, tensor in retriever.state_dict().items())


def test_codec_and_condition_have_their_own_statistics(published_release, imported_release):
    model = AutoModel.from_pretrained(imported_release)
    mean = np.load(published_release / CODEC_META / "Mean.npy")
    np.testing.assert_array_equal(model.codec.feature_mean, mean)
    np.testing.assert_allclose(model.condition_mean, mean + 0.5, atol=1e-6)


def test_what_is_in_no_weight_comes_from_the_files_beside_them(imported_release):
    config = ChoreoLlamaReleaseConfig.from_pretrained(imported_release)
    assert (config.codec_config.dilation_growth_rate, config.codec_config.activation) == (4, "gelu")
    assert (config.num_bridge_heads, config.text_config.num_key_value_heads, config.vocab_size) == (2, 1, 5888)
    assert config.text_config.rope_parameters["rope_theta"] == 500000.0
    extractor = AutoFeatureExtractor.from_pretrained(imported_release)
    assert isinstance(extractor, MuqFeatureExtractor) and extractor.feature_size == config.music_dim
    card = (imported_release / "README.md").read_text()
    assert "license_name: infinitedance-non-commercial" in card and "No commercial use" in card
    check_checksums(imported_release)
    assert (imported_release / "SHA256SUMS").is_file() and (imported_release / "retriever" / "SHA256SUMS").is_file()


def test_the_command_names_what_it_found_and_the_terms(published_release, tmp_path, capsys):
    assert command(published_release, tmp_path / "out") == 0
    printed = capsys.readouterr().out
    for words in ("vq/net_last.pth", "args.json", "_ft_balanced/meta", "non-commercial use only", "CC BY-NC 4.0"):
        assert words in printed
    assert command(published_release, tmp_path / "out") == 2
    assert "must be new or empty" in capsys.readouterr().err


def test_without_the_retriever_the_rest_is_imported(published, tmp_path, capsys):
    (published / "clip.ckpt").unlink()
    assert command(published, tmp_path / "out") == 0
    assert "retriever: not there" in capsys.readouterr().out and not (tmp_path / "out" / "retriever").exists()


def _delete(name):
    return lambda weights: weights.pop(name)


def _double(name):
    return lambda weights: weights.update({name: torch.cat([weights[name]] * 2)})


def _fill(name, value):
    return lambda weights: weights[name].fill_(value)


def _add(weights):
    weights["llama.model.layers.0.extra"] = torch.zeros(2)


def _drop_velocity(weights):
    for name in [name for name in weights if name.startswith("vel_decoder")]:
        del weights[name]


def _bare(weights):
    weights["logit_scale"] = weights.pop("model.logit_scale")


@pytest.mark.parametrize(
    ("file", "change", "told"),
    [
        ("dance.pt", _delete("dance_bridge.fc2.bias"), "dance.pt lacks dance_bridge.fc2.bias"),
        ("dance.pt", _delete("style_embedding.weight"), "dance.pt lacks style_embedding.weight"),
        ("dance.pt", _double("dance_bridge.fc2.bias"), r"dance_bridge.fc2.bias must have shape \(16,\), got \(32,\)"),
        ("dance.pt", _fill("dance_bridge.fc2.bias", np.nan), "fc2.bias must be finite real numbers"),
        ("dance.pt", _fill("llama.lm_head.weight", 0.0), "lm_head.weight must equal llama.model.embed_tokens.weight"),
        ("dance.pt", _add, "layers.0.extra is no weight of the published model"),
        ("dance.pt", _double("style_embedding.weight"), "must have 6 styles .*, got 12"),
        ("vq/net_last.pth", _drop_velocity, "net_last.pth has no `vel_decoder`"),
        ("vq/net_last.pth", _delete("rot_decoder.model.0.bias"), "net_last.pth lacks rot_decoder.model.0.bias"),
        ("vq/net_last.pth", _double("quantizer.layers.0.codebook"), "`nb_code` is 512, the weights have 1024"),
        ("clip.ckpt", _bare, "every weight must begin with `model.`, got logit_scale"),
        ("clip.ckpt", _delete("model.cond_encoder.cls_token"), "clip.ckpt lacks cond_encoder.cls_token"),
    ],
)
def test_weights_that_are_not_the_published_ones_are_refused(file, change, told, published, tmp_path, capsys):
    changed(published / file, change)
    refused(published, tmp_path, told, capsys)


def _cut(folder):
    path = folder / "dance.pt"
    path.write_bytes(path.read_bytes()[:-1000])


def _with_code(folder):
    with_code = torch.load(folder / "clip.ckpt", weights_only=True) | {"hook": subprocess.Popen}
    torch.save(with_code, folder / "clip.ckpt", pickle_module=pickle)


def _settings(**fields):
    def change(folder):
        path = folder / "vq" / "args.json"
        kept = {**json.loads(path.read_text()), **fields}
        path.write_text(json.dumps({name: value for name, value in kept.items() if value is not ...}))

    return change


def _other_mean(folder):
    np.save(folder / CODEC_META / "Mean.npy", np.zeros(263, np.float32))


def _zero_std(folder):
    np.save(folder / CODEC_META / "Std.npy", np.zeros(264, np.float32))


def _pickled_mean(folder):
    np.save(folder / CODEC_META / "Mean.npy", np.array([{}], dtype=object), allow_pickle=True)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_cut, "holds no file of the LLaMA .*dance.pt is no whole file of `torch.save`: it is cut"),
        (_with_code, "holds no file of the retrieval network.*clip.ckpt holds Python objects besides weights"),
        (
            lambda folder: shutil.copy(folder / "dance.pt", folder / "again.pt"),
            "several files of the LLaMA.*`--generator`",
        ),
        (lambda folder: (folder / "dance.pt").unlink(), "holds no file of the LLaMA.*name it with `--generator`"),
        (
            lambda folder: (folder / "vq" / "args.json").unlink(),
            "no args.json beside .*net_last.pth.*--codec-settings",
        ),
        (_settings(vq_act=...), "args.json lacks vq_act"),
        (_settings(vq_act="tanh"), '`activation` must be "relu", "gelu" or "silu"'),
        (_settings(width=5), "its `width` is 5, the weights have 4"),
        (_settings(vq_norm="BN"), "`vq_norm` or `shared_codebook` is not the published one"),
        (lambda folder: shutil.rmtree(folder / CODEC_META), "holds no alldata_new_joint_vecs264/meta/Mean.npy"),
        (lambda folder: (folder / CODEC_META / "Std.npy").unlink(), "no .*Std.npy: both Mean.npy and Std.npy"),
        (_other_mean, r"vecs264/meta: feature_mean must have shape \(264,\), got \(263,\)"),
        (_zero_std, "Std.npy cannot be read: it must hold finite numbers, those of Std.npy positive"),
        (_pickled_mean, "Mean.npy cannot be read"),
        (
            lambda folder: (folder / "llama.json").write_text("{}"),
            "llama.json cannot be read: it must be the config.json",
        ),
    ],
)
def test_files_that_are_damaged_or_missing_are_told(change, told, published, tmp_path, capsys):
    change(published)
    refused(published, tmp_path, told, capsys)


def refused(folder, tmp_path, told, capsys):
    """Run the command; it must end with one sentence and write nothing."""
    assert command(folder, tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert re.search(told, error), error
    assert error.count("\n") == 1 and "defect" not in error
    assert [path.name for path in tmp_path.iterdir()] == ["published"]


def test_heads_are_asked_for_where_the_size_is_not_the_published_one(published, tmp_path, capsys):
    assert main(["import-release", str(published), "--output", str(tmp_path / "out")]) == 2
    assert "width 16, the published one 2048" in capsys.readouterr().err
    assert main(["import-release", str(tmp_path / "nowhere"), "--output", str(tmp_path / "out")]) == 2
    assert "no folder" in capsys.readouterr().err


def test_files_can_be_named_each(published, tmp_path):
    shutil.copy(published / "dance.pt", published / "again.pt")
    shutil.move(published / "vq" / "args.json", published / "settings.json")
    given = {"generator": published / "again.pt", "codec_settings": published / "settings.json"}
    files = find_published_files(published, given)
    assert (files.generator.name, files.codec.name, files.codec_settings.name) == (
        "again.pt",
        "net_last.pth",
        "settings.json",
    )
    with pytest.raises(FileNotFoundError, match=r"no .*gone.pt \(`--generator`\)"):
        find_published_files(published, {"generator": published / "gone.pt"})


MEASURE = """
import sys
from pathlib import Path
from infinitedance.modeling.choreollama_release.conversion_release import find_published_files, import_release

folder, output = map(Path, sys.argv[1:])
peaks = []
for size in ("small", "large"):
    files = find_published_files(folder, {"generator": folder / size / "dance.pt"})
    import_release(files, output / size, llama_config=folder / size / "llama.json", bridge_heads=2)
    status = Path("/proc/self/status").read_text().split()  # `ru_maxrss` would have that of pytest as well
    peaks.append(int(status[status.index("VmHWM:") + 1]) * 1024)
print(peaks[1] - peaks[0])
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="the peak is read as Linux tells it")
def test_the_memory_it_takes_is_that_of_the_file(published, tmp_path):
    """A LLaMA of 115 MB after a small one: mapped pages count, a copy of them would double it."""
    small = torch.load(published / "dance.pt", weights_only=True)
    first = "llama.model.layers.0."
    for folder, num_layers, width in (("small", 1, 24), ("large", 12, 100_000)):
        changed = {"intermediate_size": width, "num_hidden_layers": num_layers}
        settings, weights = json.loads((published / "llama.json").read_text()) | changed, dict(small)
        for name in [key for key in small if key.startswith(first)]:
            shape = [width if size == 24 else size for size in small[name].shape]
            for layer in range(num_layers):
                weights[name.replace(first, f"llama.model.layers.{layer}.")] = torch.ones(shape, dtype=torch.bfloat16)
        (published / folder).mkdir()
        (published / folder / "llama.json").write_text(json.dumps(settings))
        torch.save(weights, published / folder / "dance.pt")
    size = (published / "large" / "dance.pt").stat().st_size
    words = [sys.executable, "-c", MEASURE, str(published), str(tmp_path / "out")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert size > 100e6 and 0.5 * size < int(done.stdout) < 1.3 * size
    index = json.loads((tmp_path / "out" / "large" / "model.safetensors.index.json").read_text())
    assert len(set(index["weight_map"].values())) > 3


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["choreollama", "rvqvae", "retrieval"])
def test_the_released_sizes_are_the_defaults(name, parity_dir):
    """What the importer expects of the published files are the names and shapes that were seen in them."""
    keys = json.loads((parity_dir / "release" / f"ref_keys_{name}.json").read_text())["keys"]
    with torch.device("meta"):
        if name == "retrieval":
            found = ReleaseRetriever(ReleaseRetrieverConfig()).state_dict()
        else:
            found = ChoreoLlamaReleaseModel(ChoreoLlamaReleaseConfig()).state_dict()
    prefix = "codec." if name == "rvqvae" else ""
    assert all(list(found[prefix + key].shape) == shape for key, (shape, _) in keys.items())
