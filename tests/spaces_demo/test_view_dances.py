import json
import re
import socket
import struct
from http.client import HTTPConnection
from threading import Thread

import numpy as np
import pytest
import soundfile

from infinitedance.cli import main
from infinitedance.motion.files import save_motion
from infinitedance.motion.motion import Motion
from infinitedance.spaces_demo.view_dances import make_server, read_show


@pytest.fixture
def dance(tmp_path, clicks):
    """A still dancer whose file names a song, and the song beside it."""
    soundfile.write(tmp_path / "song.wav", clicks, 24_000)
    rotations = np.zeros((60, 22, 4))
    rotations[..., 0] = 1
    root = np.tile([0.0, 0.98, 0.0], (60, 1))
    save_motion(Motion(30.0, root, rotations, provenance={"song": "song.wav"}), tmp_path / "dance.npz")
    return tmp_path / "dance.npz"


@pytest.fixture
def connection(dance):
    with make_server(read_show([dance])) as server:
        Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        connection = HTTPConnection("127.0.0.1", server.server_port, timeout=5)
        yield connection
        connection.close()
        server.shutdown()


def get(connection, path, **headers):
    connection.request("GET", path, headers={name.capitalize(): value for name, value in headers.items()})
    response = connection.getresponse()
    return response, response.read()


def test_the_song_beside_the_dance_is_found_and_its_beats_are_marked(dance):
    show = read_show([dance])
    assert show.song == dance.parent / "song.wav"
    beats = np.array(show.dances[0]["beat_times_seconds"])
    assert len(beats) > 2 and set(show.dances[0]["downbeat_times_seconds"]) < set(beats)


def test_a_song_outside_the_folder_of_the_dance_is_not_looked_for(dance):
    for name in ("../song.wav", str(dance.parent / "song.wav"), "dance.npz", 3):
        motion = Motion(30.0, np.zeros((1, 3)), np.eye(1, 4)[None].repeat(22, 1), provenance={"song": name})
        (dance.parent / "sub").mkdir(exist_ok=True)
        save_motion(motion, dance.parent / "sub" / "other.npz")
        assert read_show([dance.parent / "sub" / "other.npz"]).song is None


def test_the_page_and_the_song_are_served_and_the_song_in_parts(connection, dance):
    response, page = get(connection, "/")
    assert response.status == 200 and b"InfiniteDanceViewer" in page
    content = json.loads(re.search(r'id="content">(.*?)</script>', page.decode())[1])
    song = dance.with_name("song.wav").read_bytes()
    response, body = get(connection, content["audioUrl"])
    assert response.status == 200 and body == song and response.headers["Content-Type"] == "audio/wav"
    cases = {"bytes=10-19": song[10:20], "bytes=100-": song[100:], "bytes=-7": song[-7:]}
    for wanted, expected in cases.items():
        response, body = get(connection, content["audioUrl"], range=wanted)
        assert response.status == 206 and body == expected
    assert response.headers["Content-Range"] == f"bytes {len(song) - 7}-{len(song) - 1}/{len(song)}"
    assert get(connection, content["audioUrl"], range=f"bytes={len(song)}-")[0].status == 416
    for passed_over in ("bytes=9-3", "bytes=0-1,5-9", "bytes=-", "chunks=1-2", f"bytes={'9' * 5000}-"):
        response, body = get(connection, content["audioUrl"], range=passed_over)
        assert response.status == 200 and body == song and "Content-Range" not in response.headers


@pytest.mark.parametrize(
    "path",
    ["/dance.npz", "/song/../dance.npz", "/song/", "/song?name=dance.npz", "/../../etc/hosts", "/%2e%2e/dance.npz"],
)
def test_no_other_file_is_served(connection, path):
    assert get(connection, path)[0].status == 404


@pytest.mark.parametrize("path", ["/", "/song"])
def test_who_asks_for_the_head_gets_no_body(connection, path):
    connection.request("HEAD", path)
    response = connection.getresponse()
    assert response.status == 200 and int(response.headers["Content-Length"]) > 1000 and response.read() == b""


def test_a_browser_that_hangs_up_is_no_error(connection, capfd):
    for request in (b"GET / HTTP/1.1\r\n", f"GET / HTTP/1.1\r\nHost: localhost:{connection.port}\r\n\r\n".encode()):
        with socket.create_connection((connection.host, connection.port)) as client:
            client.sendall(request)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # no farewell
    assert get(connection, "/")[0].status == 200
    assert capfd.readouterr().err == ""


def test_a_name_that_points_here_from_elsewhere_is_refused(connection):
    assert get(connection, "/", host="dance.example:80")[0].status == 403


def test_the_command_writes_one_page(dance, tmp_path, capsys):
    output = tmp_path / "out.html"
    assert main(["view", str(dance), str(dance), "--html", str(output)]) == 0
    assert capsys.readouterr().out.splitlines()[0].endswith("song.wav")
    assert output.read_text().count('"frame_rate": 30.0') == 2
    cases = [
        (["view", str(tmp_path / "missing.npz")], "missing.npz"),
        (["view", str(dance), "--audio", str(tmp_path / "missing.wav")], "missing.wav"),
        (["view", str(dance), "--audio", str(dance)], "Browsers play songs that end in"),
        (["view", str(dance), "--html", str(tmp_path / "out.txt")], "named .html"),
    ]
    for command, fragment in cases:
        assert main(command) == 2
        assert fragment in capsys.readouterr().err
