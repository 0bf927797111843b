"""The written folder starts as Hugging Face starts it, with the versions that it has, and dances."""

import json
import os
import re
import subprocess
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from huggingface_hub import SpaceCard

from infinitedance.assets import DEMO_SONG
from infinitedance.motion.files import load_motion
from infinitedance.spaces_demo.deployment import write_space

CLIENT = """
import json, sys
from gradio_client import Client, handle_file
client = Client(sys.argv[1], verbose=False, download_files=sys.argv[3], analytics_enabled=False)
files, cards = client.predict(
    song=handle_file(sys.argv[2]), genre="pop", seconds=6, formats=[".npz", ".mp4", ".glb"], api_name="/dance"
)
print(json.dumps(files))
"""


@pytest.fixture(scope="module")
def folder(wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hosted") / "app"
    write_space(folder, wheel=wheel)
    return folder


@pytest.fixture(scope="module", params=["2.8.*", "2.11.*"])
def python(request, folder, tmp_path_factory, uv, python_of_version):
    """Install what Hugging Face installs: the requirements with the SDK of the card and the package `spaces`."""
    card = SpaceCard.load(folder / "README.md").data
    place = tmp_path_factory.mktemp("environment") / "python"
    made = uv("venv", "--python", python_of_version(card.python_version), place)
    if made.returncode != 0:
        pytest.skip(f"hosted: no Python {card.python_version}: {made.stderr.strip().splitlines()[-1]}")
    torch = f"torch=={request.param}"
    served = uv("pip", "install", "--dry-run", "--python", place, torch)
    if served.returncode != 0:
        pytest.skip(f"hosted: no {torch}: {served.stderr.strip().splitlines()[-1]}")
    sdk = [f"gradio[oauth,mcp]=={card.sdk_version}", "uvicorn>=0.14.0", "websockets>=10.4", "spaces"]
    installed = uv("pip", "install", "--python", place, "-r", folder / "requirements.txt", *sdk, torch)
    assert installed.returncode == 0, installed.stderr
    return place / "bin" / "python"


@pytest.fixture
def zero_gpu():
    """Yield the address of what ZeroGPU reports to, and the paths that were asked for."""
    asked = []

    class Device(BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Device)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()


@pytest.mark.parametrize("hardware", ["cpu-basic", "zero-a10g"])
def test_the_space_starts_as_hugging_face_starts_it_and_dances(hardware, python, folder, zero_gpu, tmp_path):
    address, asked = zero_gpu
    environment = {
        "PATH": os.pathsep.join([str(python.parent), "/usr/bin", "/bin"]),
        "HOME": str(tmp_path),
        "SYSTEM": "spaces",
        "SPACE_ID": "user/infinitedance",
        "SPACE_HOST": "user-infinitedance.hf.space",
        "SPACE_AUTHOR_NAME": "user",
        "SPACE_REPO_NAME": "infinitedance",
        "GRADIO_SERVER_NAME": "0.0.0.0",
        "GRADIO_NUM_PORTS": "100",  # Hugging Face takes 7860 alone, which another program may have here
        "HF_HUB_OFFLINE": "1",
        "PYTHONUNBUFFERED": "1",
    }
    if hardware == "zero-a10g":
        environment |= {"SPACES_ZERO_GPU": "true", "SPACES_ZERO_DEVICE_API_URL": address}
    log = tmp_path / "log.txt"
    with log.open("w") as output:
        server = subprocess.Popen([python, "app.py"], cwd=folder, env=environment, stdout=output, stderr=output)
    try:
        url = address_in(log, server)
        with urllib.request.urlopen(url) as answer:
            assert answer.status == 200
        words = [python, "-c", CLIENT, url, DEMO_SONG, tmp_path / "got"]
        client = subprocess.run(words, capture_output=True, text=True, env=environment)
        assert client.returncode == 0, client.stderr[-3000:] + log.read_text()[-3000:]
        files = json.loads(client.stdout.splitlines()[-1])
        assert [re.sub(r".*\.", ".", file) for file in files] == [".mp4", ".glb", ".npz"]
        assert load_motion(files[2]).num_frames == 180
        # ZeroGPU stops a Space that reports nothing. Nothing else is asked for: no visitor's minutes are used.
        assert asked == (["/startup-report"] if hardware == "zero-a10g" else [])
    finally:
        server.terminate()
        server.wait(30)
    assert server.returncode == 0


def address_in(log, server) -> str:
    for _ in range(600):
        if found := re.search(r"http://\S+:\d+", log.read_text()):
            return found[0]
        assert server.poll() is None, log.read_text()
        time.sleep(1)
    raise AssertionError(log.read_text())
