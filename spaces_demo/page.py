"""The page of the Space: what stands on it, and what its controls do.

It is imported where the extra `demo` is known to be installed: Gradio finds what handlers need by their annotations.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import gradio as gr

from ..assets import DEMO_SONG
from .appearance import HEADER, notes
from .asking import ANY_GENRE, USUAL_ENERGY, make_dances, new_seed, request_of
from .components import (
    downloads_value,
    gallery_value,
    make_downloads,
    make_gallery,
    make_problem,
    make_song_editor,
    make_viewer,
    named,
    song_editor_value,
    viewer_value,
)
from .evaluation_card import card_html
from .pace import Step
from .studio import DOWNLOADS, Studio
from .tools import add_tools
from .visit import MAX_DANCES, Kept, Visit
from .visitor_limits import refuse_addresses

_COPY_LINK = """() => {
  const copy = (text) => navigator.clipboard ? navigator.clipboard.writeText(text) : prompt("Copy this link:", text);
  copy(location.href);
  return "Link copied";
}"""
_SHOW_STAGE = """() => {
  const stage = document.querySelector("#stage");
  const { top, bottom } = stage.getBoundingClientRect();
  if (top < 0 || bottom > innerHeight + 120) stage.scrollIntoView({ behavior: "smooth", block: "start" });
}"""


class CancelledError(Exception):
    """End of a piece of work whose visitor no longer wants it."""


def build_demo(studio: Studio) -> Any:
    """Return the page as `gradio.Blocks`, with its queue.

    Args:
        studio: Makes the dances.
    """
    limits = studio.limits
    with gr.Blocks(title="InfiniteDance", analytics_enabled=False) as demo:
        gr.HTML(HEADER)
        page = _Page(studio)
        gr.HTML(notes(limits, studio.pipeline.license))
        page.listen_to_controls(demo)
        add_tools(studio, page.inputs)
    return demo.queue(max_size=limits.max_queue, api_open=False)


class _Page:
    """The components of the page and their handlers, which all take and return the visit.

    Args:
        studio: Makes the dances.
    """

    def __init__(self, studio: Studio):
        self.studio = studio
        self.stops: dict[str | None, Event] = {}  # of the newest work of each session
        keep_seconds = 60 * studio.limits.keep_minutes
        self.visit = gr.State(Visit(), time_to_live=keep_seconds)
        self.links = gr.BrowserState([], storage_key="infinitedance")
        self.problems: dict[str, Any] = {}
        with gr.Row(elem_id="columns"):
            # In the order of the keyboard; the style sheet puts the options below both columns.
            with gr.Column(elem_id="inputs"):
                inputs = self._make_song_inputs()
            with gr.Column(elem_id="options"):
                inputs |= self._make_options()
            with gr.Column(elem_id="making"):
                self.problems["request"] = make_problem("request")
                self.start = gr.Button("Make a dance", variant="primary", size="lg", elem_id="start")
            with gr.Column(elem_id="results"):
                with gr.Column(elem_id="stage-box"):
                    self.viewer = make_viewer()
                    self.cancel = gr.Button("Cancel", size="sm", visible=False, elem_id="cancel")
                with gr.Row(visible=False, elem_id="actions") as self.actions:
                    self.another = gr.Button("Another one", variant="primary", elem_id="another")
                    self.link = gr.Button("Copy link", elem_id="link")
                    self.take = gr.Button("Take it home", elem_id="take")
        self.inputs = inputs
        self.card = gr.HTML(elem_id="card", visible=False)
        self.gallery = make_gallery()
        self.downloads = make_downloads()

    def _make_song_inputs(self) -> dict[str, Any]:
        """Return the controls of the song and of what is danced to it, by the names of the arguments."""
        studio, limits = self.studio, self.studio.limits
        song = gr.Audio(
            label="Song", sources=["upload", "microphone"], type="filepath", elem_id="song", buttons=[], editable=False
        )
        refuse_addresses(song, studio.files.root)
        self.example = gr.Button("Use the example song", size="sm", elem_id="example")
        self.problems["song"] = make_problem("song")
        self.editor = make_song_editor()
        self.problems["beats"] = make_problem("beats")
        genre = gr.Dropdown(self._genre_choices(), value=ANY_GENRE, label="Dance", elem_id="genre")
        seconds = gr.Slider(
            2, limits.max_dance_seconds, 30, step=1, label="Length in seconds", info="Less where the song ends."
        )
        return {"song": song, "genre": genre, "seconds": seconds}

    def _make_options(self) -> dict[str, Any]:
        """Return the controls that few need, by the names of the arguments."""
        studio, limits, config = self.studio, self.studio.limits, self.studio.pipeline.model.config
        width: dict[str, Any] = {"min_width": 240}
        with gr.Accordion("More options", open=False, elem_id="more"), gr.Row():
            seed = gr.Number(
                None, label="Seed", info="The same number makes the same dance.", precision=0, elem_id="seed", **width
            )
            num_variants = gr.Slider(
                1, limits.max_variants, 1, step=1, label="Variants", info="Dances to compare.", **width
            )
            guidance_scale = gr.Slider(
                0,
                limits.max_guidance_scale,
                studio.pipeline.model.generation_config.guidance_scale,
                step=0.1,
                label="Guidance",
                info="How closely the dance follows music and genre: 1 as learned, more is stricter.",
                **width,
            )
            side = gr.Radio(
                [("Right", "right"), ("Left", "left")],
                value="right" if config.controls_side else None,
                label="Side",
                info="Right as it is usually danced, left its mirror image."
                if config.controls_side
                else "This model takes no side.",
                interactive=config.controls_side,
                **width,
            )
            ending = gr.Radio(
                [("Pose on the last downbeat", "pose"), ("Come to rest", "fade"), ("Dance to the end", "none")],
                value="pose",
                label="Ending",
                **width,
            )
            energy = gr.Slider(
                0,
                1,
                USUAL_ENERGY,
                step=0.05,
                label="Energy",
                info="0 is rest, 0.5 the usual speed, 1 twice that."
                if config.controls_energy
                else "This model takes no energy.",
                interactive=config.controls_energy,
                **width,
            )
            follows_loudness = gr.Checkbox(
                True, label="Energy follows the loudness of the song", visible=config.controls_energy, **width
            )
            start_seconds = gr.Number(
                0, label="Start", info="In seconds of the song.", elem_id="start-seconds", **width
            )
            bpm = gr.Number(None, label="Tempo", info="Beats a minute; as heard, if empty.", elem_id="bpm", **width)
            meter = gr.Number(None, label="Beats in a bar", info="As heard, if empty.", precision=0, **width)
            first_downbeat_seconds = gr.Number(
                None, label="First beat of a bar", info="In seconds; as heard, if empty.", **width
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
                **width,
            )
            pinned_references = gr.Dropdown(
                studio.reference_names,
                value=[],
                multiselect=True,
                label="Pinned references",
                info="Used from start to end; they count among the reference dances.",
                interactive=has_references,
                visible=has_references,
                **width,
            )
        return {
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
            "bpm": bpm,
            "meter": meter,
            "first_downbeat_seconds": first_downbeat_seconds,
        }

    def _genre_choices(self, suggested: str | None = None) -> list[tuple[str, str]]:
        automatic = "Automatic" if suggested is None else f"Automatic: {named(suggested)}"
        return [(automatic, ANY_GENRE), *((named(genre), genre) for genre in self.studio.pipeline.genres)]

    def listen_to_controls(self, demo: Any) -> None:
        """Connect the controls with what they do."""
        # One piece of work at a time: two would only take turns on the processor and hold twice the memory.
        work: dict[str, Any] = {"concurrency_id": "work", "concurrency_limit": 1, "api_visibility": "private"}
        quick: dict[str, Any] = {"queue": False, "api_visibility": "private", "show_progress": "hidden"}
        waiting = [self.start, self.another, self.cancel]
        results = [self.visit, self.links, *self._shown(), *self.problems.values()]
        making = [
            (self.start, self.make, [self.visit, *self.inputs.values()]),
            (self.another, self.make_another, [self.visit]),
        ]
        events: list[Any] = []
        for button, make, inputs in making:
            button.click(lambda: self._waiting(True), None, waiting, **quick)
            button.click(None, js=_SHOW_STAGE)
            made = button.click(make, inputs, results, show_progress_on=self.viewer, **work)
            made.then(lambda: self._waiting(False), None, waiting, **quick)
            events.append(made)
        self.cancel.click(self.stop, None, waiting, cancels=events, **quick)
        self.gallery.select(self.pick, self.visit, [self.visit, *self._shown()], **quick)
        self.link.click(None, None, self.link, js=_COPY_LINK)
        self.take.click(self.write, self.visit, self.downloads, show_progress_on=self.take, **work).success(
            self.draw, self.visit, self.downloads, show_progress="hidden", **work
        )
        demo.load(self.come_back, self.links, [self.visit, *self._shown(), self.problems["song"]], **quick)
        empty = [self.inputs[name] for name in ("seed", "bpm", "meter", "first_downbeat_seconds")]
        demo.load(lambda: [None] * len(empty), None, empty, **quick)  # Gradio shows 0 until it is told again
        self._listen_to_song(quick)

    def _listen_to_song(self, quick: dict[str, Any]) -> None:
        inputs = self.inputs
        self.example.click(lambda: str(DEMO_SONG), None, inputs["song"], **quick)
        inputs["energy"].input(lambda: False, None, inputs["follows_loudness"], **quick)
        inputs["follows_loudness"].input(lambda: USUAL_ENERGY, None, inputs["energy"], **quick)
        corrected = ("start_seconds", "seconds", "bpm", "meter", "first_downbeat_seconds")
        names = ("song", "genre", *corrected)
        hearing: dict[str, Any] = {
            "fn": lambda *values: self.hear(dict(zip(names, values, strict=True))),
            "inputs": [inputs[name] for name in names],
            "outputs": [self.editor, inputs["genre"], self.problems["song"], self.problems["beats"]],
            "concurrency_id": "listening",
            "concurrency_limit": 1,
            "show_progress": "hidden",
            "trigger_mode": "always_last",
            "api_visibility": "private",
        }
        forgotten = [inputs[name] for name in ("start_seconds", "bpm", "meter", "first_downbeat_seconds")]
        inputs["song"].change(
            lambda song: [song_editor_value() if song else None, 0, None, None, None],
            inputs["song"],
            [self.editor, *forgotten],
            **quick,
        ).then(**hearing)
        self.editor.input(_corrected, None, [inputs[name] for name in corrected], **quick).then(**hearing)
        for name in ("start_seconds", "bpm", "meter", "first_downbeat_seconds"):
            inputs[name].submit(**hearing)
            inputs[name].blur(**hearing)
        inputs["seconds"].release(**hearing)
        inputs["genre"].input(**hearing)

    def _shown(self) -> list[Any]:
        """Return the components that show a visit; `_show` returns their values."""
        return [self.viewer, self.gallery, self.card, self.downloads, self.actions, self.link, self.start]

    def _show(self, visit: Visit, *, plays: bool) -> list[Any]:
        on_stage = visit.on_stage()
        if not on_stage:
            return [None, None, gr.HTML(visible=False), None, gr.Row(visible=False), gr.Button(), gr.Button()]
        shown = on_stage[0]
        written = self.studio.written(shown.dances, shown.index)
        return [
            viewer_value(on_stage, plays=plays),
            gallery_value(visit),
            gr.HTML(card_html(shown.variant.card, _title(shown)), visible=True),
            downloads_value(written, is_drawing=False) if ".html" in written else None,
            gr.Row(visible=True),
            gr.Button("Copy link"),
            gr.Button(variant="secondary"),  # "Another one" is what most want now
        ]

    def _waiting(self, waits: bool) -> list[Any]:
        return [gr.Button(interactive=not waits), gr.Button(interactive=not waits), gr.Button(visible=waits)]

    def make(
        self,
        request: gr.Request,
        visit: Visit,
        progress: Any = gr.Progress(),  # noqa: B008
        *values: Any,
    ) -> list[Any]:
        """Make a dance of what the controls say."""
        asked = dict(zip(self.inputs, values, strict=True))
        return self._work(
            lambda on_step: visit.with_dances(make_dances(self.studio, asked, on_step)), request, progress
        )

    def make_another(self, request: gr.Request, visit: Visit, progress: Any = gr.Progress()) -> list[Any]:  # noqa: B008
        """Make the dance that is shown with a new seed."""

        def make(on_step: Callable[[Step], None]) -> Visit:
            if not visit.kept:
                raise ValueError("Make a dance first.")
            dances = visit.kept[visit.shown].dances
            return visit.with_dances(self.studio.make_another(dances, new_seed(), on_step))

        return self._work(make, request, progress)

    def _work(self, make: Callable[[Callable[[Step], None]], Visit], request: Any, progress: Any) -> list[Any]:
        stop = self.stops[request.session_hash] = Event()

        def on_step(step: Step) -> None:
            if stop.is_set():
                raise CancelledError
            progress(step.share, desc=step.text)

        try:
            visit = make(on_step)
        except (CancelledError, ValueError, FileNotFoundError) as error:
            return self._unchanged(error)
        finally:
            if self.stops.get(request.session_hash) is stop:
                del self.stops[request.session_hash]
        links = [kept.link for kept in visit.kept]
        return [visit, links, *self._show(visit, plays=True), *(None for _ in self.problems)]

    def _unchanged(self, error: Exception) -> list[Any]:
        """Return values of all results that leave everything and tell one problem, at the field that it concerns."""
        field = getattr(error, "field", "request")
        told = [str(error) or None if each == field else None for each in self.problems]
        return [gr.skip()] * (2 + len(self._shown())) + told

    def stop(self, request: gr.Request) -> list[Any]:
        """End the work of a visitor at its next step."""
        if request.session_hash in self.stops:
            self.stops[request.session_hash].set()
        return self._waiting(False)

    def pick(self, event: gr.EventData, visit: Visit) -> list[Any]:
        """Show a dance of the gallery, or let it dance beside the one that is shown."""
        try:
            index = int(event.index)
            visit = visit.compare(index) if event.beside else visit.pick(index)
            for kept in visit.on_stage():
                kept.dances.check_kept()
        except (ValueError, FileNotFoundError) as error:
            raise _toast(error) from error
        return [visit, *self._show(visit, plays=False)]

    def come_back(self, request: gr.Request, links: list[str]) -> list[Any]:
        """Show what is kept of a visitor's dances and of the link that was opened."""
        asked = str(dict(request.query_params).get("dance", ""))
        links = [link for link in links if isinstance(link, str)] if isinstance(links, list) else []
        kept = {}
        for link in [*links, *([asked] if asked else [])][-MAX_DANCES:]:
            try:
                kept[link] = self.studio_dance(link)
            except FileNotFoundError:
                continue
        visit = Visit(tuple(kept.values()), max(0, list(kept).index(asked) if asked in kept else len(kept) - 1))
        is_gone = bool(asked) and asked not in kept
        gone = "This link leads to a dance that is no longer kept. Make a new one." if is_gone else None
        return [visit, *self._show(visit, plays=False), gone]

    def studio_dance(self, link: str) -> Kept:
        """Return the dance of a link."""
        key, _, index = link.partition(".")
        dances = self.studio.open(key)
        if not index.isdecimal() or int(index) >= len(dances.variants):
            raise FileNotFoundError(f"There is no dance {link}.")
        return Kept(dances, int(index))

    def hear(self, asked: dict[str, Any]) -> list[Any]:
        """Hear the part of the song that the controls say."""
        if not asked["song"]:
            return [None, gr.Dropdown(choices=self._genre_choices(), info=""), None, None]
        upload = Path(asked.pop("song"))
        try:
            heard = self.studio.listen(upload, request_of(asked))
        except ValueError as error:
            told = [str(error) if each == getattr(error, "field", "song") else None for each in ("song", "beats")]
            return [None if told[0] else gr.skip(), gr.skip(), *told]
        genre = gr.skip()
        if asked["genre"] == ANY_GENRE:
            genre = gr.Dropdown(choices=self._genre_choices(heard["genre"]), info=heard["genre_reason"] or "")
        return [song_editor_value(upload, heard), genre, None, None]

    def write(self, visit: Visit) -> dict[str, Any]:
        """Write the dance that is shown in all formats but the video."""
        return self._written(visit, [each for each in DOWNLOADS if each != ".mp4"], is_drawing=True)

    def draw(self, visit: Visit) -> dict[str, Any]:
        """Write the dance that is shown in all formats."""
        return self._written(visit, list(DOWNLOADS), is_drawing=False)

    def _written(self, visit: Visit, suffixes: list[str], *, is_drawing: bool) -> dict[str, Any]:
        try:
            shown = visit.on_stage()[0]
            return downloads_value(self.studio.write(shown.dances, shown.index, suffixes), is_drawing=is_drawing)
        except (IndexError, FileNotFoundError) as error:
            raise _toast(error) from error


def _title(kept: Kept) -> str:
    return f"{named(kept.variant.genre)}, seed {kept.variant.seed}"


def _corrected(event: gr.EventData) -> list[Any]:
    """Return what the song editor says of the part and the beats."""
    return [getattr(event, name) for name in ("start_seconds", "seconds", "bpm", "meter", "first_downbeat_seconds")]


def _toast(error: Exception) -> gr.Error:
    return gr.Error(str(error), title="That did not work", duration=10, print_exception=False)
