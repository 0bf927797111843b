"""Every shell and Python block of README.md, docs/*.md and the model cards runs as written, in a scratch copy."""

import csv
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import soundfile

from infinitedance.dataset_builder.procedural.dance import synthesize_dance
from infinitedance.dataset_builder.procedural.music import SAMPLING_RATE, synthesize_music
from infinitedance.motion.files import save_motion, write_bvh

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^(?P<comment><!--[^\n]*-->\n)?```(?P<language>bash|python)\n(?P<code>.*?)^```$", re.M | re.S)
NOT_RUN = re.compile(r"<!-- not run: (?P<reason>\S.*?) -->\n")
"""A block that cannot run says why in a comment before it."""
COMMANDS = {"infinitedance": "-m infinitedance", "python": "", "accelerate": "-m accelerate.commands.accelerate_cli"}
NOT_COPIED = (
    ".git",
    ".venv*",
    "node_modules",
    "*.egg-info",
    "__pycache__",
    "build",
    "dist",
    "runs",
    "outputs",
    "built",
    ".*_cache",
)


@dataclass
class Block:
    file: str
    line: int
    language: str
    code: str
    comment: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def read_blocks(text: str, file: str) -> list[Block]:
    return [
        Block(
            file,
            1 + text.count("\n", 0, match.start("code")),
            match["language"],
            match["code"],
            match["comment"] or "",
        )
        for match in BLOCK.finditer(text)
    ]


def reason_not_to_run(block: Block) -> str | None:
    """Return the reason in the comment before a block, `None` where there is no comment."""
    if not block.comment:
        return None
    match = NOT_RUN.fullmatch(block.comment)
    assert match, f"{block}: the comment must be `<!-- not run: REASON -->`, got {block.comment.strip()}"
    return match["reason"]


TEXTS = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("assets/*/README.md"))]
BLOCKS = [
    block
    for path in TEXTS
    for block in read_blocks(path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix())
]


@dataclass
class Scratch:
    """A copy of the checkout with inputs of the names that the texts use, and the names that Python blocks defined."""

    folder: Path
    names: dict = field(default_factory=dict)

    def run(self, block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
        if block.language == "bash":
            path = f"{self.folder / '.venv/bin'}{os.pathsep}{os.environ['PATH']}"
            run = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", block.code],
                cwd=self.folder,
                env={**os.environ, "PATH": path, "MPLBACKEND": "agg"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            assert run.returncode == 0, f"{block}\n{block.code}\n{run.stdout[-3000:]}"
        else:
            monkeypatch.chdir(self.folder)
            monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", self.folder / "cache")
            exec(compile("\n" * (block.line - 1) + block.code, block.file, "exec"), self.names)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("checkout") / "infinitedance"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*NOT_COPIED))
    commands = folder / ".venv" / "bin"
    commands.mkdir(parents=True)
    for name, module in COMMANDS.items():
        (commands / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {module} "$@"\n')
        (commands / name).chmod(0o755)
    write_inputs(folder)
    return folder


def write_inputs(folder: Path) -> None:
    """Write the song, captures, clip folder and dances that the texts name."""
    for name in ("my_dances/motion", "my_dances/songs", "songs", "generated", "real"):
        (folder / name).mkdir(parents=True)
    write_song(folder / "song.mp3", "waltz", 88, seconds=6.0)
    capture = synthesize_dance("waltz", 88, 6.0, seed=0)
    write_bvh(capture, folder / "capture.bvh")
    save_motion(capture, folder / "dance.npz")

    table = read_table((ROOT / "docs/data_format.md").read_text(encoding="utf-8"))
    (folder / "my_dances/metadata.csv").write_text(table)
    for seed, row in enumerate(csv.DictReader(table.splitlines())):
        genre, bpm = row["genre"], float(row["bpm"])
        write_song(folder / "my_dances" / row["audio"], genre, bpm, seconds=14.0)  # a window of retrieval has 12.8 s
        write_bvh(synthesize_dance(genre, bpm, 14.0, seed=seed), folder / "my_dances" / row["file"])

    for number, genre in enumerate(("waltz", "waltz", "rumba", "rumba")):
        write_song(folder / f"songs/song{number}.mp3", genre, 80 + 10 * number, seconds=10.0)
        for seed, kind in enumerate(("real", "generated")):
            dance = synthesize_dance(genre, 80 + 10 * number, 10.0, seed=2 * number + seed)
            save_motion(dance, folder / kind / f"song{number}.npz")


def write_song(path: Path, genre: str, bpm: float, seconds: float) -> None:
    soundfile.write(path, synthesize_music(genre, bpm, seconds, seed=0), SAMPLING_RATE, format="MP3")


def read_table(text: str) -> str:
    """Return the table of the clip folder that docs/data_format.md shows."""
    return re.search(r"^```csv\n(.*?)^```$", text, re.M | re.S)[1]


@pytest.fixture(scope="module")
def scratch_of(checkout, tmp_path_factory):
    """Return the scratch copy of a text; its blocks share it."""
    made: dict[str, Scratch] = {}

    def scratch(file: str) -> Scratch:
        if file not in made:
            made[file] = Scratch(tmp_path_factory.mktemp(Path(file).stem) / "infinitedance")
            shutil.copytree(checkout, made[file].folder)
        return made[file]

    return scratch


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_runs_as_written(block, scratch_of, monkeypatch):
    reason = reason_not_to_run(block)
    if reason is not None:
        pytest.skip(reason)  # `pytest -rs` lists the blocks and their reasons
    scratch_of(block.file).run(block, monkeypatch)


def test_blocks_are_found_with_their_comments():
    text = "# A\n\n```bash\ntrue\n```\n\n<!-- not run: it takes a day -->\n```python\n1 / 0\n```\n```csv\na,b\n```\n"
    run, skipped = read_blocks(text, "a.md")
    assert (str(run), run.language, run.code) == ("a.md:4", "bash", "true\n") and reason_not_to_run(run) is None
    assert str(skipped) == "a.md:9" and reason_not_to_run(skipped) == "it takes a day"


@pytest.mark.parametrize("comment", ["not run", "not run:", "not run:  ", "skip: slow"])
def test_a_comment_without_a_reason_is_refused(comment):
    (block,) = read_blocks(f"<!-- {comment} -->\n```bash\nfalse\n```\n", "a.md")
    with pytest.raises(AssertionError, match="a.md:3: the comment must be"):
        reason_not_to_run(block)


def test_a_block_that_fails_is_told(tmp_path, monkeypatch):
    (block,) = read_blocks("```bash\nfalse\necho reached\n```\n", "a.md")
    with pytest.raises(AssertionError, match="a.md:2"):
        Scratch(tmp_path).run(block, monkeypatch)


def test_every_fence_names_its_language():
    """A block of another name, such as `sh` or `py`, would not be run."""
    languages = {name for path in TEXTS for name in re.findall(r"^```(\S+)$", path.read_text(encoding="utf-8"), re.M)}
    assert languages <= {"bash", "python", "csv", "yaml", "json"}
