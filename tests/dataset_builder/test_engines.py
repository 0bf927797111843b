"""Where tasks run."""

import pytest

from infinitedance.dataset_builder.engines import run_tasks


def test_a_ray_that_does_not_start_is_told(monkeypatch):
    ray = pytest.importorskip("ray", reason="the extra `scale` is not installed")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)

    def fail(*_, **__):
        raise Exception("The current node timed out during startup.")

    monkeypatch.setattr(ray, "init", fail)
    with pytest.raises(ChildProcessError, match="Ray did not start: The current node timed out .* Run the same"):
        list(run_tasks(str, [1, 2], num_workers=2, engine="ray"))
