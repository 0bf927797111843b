"""Imports never point up, and stay relative inside the package."""

import ast
from pathlib import Path

import pytest

# Each layer names all that it may import, itself included.
ALLOWED = {
    "motion": {"motion"},
    "audio": {"audio"},
    "evaluation": {"evaluation"},
    "tokenization": {"tokenization", "audio", "motion", "evaluation"},
    "modeling": {"modeling", "audio", "motion", "evaluation"},
    "dataset_builder": {"dataset_builder", "modeling", "tokenization", "audio", "motion", "evaluation"},
    "assets": {"assets"},
}
ALLOWED["restoration"] = {"restoration", "modeling", "motion", "evaluation"}
ALLOWED["pipeline"] = {"pipeline", "modeling", "tokenization", "dataset_builder", "audio", "motion", "assets"}
ALLOWED["__init__"] = {"__init__", *ALLOWED["pipeline"]}
ALLOWED["training"] = {"training", "evaluation", "restoration", *ALLOWED["__init__"]}
ALLOWED["spaces_demo"] = {"spaces_demo", *ALLOWED["training"]}
ALLOWED["cli"] = {"cli", *ALLOWED["spaces_demo"]}
# A Space runs it as a script beside the installed package, whose public name it imports.
SCRIPTS = {Path("spaces_demo/app.py")}
# Every layer may ask the leaf for `require_extra`, which imports nothing itself.
SHARED_MODULES = {("motion", "extras")}


def imported_modules(source: str, path: Path) -> list[tuple[str, ...]]:
    """Return the modules of the package that a file imports, as paths below the root; refuse absolute imports."""
    modules = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                assert alias.name.split(".")[0] != "infinitedance", f"{path}: `import {alias.name}` must be relative"
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            assert (node.module or "").split(".")[0] != "infinitedance", f"{path}: `{node.module}` must be relative"
        elif isinstance(node, ast.ImportFrom):
            above = path.parts[: len(path.parts) - node.level]
            module = (*above, *(node.module.split(".") if node.module else ()))
            names = [alias.name if alias.name in ALLOWED else "__init__" for alias in node.names]
            modules += [module] if module else [(name,) for name in names]
    return modules


def layering_errors(source: str, path: Path) -> list[str]:
    layer = path.parts[0].removesuffix(".py")
    errors = []
    for module in imported_modules(source, path):
        if layer == "pipeline" and module[0] == "dataset_builder" and module[1:2] != ("retrieval_references",):
            errors.append(
                f"{path} imports {'.'.join(module)}: of dataset_builder it may only use retrieval_references"
            )
        elif module[0] not in ALLOWED[layer] and module not in SHARED_MODULES:
            errors.append(f"{path} imports {'.'.join(module)}, which is not below it")
    return errors


def source_files(root: Path) -> list[Path]:
    folders = [folder for folder in ALLOWED if (root / folder).is_dir()]
    nested = [path for folder in folders for path in (root / folder).rglob("*.py")]
    return [path.relative_to(root) for path in [*root.glob("*.py"), *nested] if path.relative_to(root) not in SCRIPTS]


def test_no_import_points_up(repository_root):
    files = source_files(repository_root)
    assert len(files) >= 8
    assert not [error for file in files for error in layering_errors((repository_root / file).read_text(), file)]


def test_no_loose_module_stands_at_the_root(repository_root):
    assert {path.name for path in repository_root.glob("*.py")} <= {"__init__.py", "pipeline.py", "cli.py"}


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("motion/files.py", "from ..audio.loading import load_audio"),
        ("modeling/modeling_choreollama.py", "from ..tokenization import MotionTokenizer"),
        ("tokenization/motion_tokenizer.py", "def late():\n    from ..modeling.mamba import MambaLayer"),
        ("audio/beats.py", "from .. import training"),
        ("motion/files.py", "from .. import MusicToDancePipeline"),
        ("pipeline.py", "from .dataset_builder.splits import split_by_song"),
        ("dataset_builder/splits.py", "from ..cli import main"),
    ],
)
def test_an_import_that_points_up_is_found(file, source):
    assert layering_errors(source, Path(file))


def test_the_command_line_may_use_the_public_names():
    assert not layering_errors("from . import MusicToDancePipeline, __version__, training", Path("cli.py"))


@pytest.mark.parametrize("source", ["import infinitedance.motion", "from infinitedance import __version__"])
def test_an_absolute_import_of_the_package_is_found(source):
    with pytest.raises(AssertionError, match="must be relative"):
        imported_modules(source, Path("audio/beats.py"))
