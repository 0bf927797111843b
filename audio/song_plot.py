"""The song map as one picture: waveform, beats, bars, sections, energy, silences, breaks and drops."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..utils.atomic import atomic_path
from ..utils.extras import require_extra
from .song_map import SongMap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW_SECONDS, MOST_ROWS = 60.0, 6
WIDTH_INCHES, ROW_INCHES, FRAME_INCHES, DOTS_PER_INCH = 14.0, 1.9, 1.3, 130
POINTS_PER_ROW = 2800
PLOT_SHARE = 0.93  # of the width
LEAST_BEAT_PIXELS, LEAST_BAR_PIXELS, LEAST_LABEL_PIXELS = 7.0, 9.0, 16.0
LOWEST_SHOWN_LU, HIGHEST_SHOWN_LU = -24.0, 9.0
SECTION_COLORS = ("#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#b07aa1", "#edc948", "#76b7b2", "#ff9da7", "#9c755f")
INK, PALE_INK, WAVE, ENERGY, BREAK, DROP = "#222222", "#777777", "#46505a", "#1b6ca8", "#8d6cab", "#c0392b"


def check_plot_path(path: Path) -> None:
    """Raise an error unless a PNG can be drawn and written there.

    Raises:
        ImportError: If matplotlib is missing.
        ValueError: If the name does not end in .png.
        FileNotFoundError: If the folder does not exist.
        PermissionError: If nothing can be written there.
    """
    require_extra("matplotlib", "plot", "Drawing a song map")
    if path.suffix.lower() != ".png":
        raise ValueError(f"The picture of a song map must be a file that ends in .png, got {path}.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {path.parent} to write {path} to. Make it, or give another name.")
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f"Cannot write {path}: no permission. Give a name in another folder.")


def draw_song_map(song_map: SongMap, waveform: np.ndarray, sampling_rate: int, path: Path, title: str = "") -> None:
    """Draw a song map into a PNG, in rows of a minute or, for songs over six minutes, in six rows.

    Beats and bars are drawn as far as they can be told apart, of longer songs every second, fourth, ... bar.

    Args:
        song_map: Of the song.
        waveform: `(samples,)`, the song.
        sampling_rate: Of the waveform, in Hz.
        path: The PNG to write.
        title: Name of the song.

    Raises:
        ImportError: If matplotlib is missing.
    """
    check_plot_path(path)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    num_rows = min(MOST_ROWS, max(1, int(np.ceil(song_map.duration_seconds / ROW_SECONDS))))
    row_seconds = song_map.duration_seconds / num_rows
    height = FRAME_INCHES + num_rows * ROW_INCHES
    figure = Figure(figsize=(WIDTH_INCHES, height), dpi=DOTS_PER_INCH, facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        num_rows,
        1,
        left=(1 - PLOT_SHARE) * 0.7,
        right=1 - (1 - PLOT_SHARE) * 0.3,
        top=1 - 0.5 / height,
        bottom=0.8 / height,
        hspace=0.22,
    )
    peak = float(np.percentile(np.abs(waveform[:: max(1, len(waveform) // 200_000)]), 99.9)) or 1.0
    for row in range(num_rows):
        span = row * row_seconds, (row + 1) * row_seconds
        cells = grid[row].subgridspec(2, 1, height_ratios=(3, 2), hspace=0)
        wave_axes, energy_axes = figure.add_subplot(cells[0]), figure.add_subplot(cells[1])
        _draw_wave(wave_axes, song_map, waveform, sampling_rate, span, peak)
        _draw_energy(energy_axes, song_map, span)
    energy_axes.set_xlabel("minutes : seconds", color=PALE_INK, fontsize=9)
    heading = figure.text(0.008, 1 - 0.33 / height, _heading(song_map, title), fontsize=11, color=INK, va="bottom")
    heading.set_parse_math(False)
    _draw_legend(figure)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def _heading(song_map: SongMap, title: str) -> str:
    loudness = song_map.integrated_loudness_lufs
    facts = [
        title,
        f"{song_map.beats.bpm:.1f} bpm",
        f"{song_map.beats.beats_per_bar} beats a bar",
        f"confidence {song_map.confidence:.2f}",
        "silent" if loudness is None else f"{loudness:.1f} LUFS",
    ]
    return "   |   ".join(fact for fact in facts if fact)


def _draw_wave(
    axes: Axes,
    song_map: SongMap,
    waveform: np.ndarray,
    sampling_rate: int,
    span: tuple[float, float],
    peak: float,
) -> None:
    """Draw waveform, bars and beats on the colors of the sections."""
    pixels_per_second = PLOT_SHARE * WIDTH_INCHES * DOTS_PER_INCH / (span[1] - span[0])
    labels = list(dict.fromkeys(section.label for section in song_map.sections))
    for section in song_map.sections:
        start, end = max(section.start_seconds, span[0]), min(section.end_seconds, span[1])
        if start >= end:
            continue
        color = SECTION_COLORS[labels.index(section.label) % len(SECTION_COLORS)]
        axes.axvspan(start, end, ymax=0.8, color=color, alpha=0.22, linewidth=0)
        axes.axvspan(start, end, ymin=0.8, color=color, alpha=0.9, linewidth=0)
        axes.axvline(start, color="white", linewidth=1.6, zorder=3)
        name = section.label if section.occurrence == 1 else f"{section.label}$_{{{section.occurrence}}}$"
        if (end - start) * pixels_per_second >= LEAST_LABEL_PIXELS:
            axes.annotate(
                name, ((start + end) / 2, 0.895), xycoords=("data", "axes fraction"), ha="center", va="center",
                color="white", fontsize=9, fontweight="bold", zorder=4,
            )  # fmt: skip
    for start, end in song_map.silences:
        axes.axvspan(start, end, ymax=0.8, facecolor="#eeeeee", edgecolor="#bbbbbb", hatch="///", linewidth=0)
    piece = waveform[int(span[0] * sampling_rate) : int(span[1] * sampling_rate)]
    chunk = max(1, len(piece) // POINTS_PER_ROW)
    piece = piece[: len(piece) // chunk * chunk].reshape(-1, chunk)
    times = span[0] + (np.arange(len(piece)) + 0.5) * chunk / sampling_rate
    axes.fill_between(times, piece.min(axis=1) / peak, piece.max(axis=1) / peak, color=WAVE, linewidth=0, zorder=2)

    bars = [time for time in song_map.beats.downbeat_times_seconds if span[0] <= time < span[1]]
    if len(bars) > 1:
        thinning = 1
        while float(np.median(np.diff(bars))) * thinning * pixels_per_second < LEAST_BAR_PIXELS:
            thinning *= 2
        first = sum(time < span[0] for time in song_map.beats.downbeat_times_seconds) % thinning
        shown = bars[(-first) % thinning :: thinning]
        axes.vlines(shown, -1.15, 1.15, color="white", linewidth=2.2, alpha=0.7, zorder=2)
        axes.vlines(shown, -1.15, 1.15, color=INK, linewidth=0.8, zorder=3)
    beats = [time for time in song_map.beats.times_seconds if span[0] <= time < span[1]]
    if len(beats) > 1 and float(np.median(np.diff(beats))) * pixels_per_second >= LEAST_BEAT_PIXELS:
        axes.vlines(beats, -1.15, -0.97, color=INK, linewidth=0.7, zorder=3)
    for drop in song_map.drops:
        if span[0] <= drop < span[1]:
            axes.axvline(drop, ymax=0.8, color=DROP, linewidth=1.5, zorder=3)
    axes.set(xlim=span, ylim=(-1.15, 1.72), xticks=[], yticks=[])
    _soften(axes)


def _draw_energy(axes: Axes, song_map: SongMap, span: tuple[float, float]) -> None:
    """Draw the energy curve with breaks, silences, drops and fades."""
    for start, end in song_map.silences:
        axes.axvspan(start, end, facecolor="#eeeeee", edgecolor="#bbbbbb", hatch="///", linewidth=0)
    for start, end in song_map.breaks:
        axes.axvspan(start, end, color=BREAK, alpha=0.3, linewidth=0)
    energy = np.clip(song_map.energy.values_lu, LOWEST_SHOWN_LU, HIGHEST_SHOWN_LU)
    times = np.arange(len(energy)) / song_map.energy.rate_hz
    axes.fill_between(times, energy, LOWEST_SHOWN_LU, color=ENERGY, alpha=0.25, linewidth=0)
    axes.plot(times, energy, color=ENERGY, linewidth=1.1)
    axes.axhline(0, color=PALE_INK, linewidth=0.5, linestyle=(0, (4, 4)))
    for drop in song_map.drops:
        axes.axvline(drop, color=DROP, linewidth=1.5)
    for fade in song_map.fades:
        ends = (LOWEST_SHOWN_LU, 0) if fade.kind == "in" else (0, LOWEST_SHOWN_LU)
        axes.plot((fade.start_seconds, fade.end_seconds), ends, color=INK, linewidth=1.4, linestyle=(0, (2, 1.5)))
    axes.set(xlim=span, ylim=(LOWEST_SHOWN_LU, HIGHEST_SHOWN_LU), yticks=(-20, -10, 0))
    axes.set_ylabel("LU", fontsize=8, color=PALE_INK, labelpad=1)
    axes.tick_params(labelsize=8, colors=PALE_INK, length=3)
    axes.set_xticks(
        ticks := _ticks(*span), [f"{int(tick // 60)}:{tick % 60:04.1f}".removesuffix(".0") for tick in ticks]
    )
    _soften(axes)


def _ticks(start: float, end: float) -> list[float]:
    """Return round times, about twelve a row."""
    steps = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300)
    step = next((step for step in steps if (end - start) / step <= 14), 600)
    first = int(np.ceil(start / step - 1e-6))
    return [index * step for index in range(first, int(end / step + 1e-6) + 1)]


def _draw_legend(figure: Figure) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [
        Patch(facecolor=SECTION_COLORS[0], alpha=0.9, label="section (one color a label)"),
        Line2D([], [], color=INK, linewidth=0.8, label="bar, below it beats"),
        Line2D([], [], color=ENERGY, linewidth=1.5, label="energy, LU against the song"),
        Patch(facecolor="#eeeeee", edgecolor="#bbbbbb", hatch="///", label="silence"),
        Patch(facecolor=BREAK, alpha=0.3, label="break"),
        Line2D([], [], color=DROP, linewidth=1.5, label="drop"),
        Line2D([], [], color=INK, linewidth=1.4, linestyle=(0, (2, 1.5)), label="fade"),
    ]
    figure.legend(handles=handles, loc="lower center", ncols=len(handles), fontsize=8.5, frameon=False)


def _soften(axes: Axes) -> None:
    for spine in axes.spines.values():
        spine.set_color("#bbbbbb")
        spine.set_linewidth(0.6)
