"""Imports never point up, never in a circle, and stay relative inside the package."""

import ast
from pathlib import Path

import pytest

LAYERS = [
    {"__main__"},
    {"cli"},
    {"spaces_demo"},
    {"training"},
    {"release_pipeline"},
    {"dataset_builder", "pipeline"},
    {"capture"},
    {"restoration", "retrieval"},
    {"tokenization", "modeling", "evaluation"},
    {"audio", "motion", "publishing"},
    {"utils", "assets", "media"},
]
"""From the top down: a layer imports those below it. Siblings of one layer do not import each other."""
RUN_BY_PATH = Path("spaces_demo/app.py")
"""Hugging Face runs it beside the installed package: of all files only it names the package."""

RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}


def imported_modules(source: str, path: Path) -> list[tuple[str, ...]]:
    """Return what a file imports from the package, as paths below the root."""
    modules = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules += [tuple(alias.name.split("."))[1:] for alias in node.names if is_own(alias.name)]
        elif isinstance(node, ast.ImportFrom):
            name = tuple(node.module.split(".")) if node.module else ()
            if node.level:
                name = (*path.parts[: len(path.parts) - node.level], *name)
            elif is_own(node.module or ""):
                name = name[1:]
            else:
                continue
            modules += [(*name, alias.name) for alias in node.names]
    return modules


def is_own(module: str) -> bool:
    return module.split(".")[0] == "infinitedance"


def layering_errors(source: str, path: Path) -> list[str]:
    own = path.parts[0].removesuffix(".py")
    return [
        f"{path} imports {'.'.join(module)}, which is not below it"
        for module in imported_modules(source, path)
        if module[:1] != (own,) and RANK[own] >= RANK.get(module[0] if module else "", -1)
    ]


@pytest.fixture(scope="module")
def sources(repository_root) -> dict[Path, str]:
    """Every file of the package but its public face, `__init__.py`, which names all layers."""
    nested = [path for name in RANK for path in (repository_root / name).rglob("*.py")]
    files = [path.relative_to(repository_root) for path in [*repository_root.glob("*.py"), *nested]]
    return {file: (repository_root / file).read_text() for file in files if file != Path("__init__.py")}


def test_no_import_points_up(sources):
    assert len(sources) > 150
    assert not [error for file, source in sources.items() for error in layering_errors(source, file)]


def test_inference_needs_no_training(sources):
    """The Space, the pipeline and what they use import neither `training` nor `dataset_builder`."""
    targets = {file: {module[0] for module in imported_modules(source, file)} for file, source in sources.items()}
    users = [
        file for file in targets if file.parts[0].removesuffix(".py") not in ("cli", "training", "dataset_builder")
    ]
    assert not [file for file in users if targets[file] & {"training", "dataset_builder"}]


def test_every_folder_has_its_layer(repository_root):
    folders = {path.parent.name for path in repository_root.glob("*/__init__.py")} - {"benchmarks"}
    assert folders == {name for name in RANK if (repository_root / name).is_dir()}


def test_no_loose_module_stands_at_the_root(repository_root):
    assert {path.name for path in repository_root.glob("*.py")} == {
        "__init__.py",
        "__main__.py",
        "pipeline.py",
        "release_pipeline.py",
    }


def test_no_import_goes_in_a_circle(sources):
    modules = {file.with_suffix("").parts: file for file in sources}
    modules |= {file.parent.parts: file for file in sources if file.name == "__init__.py" and file.parent.parts}
    targets = {
        file: {modules[found] for module in imported_modules(source, file) for found in _prefixes(module, modules)}
        for file, source in sources.items()
    }
    assert not [file for file in targets if file in _reachable(file, targets)]


def _prefixes(module: tuple[str, ...], modules) -> list[tuple[str, ...]]:
    """Return the file that `from a.b import c` names: `a/b/c.py`, else `a/b.py`, else `a/b/__init__.py`."""
    return [part for part in (module, module[:-1]) if part in modules][:1]


def _reachable(start: Path, targets: dict[Path, set[Path]]) -> set[Path]:
    seen: set[Path] = set()
    waiting = list(targets.get(start, ()))
    while waiting:
        file = waiting.pop()
        if file not in seen:
            seen.add(file)
            waiting.extend(targets.get(file, ()))
    return seen


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("motion/files/npz.py", "from ...audio.loading import load_audio"),
        ("modeling/choreollama/modeling_choreollama.py", "from ...tokenization import MotionTokenizer"),
        ("tokenization/tokenization_motion.py", "def late():\n    from ..modeling.frdm import FrdmModel"),
        ("evaluation/metrics/beats.py", "from ...modeling import frdm"),
        ("audio/beats.py", "from .. import training"),
        ("motion/files/npz.py", "from ... import MusicToDancePipeline"),
        ("motion/files/npz.py", "import infinitedance.audio.loading"),
        ("pipeline.py", "from .dataset_builder.splits import split_by_song"),
        ("spaces_demo/studio.py", "from ..cli import main"),
        ("training/loop.py", "from ..cli import main"),
        ("utils/extras.py", "from ..motion.motion import Motion"),
    ],
)
def test_an_import_that_points_up_or_aside_is_found(file, source):
    assert layering_errors(source, Path(file))


def test_imports_inside_the_package_are_relative(sources):
    assert [file for file, source in sources.items() if names_the_package(source)] == [RUN_BY_PATH]


def names_the_package(source: str) -> bool:
    nodes = list(ast.walk(ast.parse(source)))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and node.level == 0]
    return any(is_own(name) for name in names)


@pytest.mark.parametrize(
    "source", ["import infinitedance.motion", "def f():\n    from infinitedance import load_audio"]
)
def test_an_absolute_import_of_the_package_is_found(source):
    assert names_the_package(source)
