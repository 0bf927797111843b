"""`infinitedance song`: what a song is made of, as JSON and as a picture."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from .song_options import add_beat_options, check_beat_options


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "song", help="print beats, sections, loudness, silences, breaks and drops of a song as JSON"
    )
    parser.add_argument("song", type=Path, help="audio file, or a video with sound; 0.5 s to 60 min")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw the map into this file, too")
    parser.add_argument("--genre", help="dance genre: it chooses between half and double tempo")
    add_beat_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Print the map, and draw it; what can be refused is refused before the work."""
    from ..audio.beats import track_beats
    from ..audio.loading import load_audio
    from ..audio.song_map import analyze_song
    from ..audio.song_plot import check_plot_path, draw_song_map
    from ..audio.spectra import SAMPLING_RATE

    check_beat_options(arguments)
    if arguments.plot is not None:
        check_plot_path(arguments.plot)
    waveform = load_audio(arguments.song, SAMPLING_RATE)
    beats = track_beats(
        waveform,
        SAMPLING_RATE,
        genre=arguments.genre,
        bpm=arguments.bpm,
        meter=arguments.meter,
        first_downbeat_seconds=arguments.first_downbeat,
    )
    song_map = analyze_song(waveform, SAMPLING_RATE, beats)
    if arguments.plot is not None:
        draw_song_map(song_map, waveform, SAMPLING_RATE, arguments.plot, title=arguments.song.stem)
    lines = (f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in song_map.to_dict().items())
    print("{\n" + ",\n".join(lines) + "\n}")
