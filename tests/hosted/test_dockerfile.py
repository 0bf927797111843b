"""The steps of the Dockerfile install the page, and its command serves it; without Docker."""

import fnmatch
import os
import shutil
import socket
import subprocess
import sys
import time

import pytest


@pytest.fixture(scope="module")
def place(repository_root, dockerfile, tmp_path_factory, uv, python_of_version):
    """Run the steps in a folder in the place of `/app`.

    With the registry's build of torch: that for processors has a registry of its own, which not every machine reaches.
    """
    place = tmp_path_factory.mktemp("docker")
    ignored = (repository_root / ".dockerignore").read_text().split()
    for path in repository_root.iterdir():
        if not any(fnmatch.fnmatch(path.name, pattern) for pattern in ignored):
            if path.is_dir():
                shutil.copytree(path, place / "source" / path.name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                (place / "source").mkdir(exist_ok=True)
                shutil.copyfile(path, place / "source" / path.name)
    version = dockerfile["FROM"][0].split(":")[1].split("-")[0]
    python = uv("python", "find", "--no-project", python_of_version(version))
    if python.returncode != 0:
        pytest.skip(f"hosted: no Python {version}: {python.stderr.strip().splitlines()[-1]}")
    (place / "python").mkdir()
    (place / "python" / "python").symlink_to(python.stdout.strip())
    environment = {**os.environ, "PATH": f"{place / 'python'}{os.pathsep}{os.environ['PATH']}"}
    for step in dockerfile["RUN"]:
        if step.startswith("useradd "):
            continue
        run = subprocess.run(["sh", "-c", step], cwd=place, env=environment, capture_output=True, text=True)
        assert run.returncode == 0, f"{step}\n{run.stderr[-3000:]}"
    return place


def test_the_command_of_the_image_serves_a_healthy_page(place, dockerfile, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    environment = {"PATH": f"{place / 'venv/bin'}{os.pathsep}/usr/bin:/bin", "HOME": str(tmp_path)}
    command, health = ([word.replace("7860", port) for word in dockerfile[name]] for name in ("CMD", "HEALTHCHECK"))

    def is_healthy():
        return subprocess.run(health, cwd=tmp_path, env=environment, capture_output=True).returncode == 0

    assert not is_healthy()
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=sys.stderr) as server:
        try:
            for _ in range(60):
                time.sleep(2)
                if is_healthy():
                    break
                assert server.poll() is None
            else:
                raise AssertionError("the page is not healthy after two minutes")
        finally:
            server.terminate()  # as `docker stop` does
            assert server.wait(30) == 0
