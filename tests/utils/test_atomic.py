import pytest

from infinitedance.utils.atomic import atomic_folder, atomic_path


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
