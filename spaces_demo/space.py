"""The Gradio Space: its page, its API endpoint, its queue, and its start."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from ..assets import DEFAULT_MODEL, DEMO_GENRE, DEMO_SONG
from ..utils.extras import require_extra
from .appearance import CSS, HEADER, make_theme, notes
from .evaluation_card import card_html
from .limits import SpaceLimits
from .studio import DOWNLOADS, MAX_SEED, DanceRequest, DanceSet, Studio, load_pipeline
from .viewer_component import downloads_value, make_downloads, make_viewer, viewer_value
from .visitor_files import VisitorFiles
from .visitor_limits import VisitorLimits, count_jobs_in, refuse_addresses

ANY_GENRE = "any"
USUAL_ENERGY = 0.5


def build_demo(studio: Studio) -> Any:
    """Return the page as `gradio.Blocks`, with its queue.

    Args:
        studio: Makes the dances.
    """
    import gradio as gr

    limits = studio.limits
    with gr.Blocks(title="InfiniteDance", analytics_enabled=False) as demo:
        gr.HTML(HEADER)
        dances = gr.State(None, time_to_live=60 * limits.keep_minutes)
        with gr.Row(elem_id="columns"):
            with gr.Column(scale=4, min_width=300, elem_id="inputs"):
                inputs = _make_inputs(studio)
                start = gr.Button("Make a dance", variant="primary", size="lg", elem_id="start")
            with gr.Column(scale=7, min_width=300, elem_id="results"):
                viewer = make_viewer()
                with gr.Row(visible=False) as chooser:
                    shown = gr.Radio([], label="Show", elem_id="shown")
                    beside = gr.Radio([], label="Beside it", elem_id="beside")
                downloads = make_downloads()
                card = gr.HTML(elem_id="card")
        gr.HTML(notes(limits, studio.pipeline.license))

        def make(*values: Any, progress: Any = gr.Progress()) -> list[Any]:  # noqa: B008
            made = _make(studio, dict(zip(inputs, values, strict=True)), progress)
            names = [(f"Seed {variant.seed}", index) for index, variant in enumerate(made.variants)]
            return [
                made,
                gr.Row(visible=len(names) > 1),
                gr.Radio(choices=names, value=0),
                gr.Radio(choices=[("Nothing", -1), *names], value=-1),
            ]

        def show(made: DanceSet | None, index: int, other: int) -> list[Any]:
            variant = _checked(made, index, other).variants[index]
            indices = [index] if other in (-1, index) else [index, other]
            return [_told(viewer_value, made, indices), card_html(variant.card, f"How seed {variant.seed} dances")]

        def write(made: DanceSet | None, index: int) -> dict[str, Any]:
            return downloads_value(
                _told(studio.write, _checked(made, index), index, [each for each in DOWNLOADS if each != ".mp4"])
            )

        def draw(made: DanceSet | None, index: int) -> dict[str, Any]:
            return downloads_value(_told(studio.write, _checked(made, index), index, list(DOWNLOADS)))

        # One piece of work at a time: two would only take turns on the processor and hold twice the memory.
        work: dict[str, Any] = {"concurrency_id": "work", "concurrency_limit": 1, "api_visibility": "private"}
        quick: dict[str, Any] = {"queue": False, "api_visibility": "private", "show_progress": "hidden"}
        made = start.click(
            make, list(inputs.values()), [dances, chooser, shown, beside], show_progress_on=viewer, **work
        )
        chosen = [dances, shown, beside]
        for event in (made.success, shown.input, beside.input):
            event(show, chosen, [viewer, card], **quick)
        for event in (made.success, shown.input):
            event(write, [dances, shown], downloads, show_progress="hidden", **work).success(
                draw, [dances, shown], downloads, show_progress="hidden", **work
            )
        _add_endpoint(studio, inputs)
    return demo.queue(max_size=limits.max_queue, api_open=False)


def _make_inputs(studio: Studio) -> dict[str, Any]:
    """Return the controls by the names of the endpoint's arguments."""
    import gradio as gr

    limits = studio.limits
    song = gr.Audio(
        label="Song", sources=["upload", "microphone"], type="filepath", elem_id="song", buttons=[], editable=False
    )
    refuse_addresses(song)
    example = gr.Button("Use the example song", size="sm", elem_id="example")
    genre = gr.Dropdown(
        [(each[:1].upper() + each[1:], each) for each in (ANY_GENRE, *studio.pipeline.genres)],
        value=ANY_GENRE,
        label="Genre",
        elem_id="genre",
    )
    seconds = gr.Slider(
        2, limits.max_dance_seconds, 30, step=1, label="Length in seconds", info="Less where the song ends."
    )
    with gr.Accordion("More options", open=False, elem_id="more"):
        start_seconds = gr.Number(0, label="Start of the dance in the song, seconds", minimum=0)
        seed = gr.Number(
            0, label="Seed", info="Another seed, another dance.", precision=0, minimum=0, maximum=MAX_SEED
        )
        guidance_scale = gr.Slider(
            0,
            limits.max_guidance_scale,
            studio.pipeline.model.generation_config.guidance_scale,
            step=0.1,
            label="Guidance",
            info="How closely the dance follows music and genre: 1 as learned, more is stricter.",
        )
        num_variants = gr.Slider(
            1, limits.max_variants, 1, step=1, label="Variants", info="Dances to compare, with one seed after another."
        )
        config = studio.pipeline.model.config
        side = gr.Radio(
            [("Right", "right"), ("Left", "left")],
            value="right" if config.controls_side else None,
            label="Side",
            info="Right as it is usually danced, left its mirror image."
            if config.controls_side
            else "This model takes no side.",
            interactive=config.controls_side,
        )
        follows_loudness = gr.Checkbox(
            True, label="Energy follows the loudness of the song", visible=config.controls_energy
        )
        energy = gr.Slider(
            0,
            1,
            USUAL_ENERGY,
            step=0.05,
            label="Energy",
            info="Else this much: 0 is rest, 0.5 the usual speed, 1 twice that."
            if config.controls_energy
            else "This model takes no energy.",
            interactive=config.controls_energy,
        )
        ending = gr.Radio(
            [("Pose on the last downbeat", "pose"), ("Come to rest", "fade"), ("Dance to the end", "none")],
            value="pose",
            label="Ending",
        )
        has_references = not studio.no_references
        num_references = gr.Slider(
            0,
            max(1, config.max_references),
            studio.pipeline.default_num_references,
            step=1,
            label="Reference dances",
            info=studio.no_references
            or "Dances of the library, found by the music, that guide the dance at any moment.",
            interactive=has_references,
        )
        pinned_references = gr.Dropdown(
            studio.reference_names,
            value=[],
            multiselect=True,
            label="Pinned references",
            info="Used from start to end; they count among the reference dances.",
            interactive=has_references,
            visible=has_references,
        )
    quick: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    energy.input(lambda: False, None, follows_loudness, **quick)
    follows_loudness.input(lambda: USUAL_ENERGY, None, energy, **quick)
    example.click(
        lambda: [str(DEMO_SONG), DEMO_GENRE if DEMO_GENRE in studio.pipeline.genres else ANY_GENRE],
        None,
        [song, genre],
        **quick,
    )
    return {
        "song": song,
        "genre": genre,
        "seconds": seconds,
        "start_seconds": start_seconds,
        "seed": seed,
        "guidance_scale": guidance_scale,
        "num_variants": num_variants,
        "num_references": num_references,
        "pinned_references": pinned_references,
        "side": side,
        "follows_loudness": follows_loudness,
        "energy": energy,
        "ending": ending,
    }


