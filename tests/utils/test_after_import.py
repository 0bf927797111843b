import importlib
import sys
import threading

import pytest

from infinitedance.utils.after_import import call_after_import


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """Two packages: `watched.late` imports `ours.part`, which imports `watched.late` again."""
    for name, files in {
        "watched_x": {"__init__": "", "late": "import ours_x.part\nvalue = 1", "broken": "raise RuntimeError"},
        "ours_x": {"__init__": "", "part": "import watched_x.late\nvalue = 2"},
    }.items():
        (tmp_path / name).mkdir()
        for file, text in files.items():
            (tmp_path / name / f"{file}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] in ("watched_x", "ours_x")]:
        del sys.modules[name]


def finished() -> bool:
    """Return whether neither module is half imported."""
    return all(hasattr(sys.modules[name], "value") for name in ("watched_x.late", "ours_x.part"))


@pytest.mark.parametrize("first", ["watched_x.late", "ours_x.part"])
def test_the_function_is_called_once_when_nothing_is_half_imported(packages, first):
    before, calls = list(sys.meta_path), []
    call_after_import("watched_x.late", ("watched_x", "ours_x"), lambda: calls.append(finished()))
    importlib.import_module("watched_x")
    assert calls == []
    importlib.import_module(first)
    assert calls == [True] and sys.meta_path == before
    importlib.import_module("ours_x.part")
    assert calls == [True]


def test_a_module_that_is_loaded_already_calls_at_once(packages):
    importlib.import_module("watched_x.late")
    calls = []
    call_after_import("watched_x.late", ("watched_x",), lambda: calls.append(finished()))
    assert calls == [True]


def test_a_failing_import_stays_a_failing_import_and_is_not_the_last_chance(packages):
    calls = []
    call_after_import("watched_x.late", ("watched_x", "ours_x"), lambda: calls.append(finished()))
    with pytest.raises(RuntimeError):
        importlib.import_module("watched_x.broken")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("watched_x.absent")
    assert calls == []
    importlib.import_module("watched_x.late")
    assert calls == [True]


def test_two_watchers_are_both_called_and_a_second_one_for_the_same_takes_the_place_of_the_first(packages):
    calls = []
    call_after_import("watched_x.late", ("watched_x",), lambda: calls.append("old"))
    call_after_import("watched_x.late", ("watched_x",), lambda: calls.append("new"))
    call_after_import("watched_x.late", ("watched_x", "ours_x"), lambda: calls.append("other"))
    importlib.import_module("watched_x.late")
    assert sorted(calls) == ["new", "other"]


def test_threads_count_for_themselves(packages, tmp_path):
    (tmp_path / "ours_x" / "flag.py").write_text("set = False")
    (tmp_path / "ours_x" / "slow.py").write_text(
        "import time\nfrom ours_x import flag\nwhile not flag.set: time.sleep(0.01)"
    )
    calls = []
    call_after_import("watched_x.late", ("watched_x", "ours_x"), lambda: calls.append(finished()))
    flag = importlib.import_module("ours_x.flag")
    thread = threading.Thread(target=importlib.import_module, args=["ours_x.slow"])
    thread.start()
    importlib.import_module("watched_x.late")  # while the other thread is in the middle of an import
    assert calls == [True]
    flag.set = True
    thread.join()
