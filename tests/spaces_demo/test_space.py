import asyncio
import re
from types import SimpleNamespace

import pytest

from infinitedance.spaces_demo.asking import make_dances
from infinitedance.spaces_demo.limits import SpaceLimits

gradio_client = pytest.importorskip("gradio_client", reason="needs the extra `demo`")


@pytest.fixture(scope="module")
def space(tiny_pipeline_dir):
    from infinitedance.spaces_demo.space import running_space

    with running_space(tiny_pipeline_dir, limits=SpaceLimits(max_file_megabytes=2)) as (demo, url):
        yield demo, url


@pytest.fixture
def connect(space, tmp_path):
    """Return programs that each download to a folder of their own."""

    def client(name: str):
        return gradio_client.Client(space[1], verbose=False, download_files=tmp_path / name, analytics_enabled=False)

    return client


def test_a_program_gets_files_and_cards(connect, song):
    from infinitedance.motion.files import load_motion

    files, cards = connect("a").predict(
        song=gradio_client.handle_file(song),
        genre="waltz",
        seconds=2,
        seed=3,
        num_variants=2,
        formats=[".npz", ".bvh"],
        api_name="/dance",
    )
    names = [re.split(r"[\\/]", file)[-1] for file in files]
    assert names == ["my_song_waltz_3.bvh", "my_song_waltz_3.npz", "my_song_waltz_4.bvh", "my_song_waltz_4.npz"]
    assert load_motion(files[1]).provenance["seed"] == 3 and load_motion(files[1]).num_frames == 60
    assert [card["seed"] for card in cards] == [3, 4] and "slide_mm_per_frame" in cards[0]


def test_side_energy_and_ending_are_asked_of_models_that_control_them(
    controlled_pipeline_dir, space, song, connect, tmp_path
):
    from infinitedance.motion.files import load_motion
    from infinitedance.spaces_demo.space import running_space

    def controls(demo):
        labels = ("Side", "Energy", "Ending")
        components = [component["props"] for component in demo.get_config_file()["components"]]
        return {props["label"]: props for props in components if props.get("label") in labels}

    interactive = {label: props.get("interactive") for label, props in controls(space[0]).items()}
    assert interactive == {"Side": False, "Energy": False, "Ending": None}
    cases = [
        ({"side": "left", "energy": 0.8}, ("left", 0.8, "pose")),
        ({"ending": "fade"}, ("right", None, "fade")),
        ({"follows_loudness": False}, ("right", 0.5, "pose")),
    ]
    with running_space(controlled_pipeline_dir) as (demo, url):
        assert all(props.get("interactive") is not False for props in controls(demo).values())
        client = gradio_client.Client(url, verbose=False, download_files=tmp_path / "got", analytics_enabled=False)
        for asked, expected in cases:
            files, _ = client.predict(
                song=gradio_client.handle_file(song), seconds=2, formats=[".npz"], **asked, api_name="/dance"
            )
            told = load_motion(files[0]).provenance["asked"]
            assert (told["side"], told["energy"], told["ending"]) == expected
    with pytest.raises(gradio_client.exceptions.AppError, match="energy"):
        connect("a").predict(song=gradio_client.handle_file(song), seconds=2, energy=0.8, api_name="/dance")


def test_visitors_who_come_together_get_their_own_dances(connect, song):
    from infinitedance.motion.files import load_motion

    jobs = [
        connect(f"visitor_{seed}").submit(
            song=gradio_client.handle_file(song), seconds=2, seed=seed, formats=[".npz"], api_name="/dance"
        )
        for seed in (11, 12, 13)
    ]
    for seed, job in zip((11, 12, 13), jobs, strict=True):
        files, cards = job.result(timeout=60)
        assert load_motion(files[0]).provenance["seed"] == cards[0]["seed"] == seed


def test_wrong_requests_are_told_in_words(connect, song, tmp_path):
    client = connect("a")
    (tmp_path / "notes.wav").write_text("not a song")
    cases = [
        (
            {"song": gradio_client.handle_file(tmp_path / "notes.wav")},
            "notes.wav cannot be read as audio",
        ),
        ({"song": gradio_client.handle_file(song), "seconds": 600}, "120"),
        ({"song": gradio_client.handle_file(song), "seed": -4}, "seed|minimum|Value"),
        ({"song": gradio_client.handle_file(song), "genre": "polka"}, "polka|choices"),
        ({"song": None}, "Choose a song"),
    ]
    for arguments, told in cases:
        with pytest.raises(gradio_client.exceptions.AppError, match=told):
            client.predict(**arguments, api_name="/dance")


