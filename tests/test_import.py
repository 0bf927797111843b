"""The package loads lazily, and knows the Auto classes whichever is used first."""

import ast
import subprocess
import sys

import pytest

import infinitedance

HEAVY_PACKAGES = {"av", "cv2", "datasets", "gradio", "librosa", "matplotlib", "mujoco", "peft"}
SUBPACKAGES = [
    "audio.features",
    "dataset_builder.build",
    "evaluation.evaluate",
    "modeling.choreollama.modeling_choreollama",
    "motion.files",
    "pipeline",
    "restoration.restore",
    "retrieval.references",
    "tokenization.tokenization_motion",
    "training.train_choreollama",
]


def run(program: str) -> str:
    completed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert completed.returncode == 0, completed.stderr
    return completed.stdout.strip()


def test_importing_the_package_imports_nothing_but_itself():
    heavy = HEAVY_PACKAGES | {"numpy", "scipy", "torch", "transformers", "huggingface_hub", "soundfile"}
    assert run(f"import sys, infinitedance; print(*sorted({heavy} & set(sys.modules)))") == ""


def test_no_module_imports_an_optional_package():
    imports = "; ".join(f"import infinitedance.{name}" for name in SUBPACKAGES)
    assert run(f"import sys; {imports}; print(*sorted({HEAVY_PACKAGES} & set(sys.modules)))") == ""


def test_every_public_name_is_there_and_told_to_type_checkers():
    for name in infinitedance.__all__:
        assert getattr(infinitedance, name).__name__ == name
    source = ast.parse(open(infinitedance.__file__).read())
    block = next(node for node in source.body if isinstance(node, ast.If))
    stated = {
        alias.name: infinitedance.__name__ + "." + str(node.module)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert sorted(stated) == sorted(infinitedance.__all__)
    for name, module in stated.items():
        assert getattr(sys.modules[module], name) is getattr(infinitedance, name)


def test_the_folders_are_attributes(repository_root):
    folders = {path.parent.name for path in repository_root.glob("*/__init__.py")} - {"benchmarks"}
    names = {name for name in dir(infinitedance) if not name.startswith("__")}
    assert names == {*infinitedance.__all__, *folders, "pipeline", "release_pipeline"}
    assert run("import infinitedance; print(infinitedance.motion.__name__)") == "infinitedance.motion"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'Waltz'"):
        _ = infinitedance.Waltz


@pytest.mark.parametrize(
    "beginning",
    [
        "import infinitedance; from transformers import AutoModel, AutoProcessor, AutoConfig",
        "from transformers import AutoModel, AutoProcessor, AutoConfig; AutoModel.from_config; import infinitedance",
        "import transformers, infinitedance; from transformers import AutoModel, AutoProcessor, AutoConfig",
        "import infinitedance.modeling.frdm.modeling_frdm; "
        "from transformers import AutoModel, AutoProcessor, AutoConfig",
        "import importlib, infinitedance; importlib.reload(infinitedance); "
        "from transformers import AutoConfig, AutoModel, AutoProcessor",
    ],
)
def test_auto_classes_know_the_models_whichever_comes_first(beginning):
    program = (
        f"{beginning}\n"
        "from infinitedance.assets import DEFAULT_MODEL, DEFAULT_RESTORER\n"
        "print(type(AutoConfig.from_pretrained(DEFAULT_RESTORER)).__name__)\n"
        "print(type(AutoModel.from_pretrained(DEFAULT_RESTORER)).__name__)\n"
        "print(type(AutoProcessor.from_pretrained(DEFAULT_MODEL)).__name__)\n"
        "from transformers import AutoFeatureExtractor, AutoModelForCausalLM\n"
        "print(type(AutoFeatureExtractor.from_pretrained(DEFAULT_MODEL)).__name__)\n"
        "print(type(AutoModelForCausalLM.from_pretrained(DEFAULT_MODEL)).__name__)\n"
    )
    names = ["FrdmConfig", "FrdmModel", "ChoreoLlamaProcessor", "MusicFeatureExtractor"]
    assert run(program).split() == [*names, "ChoreoLlamaForConditionalGeneration"]


def test_a_broken_installation_warns_and_leaves_transformers_as_it_is():
    program = (
        "import sys, warnings; sys.modules['roma'] = None; import infinitedance\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n"
        "    from transformers import AutoConfig\n"
        "print(AutoConfig.__name__, [str(w.message) for w in caught if 'infinitedance' in str(w.message)])\n"
    )
    printed = run(program)
    assert printed.startswith("AutoConfig") and "infinitedance cannot register its models" in printed
    assert "roma" in printed
