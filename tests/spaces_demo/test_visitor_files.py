import os
import time

import pytest

from infinitedance.spaces_demo import visitor_files
from infinitedance.spaces_demo.visitor_files import VisitorFiles


def test_what_is_old_is_swept_and_what_is_new_is_kept(tmp_path, monkeypatch):
    files = VisitorFiles(tmp_path, keep_seconds=60)
    folder = files.new_folder()
    (folder / "dance.npz").write_text("dance")
    (tmp_path / "upload").mkdir()
    (tmp_path / "upload" / "song.mp3").write_text("song")
    os.utime(tmp_path / "upload" / "song.mp3", (0, 0))  # a copy that kept the date of its original
    files.sweep()
    assert (folder / "dance.npz").exists() and (tmp_path / "upload" / "song.mp3").exists()
    now = time.time()
    monkeypatch.setattr(visitor_files.time, "time", lambda: now + 61)
    files.sweep()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    now += 61  # removing files made their folders young again
    files.sweep()
    assert not list(tmp_path.iterdir())


def test_folders_cannot_be_guessed(tmp_path):
    files = VisitorFiles(tmp_path, keep_seconds=60)
    names = {files.new_folder().name for _ in range(10)}
    assert len(names) == 10 and all(len(name) == 32 for name in names)


def test_a_temporary_root_is_swept_while_it_is_used_and_removed_at_the_end():
    with VisitorFiles.temporary(keep_seconds=0.05) as files:
        song = files.new_folder() / "song.flac"
        song.write_text("song")
        ends = time.time() + 10
        while song.exists() and time.time() < ends:
            time.sleep(0.01)
        assert not song.exists()
        (files.new_folder() / "left.npz").write_text("dance")
    assert not files.root.exists()


def test_a_folder_is_found_by_its_own_name_only(tmp_path):
    files = VisitorFiles(tmp_path / "files", 60)
    folder = files.new_folder()
    assert files.folder(folder.name) == folder
    for key in ("..", ".", "", "/", f"../dances/{folder.name}", f"{folder.name}/", folder.name.upper(), "0" * 32):
        if key != folder.name:
            with pytest.raises(FileNotFoundError, match="no longer kept"):
                files.folder(key)
