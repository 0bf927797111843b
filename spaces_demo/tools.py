"""What programs ask the Space for: endpoints without a page, which are tools for assistants that speak MCP, too."""

from __future__ import annotations

from typing import Any

import gradio as gr

from .asking import ANY_GENRE, USUAL_ENERGY, make_dances
from .studio import DOWNLOADS, Studio


def add_tools(studio: Studio, inputs: dict[str, Any]) -> None:
    """Add them to the page that is being built.

    Args:
        studio: Does the work.
        inputs: The controls of the page, by the names of the arguments of `/dance`.
    """
    work: dict[str, Any] = {"concurrency_id": "work", "concurrency_limit": 1}
    formats = gr.CheckboxGroup(list(DOWNLOADS), value=[".glb", ".npz"], label="Formats", visible=False)
    files = gr.Files(label="Files", visible=False)
    report = gr.JSON(label="Evaluation cards", visible=False)

    def make_dance(
        song: str,
        genre: str = ANY_GENRE,
        seconds: float = 30,
        start_seconds: float = 0,
        seed: int | None = None,
        guidance_scale: float | None = None,
        num_variants: int = 1,
        num_references: int | None = None,
        pinned_references: list[str] | None = None,
        side: str | None = None,
        follows_loudness: bool = True,
        energy: float = USUAL_ENERGY,
        ending: str = "pose",
        bpm: float | None = None,
        meter: int | None = None,
        first_downbeat_seconds: float | None = None,
        formats: list[str] | None = None,
        progress: Any = gr.Progress(),  # noqa: B008
    ) -> tuple[list[str], list[dict[str, Any]]]:
        """Make a 3D dance to a song, and return its files and how good it is.

        Args:
            song: Audio file that was uploaded.
            genre: Genre of the dance; any for the one that suits the song.
            seconds: Length of the dance.
            start_seconds: Where in the song it begins.
            seed: The same number makes the same dance again; a new one if it is not given.
            guidance_scale: How closely the dance follows music and genre, 0 to 3.
            num_variants: Dances to make, with one seed after another.
            num_references: Reference dances at any moment.
            pinned_references: Names of reference dances to use from start to end.
            side: right or left, its mirror image.
            follows_loudness: Let the energy follow the loudness of the song.
            energy: 0 is rest, 0.5 the usual speed, 1 twice that.
            ending: pose, fade or none.
            bpm: Tempo of the song, if the estimate is wrong.
            meter: Beats in a bar, if the estimate is wrong.
            first_downbeat_seconds: Time of the first beat of a bar, if the estimate is wrong.
            formats: Endings of the files that are wanted.
            progress: Given by Gradio.
        """
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
            "bpm": bpm,
            "meter": meter,
            "first_downbeat_seconds": first_downbeat_seconds,
        }
        made = told(make_dances, studio, values, lambda step: progress(step.share, desc=step.text))
        paths: list[str] = []
        for index in range(len(made.variants)):
            paths += map(str, told(studio.write, made, index, formats or []).values())
        return paths, [{"seed": variant.seed, "genre": variant.genre, **variant.card} for variant in made.variants]

    gr.Button(visible=False).click(make_dance, [*inputs.values(), formats], [files, report], api_name="dance", **work)


def told(function: Any, *arguments: Any) -> Any:
    """Call a function; report what the caller did wrong."""
    try:
        return function(*arguments)
    except (ValueError, FileNotFoundError) as error:
        raise gr.Error(str(error), title="That did not work", duration=None, print_exception=False) from error
