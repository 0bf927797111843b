"""The folder that Hugging Face runs: whole, with a card that the Hub takes, and requirements from a registry only."""

import os
import subprocess
import sys
import tomllib
from types import SimpleNamespace

import pytest
from huggingface_hub import ModelCard, SpaceCard, SpaceHardware
from packaging.requirements import Requirement
from packaging.version import Version

from infinitedance.cli import main
from infinitedance.publishing.upload import prepare
from infinitedance.spaces_demo import space as space_module
from infinitedance.spaces_demo.deployment import write_space

ZERO_GPU_TORCH = ("2.8.0", "2.9.1", "2.10.0", "2.11.0")


@pytest.fixture(scope="module")
def folder(wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("deployed") / "space"
    write_space(folder, wheel=wheel)
    return folder


@pytest.fixture(scope="module")
def card(folder):
    return SpaceCard.load(folder / "README.md", ignore_metadata_errors=False)


def test_the_folder_holds_the_package_and_what_the_hub_reads(folder):
    assert {path.name for path in folder.iterdir()} == {
        ".gitattributes",
        "README.md",
        "app.py",
        "infinitedance",
        "requirements.txt",
    }
    attributes = (folder / ".gitattributes").read_text().split()
    for path in folder.rglob("*"):
        if path.is_file() and b"\0" in path.read_bytes()[:8000]:  # what git calls binary, and the Hub refuses
            assert f"*{path.suffix}" in attributes, path


def test_no_weights_are_in_it_whose_terms_its_card_does_not_state(folder, card):
    cards = [ModelCard.load(path) for path in (folder / "infinitedance" / "assets").glob("*/README.md")]
    assert cards and {own.data.license for own in cards} == {card.data.license}


def test_all_of_it_is_published(folder):
    publication = prepare("space", folder, "ada/dance")
    written = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert set(publication.files) == written and not publication.left_out


def test_the_hub_takes_the_card(card, folder, repository_root):
    data = card.data
    assert data.sdk == "gradio" and (folder / data.app_file).is_file()
    assert f"gradio=={data.sdk_version}\n" in (repository_root / "constraints.txt").read_text()
    assert len(data.short_description) <= 60
    assert data.suggested_hardware in [hardware.value for hardware in SpaceHardware]
    project = tomllib.loads((repository_root / "pyproject.toml").read_text())["project"]
    assert data.python_version == "3.12"  # of ZeroGPU, which has 3.10 besides
    assert Requirement(f"python{project['requires-python']}").specifier.contains(data.python_version)


def test_the_requirements_are_those_of_the_extra_demo_in_versions_that_zero_gpu_has(folder, repository_root):
    lines = [Requirement(line) for line in (folder / "requirements.txt").read_text().splitlines()]
    wanted = {line.name: line.specifier for line in lines}
    assert len(wanted) == len(lines) and not any(line.url for line in lines)
    project = tomllib.loads((repository_root / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    texts = [*project["dependencies"], *extras["data"], *extras["evaluation"], *extras["video"]]
    assert set(wanted) == {Requirement(text).name for text in texts}  # Gradio comes with the SDK of the card
    assert [version for version in ZERO_GPU_TORCH if not wanted["torch"].contains(Version(version))] == []
    assert not wanted["torch"].contains("2.12.0")


def test_the_app_runs_the_package_of_the_folder(folder, tmp_path):
    program = "import infinitedance.spaces_demo.space as space; print(space.__file__, space.DEFAULT_MODEL)"
    completed = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    file, model = completed.stdout.split()
    assert file.startswith(str(folder)) and model.startswith(str(folder)), completed.stderr
    source = (folder / "app.py").read_text()
    launched = []
    module = SimpleNamespace(launch=lambda: launched.append(True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "infinitedance.spaces_demo.space", module)
        exec(compile(source, "app.py", "exec"), {"__name__": "__main__"})
    assert launched == [True]


def test_an_installed_package_writes_the_same_folder(wheel, folder, tmp_path):
    """Where there is no checkout, the package that runs is copied."""
    installed = tmp_path / "installed"
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        installed,
        wheel,
    ]
    subprocess.run(command, check=True)
    program = (
        f"import sys; sys.path.insert(0, {str(installed)!r})\n"
        "from infinitedance.cli import main; sys.exit(main(['space', '--write-folder', 'space']))"
    )
    completed = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path += {sys.path!r}\n{program}"], cwd=tmp_path
    )
    assert completed.returncode == 0

    def content(root):
        return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    assert content(tmp_path / "space") == content(folder)


def test_wrong_calls_are_told(tmp_path, wheel, capsys):
    other = tmp_path / "other.whl"
    other.write_bytes(b"no archive")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    new = ["space", "--write-folder", str(tmp_path / "new")]
    cases = [
        ([*new, "--wheel", str(tmp_path / "none.whl")], "There is no wheel"),
        ([*new, "--wheel", str(other)], "is not a wheel"),
        (["space", "--write-folder", str(tmp_path / "full"), "--wheel", str(wheel)], "must be new or empty"),
        (["space", "--wheel", str(wheel)], "give `--write-folder` too"),
        ([*new, "--port", "7860"], "leave --port out"),
        ([*new, "--model", "research"], "leave --model out"),
        ([*new, "--adapter", "my-style"], "leave --adapter out"),
    ]
    for command, fragment in cases:
        assert main(command) == 2, command
        message = capsys.readouterr().err
        assert fragment in message and "Traceback" not in message, (command, message)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("told", "claimed"), [("true", 1), ("1", 1), ("false", 0), (None, 0)])
def test_a_gpu_is_claimed_on_zero_gpu_only(monkeypatch, told, claimed):
    """The real package is checked by `make test-space`."""
    claims = []
    monkeypatch.setitem(
        sys.modules, "spaces", SimpleNamespace(GPU=lambda task, duration: claims.append((task, duration)))
    )
    monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)
    if told is not None:
        monkeypatch.setenv("SPACES_ZERO_GPU", told)
    space_module.claim_zero_gpu()
    assert len(claims) == claimed and all(callable(task) and duration == 1 for task, duration in claims)
