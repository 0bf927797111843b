"""The benchmarks that damage files and kill commands, at a small size: what they find is a defect of the package."""

import subprocess
import sys

import pytest


def run(repository_root, *arguments):
    command = [sys.executable, "-m", *arguments]
    completed = subprocess.run(command, cwd=repository_root, capture_output=True, text=True)
    assert completed.returncode == 0, completed.stdout + completed.stderr[-2000:]
    return completed.stdout


@pytest.mark.slow
def test_damaged_files_of_every_kind_are_read_right_or_refused_in_one_line(repository_root):
    table = run(repository_root, "benchmarks.fuzz", "--count", "64", "--seed", "5")
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| ")]
    assert len(rows) == 9 + 2 and rows[-1][1] == "64"
    assert "refused without the name:" not in table


@pytest.mark.slow
def test_a_killed_command_is_finished_by_the_same_command(repository_root):
    told = run(repository_root, "benchmarks.kill", "--command", "dance", "--kills", "1")
    assert told.splitlines()[-1] == "dance: 1 kills, the same bytes"
