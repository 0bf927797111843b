"""Check a release: build it, install it in new environments, and run it there.

`make release-check` runs it. It needs a package registry, and the packages of the extra `release`. Every environment
gets the newest versions that pyproject.toml allows, as users get them. `dist/` holds what was checked.
"""

from __future__ import annotations

import argparse
import email
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MAX_MEGABYTES = 100
"""A registry takes no larger file."""
NOT_SHIPPED = re.compile(r"(^|/)(tests|benchmarks|docs|__pycache__|node_modules|\.\w+)/|\.pyc$")
LINK = re.compile(r"(!?)\[([^][]*(?:\[[^][]*\])?[^][]*)\]\((?!https?:|#)([^)\s]+)\)")


@dataclass(frozen=True)
class Smoke:
    """What shows that an extra works.

    Args:
        extra: Some of pyproject.toml, or nothing.
        commands: Run one after the other in a folder that all share; `SONG` is the song that ships.
        files: What is there afterwards.
    """

    extra: str
    commands: tuple[str, ...]
    files: tuple[str, ...]


SMOKES = (
    Smoke(
        "",
        (
            "infinitedance dance SONG --genre pop --no-video --output base",
            "infinitedance convert base/demo_song_pop_0.npz base.glb",
            "infinitedance restore base/demo_song_pop_0.bvh --output restored",
        ),
        ("base/demo_song_pop_0.bvh", "base/demo_song_pop_0.npz", "base.glb", "restored/demo_song_pop_0.bvh"),
    ),
    Smoke(
        "data",
        (
            "infinitedance procedural clips --clips 4 --seconds 10",
            "infinitedance build --source clip_folder=clips --output built",
            "infinitedance dance SONG --genre pop --num-references 1 --no-video --output guided",
        ),
        ("built/manifest.jsonl", "guided/demo_song_pop_0.npz"),
    ),
    Smoke(
        "evaluation",
        (
            "infinitedance evaluate --generated clips/motion --reference clips/motion --music clips/audio "
            "--output report --no-pictures",
        ),
        ("report/report.json",),
    ),
    Smoke(
        "video",
        (
            "infinitedance demo --output demo",
            "infinitedance video demo/demo_song_pop_0.npz --height 240 --output human.webm --transparent",
        ),
        ("demo/demo_song_pop_0.mp4", "human.webm"),
    ),
    Smoke(
        "capture,data",
        (
            "infinitedance capture --fetch-models",
            "infinitedance capture demo/demo_song_pop_0.mp4 --output captured",
        ),
        ("captured/motion/demo_song_pop_0.npz", "captured/report.html"),
    ),
    Smoke("usd", ("infinitedance convert base/demo_song_pop_0.npz dance.usd",), ("dance.usd",)),
    Smoke("onnx", ("infinitedance export-onnx open --output onnx",), ("onnx/step.onnx", "onnx/README.md")),
    Smoke("plot", ("infinitedance song SONG --plot song.png",), ("song.png",)),
    Smoke(
        "physics",
        ("infinitedance restore base/demo_song_pop_0.bvh --physics --output imitated",),
        ("imitated/demo_song_pop_0.bvh",),
    ),
    Smoke("muq", ("python -c \"from importlib.metadata import version; version('muq')\"",), ()),  # weights do not ship
    Smoke(
        "data,scale",
        ("infinitedance build --source clip_folder=clips --output built-ray --engine ray --workers 2",),
        ("built-ray/manifest.jsonl",),
    ),
    Smoke(
        "train,data",
        (
            "python -m accelerate.commands.accelerate_cli launch --cpu -m infinitedance.training.train_motion_codec "
            "--config CONFIGS/motion_codec.yaml --data_dir built --output_dir codec --max_steps 2 --batch_size 4",
            "infinitedance procedural more --clips 6 --seconds 20",
            "infinitedance finetune more --name mine --output mine --steps 2",
            "infinitedance dance SONG --adapter mine --no-video --output styled",
            "infinitedance publish adapter mine me/mine --base me/open --dry-run",
        ),
        ("codec/model.safetensors", "mine/adapter_model.safetensors", "styled/demo_song_any_0.bvh"),
    ),
    Smoke("demo", ("space",), ()),
    Smoke("mcp", ("space gradio_api/mcp/schema",), ()),  # lists the tools, where there are any
)
FBX = Smoke("fbx", ("infinitedance convert base/demo_song_pop_0.npz dance.fbx",), ("dance.fbx",))
"""Its package is a download of 374 MB, for Python 3.13."""