def _add_endpoint(studio: Studio, inputs: dict[str, Any]) -> None:
    """Add `/dance` for programs: files and cards instead of a page."""
    import gradio as gr

    formats = gr.CheckboxGroup(list(DOWNLOADS), value=[".glb", ".npz"], label="Formats", visible=False)
    files = gr.Files(label="Files", visible=False)
    report = gr.JSON(label="Evaluation cards", visible=False)

    def dance(
        song: str,
        genre: str = ANY_GENRE,
        seconds: float = 30,
        start_seconds: float = 0,
        seed: int = 0,
        guidance_scale: float | None = None,
        num_variants: int = 1,
        num_references: int | None = None,
        pinned_references: list[str] | None = None,
        side: str | None = None,
        follows_loudness: bool = True,
        energy: float = USUAL_ENERGY,
        ending: str = "pose",
        formats: list[str] | None = None,
        progress: Any = gr.Progress(),  # noqa: B008
    ) -> tuple[list[str], list[dict[str, Any]]]:
        """Make dances to a song; return their files, and the evaluation card of each."""
        values = {
            "song": song,
            "genre": genre,
            "seconds": seconds,
            "start_seconds": start_seconds,
            "seed": seed,
            "guidance_scale": guidance_scale,
            "num_variants": num_variants,
            "num_references": num_references,
            "pinned_references": pinned_references or [],
            "side": side,
            "follows_loudness": follows_loudness,
            "energy": energy,
            "ending": ending,
        }
        made = _make(studio, values, progress)
        paths: list[str] = []
        for index in range(len(made.variants)):
            paths += map(str, _told(studio.write, made, index, formats or []).values())
        return paths, [{"seed": variant.seed, **variant.card} for variant in made.variants]

    gr.Button(visible=False).click(
        dance,
        [*inputs.values(), formats],
        [files, report],
        api_name="dance",
        concurrency_id="work",
        concurrency_limit=1,
    )


def _make(studio: Studio, values: dict[str, Any], progress: Any) -> DanceSet:
    import gradio as gr

    song = values.pop("song")
    if not song:
        raise gr.Error(
            "Choose a song first, record one, or use the example.",
            title="No song",
            duration=None,
            print_exception=False,
        )
    if values["genre"] == ANY_GENRE:
        values["genre"] = None
    if values["num_references"] == studio.pipeline.default_num_references and not values["pinned_references"]:
        values["num_references"] = None  # untouched: a style without dances in the library dances without
    if values.pop("follows_loudness") and values["energy"] == USUAL_ENERGY:
        values["energy"] = None
    request = DanceRequest(**values)
    return _told(studio.make, Path(song), request, lambda stage, share: progress(share, desc=stage))


