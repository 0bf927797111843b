import errno
import os
import subprocess
import sys

import pytest

from infinitedance.utils.atomic import atomic_folder, atomic_path, held_folder, remove_partials


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "file.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("absent/file.txt", FileNotFoundError, "the folder .*absent does not exist"),
        ("folder.d", IsADirectoryError, "it is a folder"),
        ("/proc/file.txt", PermissionError, "no permission to create files in /proc"),
    ],
)
def test_an_impossible_target_is_refused_with_the_reason(path, error, message, tmp_path):
    (tmp_path / "folder.d").mkdir()
    with pytest.raises(error, match=message), atomic_path(tmp_path / path):
        pass


def test_a_folder_is_whole_or_not_there(tmp_path):
    target = tmp_path / "deep" / "library"
    with pytest.raises(RuntimeError), atomic_folder(target) as temporary:
        (temporary / "part").touch()
        raise RuntimeError
    assert not list(target.parent.iterdir())
    target.mkdir()  # an empty folder may be filled
    with atomic_folder(target) as temporary:
        (temporary / "part").touch()
        assert not list(target.iterdir())
    assert [path.name for path in target.parent.iterdir()] == ["library"] and (target / "part").is_file()
    for taken in (target, target / "part"):
        with pytest.raises(FileExistsError, match="must be new or empty"), atomic_folder(taken):
            pass


def test_what_a_killed_process_left_is_removed_by_the_next_try(tmp_path):
    program = """
import os, sys
from infinitedance.utils.atomic import atomic_folder, atomic_path
with atomic_path(sys.argv[1]) as file, atomic_folder(sys.argv[2]) as folder:
    file.write_text("half")
    (folder / "part").write_text("half")
    print(len(os.listdir(os.path.dirname(sys.argv[1]))), flush=True)
    os.kill(os.getpid(), 9)
"""
    file, folder = tmp_path / f"{'long' * 60}.txt", tmp_path / "library"
    for _ in range(2):
        killed = subprocess.run([sys.executable, "-c", program, file, folder], capture_output=True, text=True)
        assert killed.returncode == -9 and killed.stdout == "2\n"  # the second removes what the first has left
    with atomic_path(file) as temporary:
        temporary.write_text("whole")
    with atomic_folder(folder):
        pass
    assert sorted(tmp_path.iterdir()) == [folder, file] and file.read_text() == "whole"


def test_what_another_process_is_writing_stays(tmp_path):
    file = tmp_path / "file.txt"
    with atomic_path(file) as first, atomic_path(file) as second:
        assert first != second
        remove_partials(tmp_path)
        first.write_text("first")
        second.write_text("second")
    assert file.read_text() == "first" and list(tmp_path.iterdir()) == [file]


def test_a_name_that_the_system_does_not_take_is_told(tmp_path):
    with pytest.raises(OSError, match=r"Cannot write .*x+\.txt: File name too long"):
        with atomic_path(tmp_path / f"{'x' * 300}.txt") as temporary:
            temporary.write_text("x")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_told_with_the_name_of_the_file(tmp_path):
    with (
        pytest.raises(OSError, match=r"Cannot write .*dance\.bvh: No space left on device"),
        atomic_path(tmp_path / "dance.bvh"),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_written_by_two_of_them_stays_held(tmp_path):
    """A writer of files is given a temporary path: what others remove meanwhile is not that."""
    with atomic_path(tmp_path / "dance.bvh") as outer:
        with atomic_path(outer) as inner:
            inner.write_text("whole")
        remove_partials(tmp_path)
        assert outer.read_text() == "whole"
    assert [path.name for path in tmp_path.iterdir()] == ["dance.bvh"]


def test_without_locks_nothing_that_is_open_is_renamed_and_nothing_of_others_removed(tmp_path):
    """As on Windows, which has no `fcntl` and does not rename what is open."""
    program = """
import os, sys
sys.modules["fcntl"] = None
rename = os.replace
def replace(source, target):
    opened = [os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")]
    if os.path.realpath(source) in opened:
        raise PermissionError(13, "used by another process", str(source))
    rename(source, target)
os.replace = replace
from infinitedance.utils.atomic import atomic_folder, atomic_path, remove_partials
with atomic_path("file") as file, atomic_folder("folder") as folder:
    file.write_text("whole")
    (folder / "part").write_text("whole")
    remove_partials(".")
    remove_partials(".", "file")
try:
    with atomic_path("failed") as failed:
        failed.write_text("half")
        raise RuntimeError
except RuntimeError:
    pass
"""
    completed = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert completed.returncode == 0, completed.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
    assert (tmp_path / "file").read_text() == (tmp_path / "folder" / "part").read_text() == "whole"


@pytest.mark.skipif(os.name != "posix", reason="the system has no locks for folders")
def test_a_held_folder_keeps_others_out_until_it_is_left(tmp_path):
    with held_folder(tmp_path / "deep" / "work"):
        with (
            pytest.raises(FileExistsError, match=r"Another command works in .*work"),
            held_folder(tmp_path / "deep/work"),
        ):
            pass
        with held_folder(tmp_path / "deep" / "other"):
            pass
    with held_folder(tmp_path / "deep" / "work"):
        pass
