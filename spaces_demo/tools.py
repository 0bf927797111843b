"""What programs ask the Space for: endpoints without a page, which are tools for assistants that speak MCP, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from ..motion.files import BONE_NAMES
from .asking import ANY_GENRE, USUAL_ENERGY, make_dances
from .motion_desk import FORMATS, MotionDesk
from .studio import DOWNLOADS, Studio
from .visitor_limits import refuse_addresses


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
    _add_motion_tools(MotionDesk(studio.files, studio.limits), files, report, work)


def _add_motion_tools(desk: MotionDesk, files: Any, report: Any, work: dict[str, Any]) -> None:
    motion_file = gr.File(label="Motion", visible=False)
    song_file = gr.File(label="Song of the motion", visible=False)
    for component in (motion_file, song_file):
        refuse_addresses(component, desk.files.root)
    output_format = gr.Dropdown(list(FORMATS), value=".glb", label="Format", visible=False)
    bones = gr.Dropdown(list(BONE_NAMES), value=None, label="Bone names", visible=False)
    frame_rate = gr.Number(None, label="Frames per second", visible=False)
    stays = gr.Checkbox(False, label="In place", visible=False)
    strength = gr.Number(1, label="Strength", visible=False)

    def convert_motion(
        motion: str,
        output_format: str = ".glb",
        bone_names: str | None = None,
        frame_rate: float | None = None,
        in_place: bool = False,
    ) -> tuple[list[str], dict[str, Any]]:
        """Write a motion file in another format, for Blender, Unity, Unreal, VRM and others.

        Args:
            motion: Motion file that was uploaded: BVH, SMPL or AMASS npz, this package's npz, joint positions.
            output_format: Ending of the file to write.
            bone_names: How bones are called: smpl, mixamo, vrm, unity or unreal; smpl if it is not given.
            frame_rate: Frames per second of the result, 1 to 240; that of the file if it is not given.
            in_place: Keep the dancer on the spot.
        """
        return _answer(
            desk.convert, _path(motion), output_format, names=bone_names, frame_rate=frame_rate, stays=in_place
        )

    def restore_motion(motion: str, strength: float = 1.0) -> tuple[list[str], dict[str, Any]]:
        """Stop feet from sliding in a motion file, and return the file with how its feet were before and after.

        Args:
            motion: Motion file that was uploaded.
            strength: How firmly feet are held, 0 to 1.
        """
        return _answer(desk.restore, _path(motion), strength)

    def measure_motion(motion: str, song: str | None = None) -> dict[str, Any]:
        """Measure a dance: whether it keeps time with its song, and whether its feet slide.

        Args:
            motion: Motion file that was uploaded.
            song: Audio file that was uploaded, danced to from its start on; what the motion file names if not given.
        """
        return told(desk.measure, _path(motion), None if song is None else Path(song))

    tools: list[tuple[Any, list[Any], list[Any]]] = [
        (convert_motion, [motion_file, output_format, bones, frame_rate, stays], [files, report]),
        (measure_motion, [motion_file, song_file], [report]),
    ]
    if desk.can_restore:
        tools.append((restore_motion, [motion_file, strength], [files, report]))
    for tool, given, returned in tools:
        gr.Button(visible=False).click(tool, given, returned, api_name=tool.__name__, **work)


def _path(upload: str | None) -> Path:
    if not upload:
        raise gr.Error("Give a motion file that was uploaded.", print_exception=False)
    return Path(upload)


def _answer(function: Any, *arguments: Any, **options: Any) -> tuple[list[str], dict[str, Any]]:
    paths, about = told(function, *arguments, **options)
    return [str(path) for path in paths], about


def told(function: Any, *arguments: Any, **options: Any) -> Any:
    """Call a function; report what the caller did wrong."""
    try:
        return function(*arguments, **options)
    except (ValueError, FileNotFoundError) as error:
        raise gr.Error(str(error), title="That did not work", duration=None, print_exception=False) from error