def _checked(made: DanceSet | None, *indices: int) -> DanceSet:
    """Return the visitor's dances, or say that there are none: the page asks for those only that it shows."""
    import gradio as gr

    if made is None or not all(index in range(-1, len(made.variants)) for index in indices):
        raise gr.Error("Make a dance first.", title="No dance", duration=None, print_exception=False)
    return made


def _told(function: Any, *arguments: Any) -> Any:
    """Call a function; report what the visitor did wrong."""
    import gradio as gr

    try:
        return function(*arguments)
    except (ValueError, FileNotFoundError) as error:
        raise gr.Error(str(error), title="That did not work", duration=None, print_exception=False) from error


def check_address(server_name: str, server_port: int | None) -> None:
    """Raise `OSError` unless a server can be started there; before a model is loaded."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            server_name, server_port or 0, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        place = server_name if server_port is None else f"{server_name}:{server_port}"
        raise OSError(f"Cannot serve at {place}: {error.strerror or error}. Give another port or address.") from error


def claim_zero_gpu() -> None:
    """Name a function for a GPU on ZeroGPU, which stops a Space that has none when it starts.

    It is never called: dances are made on the processor there too. The models take two cores a fraction of the length
    of a song, and a GPU would be taken from the minutes that each visitor has of it in a day.
    """
    if os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true"):  # as the package `spaces` reads it
        import spaces

        spaces.GPU(_needs_a_gpu, duration=1)


def _needs_a_gpu() -> None:
    """Do nothing: no work of the Space needs a GPU."""


@contextmanager
def running_space(
    model: str | Path = DEFAULT_MODEL,
    references: Path | None = None,
    adapter: Mapping[Path, float] | None = None,
    *,
    limits: SpaceLimits | None = None,
    server_name: str | None = None,
    server_port: int | None = None,
    opens_browser: bool = False,
) -> Iterator[tuple[Any, str]]:
    """Start a Space; yield its `gradio.Blocks` and its address; at its end nothing of a visitor is left.

    Args:
        model: As in `MusicToDancePipeline.from_pretrained`.
        references: Library of reference dances; by default that of the model, if there is one.
        adapter: As in `MusicToDancePipeline.from_pretrained`.
        limits: What each visitor may cost; those of `SpaceLimits` if not given.
        server_name: Address to serve at; `"0.0.0.0"` lets other machines in. By default this machine only, or what the
            environment of a host says to Gradio.
        server_port: A free one from 7860 on if not given.
        opens_browser: Open the page in the default browser.

    Raises:
        ImportError: If the extra `demo` is not installed.
        FileNotFoundError: If there is no such model or library.
        OSError: If another program serves at the port, or the address is not of this machine.
    """
    require_extra("gradio", "demo", "The Space")
    check_address(server_name or os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"), server_port)
    limits = limits or SpaceLimits()
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    from starlette.middleware import Middleware

    claim_zero_gpu()
    with VisitorFiles.temporary(60 * limits.keep_minutes) as files:
        before = os.environ.get("GRADIO_TEMP_DIR")
        os.environ["GRADIO_TEMP_DIR"] = str(files.root)  # uploads and downloads, swept with the rest
        pipeline, no_references = load_pipeline(model, references, adapter)
        demo = build_demo(Studio(pipeline, files, limits, no_references))
        try:
            _, url, _ = demo.launch(
                server_name=server_name,
                server_port=server_port,
                inbrowser=opens_browser,
                prevent_thread_lock=True,
                quiet=True,
                max_file_size=f"{limits.max_file_megabytes}mb",
                state_session_capacity=1000,
                ssr_mode=False,
                allowed_paths=[str(DEMO_SONG)],  # Gradio copies files of the working directory only without this
                footer_links=["api"],
                theme=make_theme(),
                css=CSS,
                app_kwargs={
                    "middleware": [Middleware(VisitorLimits, limits, files, partial(count_jobs_in, demo))],
                },
            )
            yield demo, url
        finally:
            demo.close(verbose=False)
            if before is None:
                del os.environ["GRADIO_TEMP_DIR"]
            else:
                os.environ["GRADIO_TEMP_DIR"] = before


def launch(
    model: str | Path = DEFAULT_MODEL,
    references: Path | None = None,
    adapter: Mapping[Path, float] | None = None,
    **options: Any,
) -> None:
    """Start a Space and serve it until Ctrl-C or SIGTERM.

    Args:
        model: As `running_space`, like all that follows.
        references: See `running_space`.
        adapter: See `running_space`.
        **options: See `running_space`.
    """
    # Whoever ends a server so leaves no visitor's files behind either.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with running_space(model, references, adapter, **options) as (demo, url):
        print(f"{url}  (Ctrl-C ends)", flush=True)
        demo.block_thread()
