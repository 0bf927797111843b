"""Headless Chromium, started once; the tests are skipped with a reason where it is absent."""

import importlib.util
import runpy
import shutil

import pytest


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent.name == "browser":
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def sync_benchmark(repository_root) -> dict:
    return runpy.run_path(str(repository_root / "benchmarks" / "viewer_sync.py"))


@pytest.fixture(scope="session")
def chromium(sync_benchmark):
    missing = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    if importlib.util.find_spec("selenium") is None:
        missing.append("the Python package selenium")
    if missing:
        pytest.skip(f"browser: {', '.join(missing)} not found; `make test-browser` installs them")
    driver = sync_benchmark["start_chromium"]()
    yield driver
    driver.quit()