def test_no_file_of_the_server_can_be_asked_for(space, song):
    import httpx

    for path in (song, "/etc/hostname", f"{song.parent}/../{song.parent.name}/{song.name}"):
        file = {"path": str(path), "meta": {"_type": "gradio.FileData"}}
        request = {"data": [file, "any", 2, 0, 0, 2, 1, 0, [], None, True, 0.5, "pose", None, None, None, [".npz"]]}
        event = httpx.post(f"{space[1]}gradio_api/call/dance", json=request).json()
        answer = httpx.get(f"{space[1]}gradio_api/call/dance/{event['event_id']}", timeout=60).text
        assert "event: error" in answer and "as audio" not in answer
        assert httpx.get(f"{space[1]}gradio_api/file={path}").status_code in (403, 404)


def test_an_assistant_makes_converts_restores_and_measures_dances_over_mcp(space, song, tmp_path):
    """The protocol's own client, over HTTP, as an assistant speaks with the Space."""
    pytest.importorskip("mcp", reason="tools for assistants need the extra `mcp`")
    import httpx

    from infinitedance.motion.files import load_motion, read_motion

    demo, url = space

    def upload(path):
        with path.open("rb") as file:
            (kept,) = httpx.post(f"{url}gradio_api/upload", files={"files": (path.name, file)}).json()
        return f"{url}gradio_api/file={kept}"

    def fetch(result, suffix):
        assert not result.isError, result
        address = re.search(rf"'(http[^']*{re.escape(suffix)})'", result.content[0].text)[1]
        path = tmp_path / f"fetched{suffix}"
        path.write_bytes(httpx.get(address).content)
        return path

    async def talk(call):
        tools = {tool.name: tool for tool in (await call.list_tools()).tools}
        assert {"make_dance", "convert_motion", "restore_motion", "measure_motion"} == set(tools)
        for tool in tools.values():
            described = [each.get("description") for each in tool.inputSchema["properties"].values()]
            assert tool.description and all(described)
        assert tools["make_dance"].inputSchema["required"] == ["song"]

        made = await call.call_tool("make_dance", {"song": upload(song), "genre": "waltz", "seconds": 2, "seed": 3})
        assert not made.isError and "slide_mm_per_frame" in made.content[0].text
        dance = fetch(made, ".npz")
        assert load_motion(dance).provenance["seed"] == 3

        asked = {"motion": upload(dance), "output_format": ".bvh", "frame_rate": 60}
        converted = fetch(await call.call_tool("convert_motion", asked), ".bvh")
        assert read_motion(converted).frame_rate == 60
        measured = await call.call_tool("measure_motion", {"motion": upload(converted), "song": upload(song)})
        assert "'slide_mm_per_frame': " in measured.content[0].text and "'good': [" in measured.content[0].text
        restored = await call.call_tool("restore_motion", {"motion": upload(converted)})
        assert "'before': {'slide_mm'" in restored.content[0].text
        assert read_motion(fetch(restored, ".bvh")).num_frames == read_motion(converted).num_frames

        # The limits of the page hold: no file of the server, no address elsewhere, nothing beyond a limit.
        refused = [
            ("make_dance", {"song": f"{url}gradio_api/file=/etc/hostname"}, "not an address"),
            ("make_dance", {"song": f"{url}gradio_api/file={song}"}, "not an address"),
            ("measure_motion", {"motion": "http://192.0.2.1/dance.bvh"}, "not an address"),
            ("measure_motion", {"motion": "/etc/hostname"}, "url"),
            ("make_dance", {"song": upload(song), "seconds": 600}, "120"),
            ("convert_motion", {"motion": upload(song)}, "my song.wav"),
        ]
        for tool, arguments, told in refused:
            result = await call.call_tool(tool, arguments)
            assert result.isError and told in result.content[0].text, (tool, arguments, result)
            assert "/tmp" not in result.content[0].text.replace(arguments.get("motion", ""), "")

    async def connect():
        from mcp import ClientSession
        from mcp.client.streamable_http import streamable_http_client

        async with (
            streamable_http_client(f"{url}gradio_api/mcp/") as (reading, writing, _),
            ClientSession(reading, writing) as call,
        ):
            await call.initialize()
            await talk(call)

    asyncio.run(connect())
    large = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"x": "a" * 200_000}}
    assert httpx.post(f"{url}gradio_api/mcp/", json=large).status_code == 413


def test_a_file_that_is_too_large_is_refused_while_it_comes(connect, tmp_path):
    (tmp_path / "large.wav").write_bytes(bytes(3_000_000))
    with pytest.raises(Exception, match="maximum file size"):
        connect("a").predict(song=gradio_client.handle_file(tmp_path / "large.wav"), api_name="/dance")


def test_work_cannot_go_past_the_queue(space):
    import httpx

    queued = {index: function for index, function in space[0].fns.items() if function.queue}
    assert len(queued) >= 6
    for index, function in queued.items():
        body = {"data": [None] * len(function.inputs), "fn_index": index, "session_hash": "a"}
        answer = httpx.post(f"{space[1]}gradio_api/run/predict", json=body)
        assert answer.status_code == 404 and "join the queue" in answer.text