class Environment:
    """A new virtual environment with the wheel and extras.

    Args:
        folder: Where it is made.
        wheel: What is installed.
        extra: Some of pyproject.toml, or nothing.
    """

    def __init__(self, folder: Path, wheel: Path, extra: str):
        self.folder = folder
        self.programs = folder / ("Scripts" if os.name == "nt" else "bin")
        run([sys.executable, "-m", "uv", "venv", "--quiet", "--python", sys.executable, folder])
        requirement = f"infinitedance{f'[{extra}]' if extra else ''} @ {wheel.as_uri()}"
        run([sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", folder, requirement])

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.programs / ("python.exe" if os.name == "nt" else "python")

    def package(self) -> Path:
        """Return the folder of the installed package."""
        program = "import infinitedance, os; print(os.path.dirname(infinitedance.__file__))"
        package = Path(run([self.python, "-c", program], cwd=self.folder).strip())
        if self.folder.resolve() not in package.resolve().parents:
            raise SystemExit(f"the package is imported from {package}, not from the wheel")
        return package

    def run(self, command: str, folder: Path) -> None:
        """Run a command of a `Smoke`."""
        if command.startswith("space"):
            self._serve(folder, command.removeprefix("space").strip())
            return
        package = self.package()
        places = {
            "SONG": package / "assets" / "demo_song.ogg",
            "CONFIGS": package / "training" / "configs",
        }
        words = [re.sub(r"^(SONG|CONFIGS)\b", lambda m: str(places[m[1]]), word) for word in shlex.split(command)]
        words[:1] = [self.python] if words[0] == "python" else [self.python, "-m", words[0]]
        run(words, cwd=folder)

    def _serve(self, folder: Path, address: str) -> None:
        """Serve the page and ask for it, or for what is at another address of it."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        words = [self.python, "-m", "infinitedance", "space", "--no-browser", "--port", str(port)]
        with subprocess.Popen(words, cwd=folder, stdout=subprocess.DEVNULL) as server:
            try:
                for _ in range(120):
                    time.sleep(1)
                    try:
                        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{address}") as answer:
                            assert answer.status == 200
                        return
                    except OSError:
                        if server.poll() is not None:
                            break
                raise SystemExit("`infinitedance space` serves no page")
            finally:
                server.terminate()


def run(command: list, cwd: Path | None = None) -> str:
    """Run a command; return what it prints, or end with it and with what it says of its failure."""
    command = [str(word) for word in command]
    completed = subprocess.run(command, cwd=cwd, text=True, encoding="utf-8", errors="replace", capture_output=True)
    if completed.returncode != 0:
        raise SystemExit(f"{shlex.join(command)}\n{completed.stdout[-6000:]}{completed.stderr[-6000:]}")
    return completed.stdout


def check_versions(tag: str | None) -> str:
    """Return the version, which package, README, citation, changelog and tag must state alike."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    stated = {
        "utils/version.py": f'__version__ = "{version}"',
        "CITATION.cff": f"\nversion: {version}\n",
        "README.md": f"infinitedance-{version}-py3-none-any.whl",
    }
    for name, text in stated.items():
        if text not in (ROOT / name).read_text(encoding="utf-8"):
            raise SystemExit(f"{name} does not state version {version}")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    if not re.search(rf"^## {re.escape(version)} - \d{{4}}-\d\d-\d\d$", changelog, re.M):
        raise SystemExit(f"CHANGELOG.md has no section `## {version} - DATE`")
    tags = {tag} if tag else set(run(["git", "tag", "--points-at", "HEAD", "v*"], ROOT).split())
    if tags - {f"v{version}"}:
        raise SystemExit(f"the tag is {', '.join(sorted(tags))}, the version {version}")
    return version


def copy_source(folder: Path, repository: str | None, version: str) -> None:
    """Copy the files that git knows; with the address of the repository, README's links lead there."""
    for name in run(["git", "ls-files", "-z"], ROOT).split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    if repository:
        readme = folder / "README.md"
        readme.write_text(absolute_links(readme.read_text(encoding="utf-8"), repository, version), encoding="utf-8")
        with (folder / "pyproject.toml").open("a", encoding="utf-8") as project:
            project.write(f'\n[project.urls]\nRepository = "{repository}"\n')


def absolute_links(text: str, repository: str, version: str) -> str:
    """Make links to files of the repository lead to the tag of the version on GitHub."""

    def absolute(match: re.Match) -> str:
        kind = "raw" if match[1] else "blob"
        return f"{match[1]}[{match[2]}]({repository}/{kind}/v{version}/{match[3]})"

    return LINK.sub(absolute, text)


def build(source: Path) -> Path:
    """Build the source archive, and from it the wheel, into `dist/`; return the wheel."""
    output = ROOT / "dist"
    shutil.rmtree(output, ignore_errors=True)
    run([sys.executable, "-m", "build", "--outdir", output, source])
    run([sys.executable, "-m", "twine", "check", "--strict", *output.iterdir()])
    for path in sorted(output.iterdir()):
        megabytes = path.stat().st_size / 1e6
        print(f"    {path.name}: {megabytes:.1f} MB")
        if megabytes > MAX_MEGABYTES:
            raise SystemExit(f"{path.name} has {megabytes:.0f} MB; a registry takes {MAX_MEGABYTES}")
    return next(output.glob("*.whl"))


def check_wheel(wheel: Path, source: Path, has_address: bool) -> None:
    """Check that the wheel holds every module and asset, and nothing else."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        readme = email.message_from_bytes(archive.read(metadata)).get_payload()
    for name in names:
        if NOT_SHIPPED.search(name) or not re.match(r"infinitedance(-[^/]+\.dist-info)?/", name):
            raise SystemExit(f"{name} must not be in the wheel")
    if len(names) != len(set(names)):
        raise SystemExit("the wheel holds a file twice")
    packages = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    folders = [Path(source, *package.split(".")[1:]) for package in packages]
    wanted = {path for folder in folders for path in folder.glob("*.py")}
    wanted |= {path for path in (source / "assets").rglob("*") if path.is_file()}
    missing = {f"infinitedance/{path.relative_to(source).as_posix()}" for path in wanted} - set(names)
    if missing:
        raise SystemExit(f"not in the wheel: {', '.join(sorted(missing))}")
    relative = len(LINK.findall(str(readme)))
    if has_address and relative:
        raise SystemExit(f"{relative} links of README.md are not absolute")
    if relative:
        print(f"    {relative} links of README.md lead into the repository; `--repository` makes them absolute")


def main() -> None:
    """Check, and print what was checked with its time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tag", help="the tag that is released (default or empty: that of this commit, if any)")
    parser.add_argument("--repository", metavar="URL", help="GitHub address that README's links lead to on a registry")
    parser.add_argument(
        "--fbx", action="store_true", help="check the extra fbx too (Python 3.13, a download of 374 MB)"
    )
    parser.add_argument("--no-examples", action="store_true", help="do not run the blocks of the guides")
    arguments = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    started = last = time.perf_counter()

    def done(what: str) -> None:
        nonlocal last
        now = time.perf_counter()
        print(f"ok  {now - last:6.1f} s  {what}", flush=True)
        last = now

    with tempfile.TemporaryDirectory(prefix="release-", ignore_cleanup_errors=True) as scratch:
        place = Path(scratch).resolve()
        version = check_versions(arguments.tag)
        done(f"version {version}")
        copy_source(place / "source", arguments.repository, version)
        wheel = build(place / "source")
        check_wheel(wheel, place / "source", arguments.repository is not None)
        done("source archive, wheel, README")
        (place / "work").mkdir()
        for index, smoke in enumerate((*SMOKES, FBX) if arguments.fbx else SMOKES):
            environment = Environment(place / f"environment{index}", wheel, smoke.extra)
            for command in smoke.commands:
                environment.run(command, place / "work")
            missing = [name for name in smoke.files if not (place / "work" / name).is_file()]
            if missing:
                raise SystemExit(f"extra {smoke.extra or 'none'}: {', '.join(missing)} was not written")
            shutil.rmtree(environment.folder)
            done(f"extra {smoke.extra or 'none'}")
        if not arguments.no_examples:
            environment = Environment(place / "examples", wheel, "test,train")
            environment.package()
            told = run(
                [environment.python, "-m", "pytest", "-q", "-rs", "tests/docs/test_blocks.py"], place / "source"
            )
            done(f"blocks of the guides: {told.strip().splitlines()[-1]}")
    print("not checked: extra kernels (mamba-ssm is compiled against CUDA)", end="")
    print("" if arguments.fbx else ", extra fbx (`--fbx`)")
    print(f"all  {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