def test_a_song_by_its_address_is_refused_and_not_fetched(space, song):
    import gradio

    (component,) = (block for block in space[0].blocks.values() if isinstance(block, gradio.Audio))
    for scheme in ("http", "HTTP", "https", "ftp", "file"):
        with pytest.raises(gradio.Error, match="not an address"):
            asyncio.run(component.async_move_resource_to_block_cache(f"{scheme}://127.0.0.1/song.wav"))
    assert asyncio.run(component.async_move_resource_to_block_cache(str(song)))


def test_each_visitor_has_a_share_of_room_and_work(tiny_pipeline_dir, song):
    import httpx

    from infinitedance.spaces_demo.space import running_space

    limits = SpaceLimits(max_visitor_files=3, max_visitor_jobs=0, max_file_megabytes=1)
    with running_space(tiny_pipeline_dir, limits=limits) as (_, url):

        def upload(*contents: bytes):
            files = [("files", (f"{number}.wav", content)) for number, content in enumerate(contents)]
            return httpx.post(f"{url}gradio_api/upload", files=files)

        assert upload(b'a filename="b"; Filename*=c' + b"filename" * 9).status_code == 200
        many = upload(*[b"a"] * 500)
        assert many.status_code == 413 and many.text == "One file at a time."
        fields = (
            b'--x\r\nContent-Disposition: form-data; name="files"; FileName="a.wav"\r\n\r\na\r\n' * 3 + b"--x--\r\n"
        )
        kind = {"Content-Type": "multipart/form-data; boundary=x"}
        assert httpx.post(f"{url}gradio_api/upload", content=fields, headers=kind).text == "One file at a time."
        large = upload(bytes(1_200_000))
        assert large.status_code == 413 and "maximum file size of 1 MB" in large.text
        assert [upload(b"a").status_code for _ in range(3)] == [200, 200, 429]
        joined = httpx.post(f"{url}gradio_api/queue/join", json={"data": [], "fn_index": 0, "session_hash": "a"})
        assert joined.status_code == 429 and "not done yet" in joined.text
        endless = httpx.post(f"{url}gradio_api/run/show", json={"data": ["a" * 200_000]})
        assert endless.status_code in (400, 413)  # FastAPI makes the first of it


def test_a_port_that_is_taken_is_told_before_the_model_is_loaded(space, monkeypatch):
    from infinitedance.spaces_demo import space as module

    monkeypatch.setattr(module, "load_pipeline", lambda *_: pytest.fail("the model was loaded"))
    port = int(re.search(r":(\d+)/", space[1])[1])
    for options, told in (({"server_port": port}, f":{port}"), ({"server_name": "192.0.2.1"}, "192.0.2.1")):
        with pytest.raises(OSError, match=f"Cannot serve at .*{told}"), module.running_space(**options):
            pass


def test_the_page_has_a_label_for_every_control(space):
    labeled = [
        component["props"]
        for component in space[0].get_config_file()["components"]
        if component["type"] in ("audio", "dropdown", "slider", "number", "radio")
    ]
    assert len(labeled) == 19 and all(props["label"] for props in labeled)
    references = next(props for props in labeled if props["label"] == "Reference dances")
    assert not references["interactive"] and "infinitedance index" in references["info"]


def test_nothing_is_left_when_the_space_ends(tiny_pipeline_dir, song, tmp_path):
    import os
    from pathlib import Path

    from infinitedance.spaces_demo.space import running_space

    before = os.environ.get("GRADIO_TEMP_DIR")
    with running_space(tiny_pipeline_dir) as (_, url):
        root = Path(os.environ["GRADIO_TEMP_DIR"])
        client = gradio_client.Client(url, verbose=False, download_files=tmp_path / "got", analytics_enabled=False)
        client.predict(song=gradio_client.handle_file(song), seconds=2, formats=[".npz"], api_name="/dance")
        assert [path for path in root.rglob("*.npz")] and [path for path in root.rglob("*.wav")]
    assert not root.exists() and os.environ.get("GRADIO_TEMP_DIR") == before


@pytest.mark.parametrize(("num_references", "pinned", "asked"), [(1, [], None), (1, ["a"], 1), (0, [], 0), (2, [], 2)])
def test_references_that_nobody_chose_are_left_to_the_model(num_references, pinned, asked):
    """A style of an adapter dances without, where the library has none of it; asked for, that is an error."""
    requests = []
    studio = SimpleNamespace(
        pipeline=SimpleNamespace(default_num_references=1),
        make=lambda song, request, on_step: requests.append(request),
    )
    values = {"song": "song.wav", "genre": "mine", "follows_loudness": True, "energy": 0.5}
    values |= {"start_seconds": 0, "seed": 0, "num_references": num_references, "pinned_references": pinned}
    make_dances(studio, values, lambda step: None)
    assert [request.num_references for request in requests] == [asked]
