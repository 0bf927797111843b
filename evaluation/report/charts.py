"""Small charts as inline SVG: no script, no file, colors from the page's style so that they follow light and dark.

Charts are 360 units wide, about the width of a phone, so that their text is never smaller than that of the page.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

import numpy as np

WIDTH = 360
LEFT, RIGHT, TOP, BOTTOM = 38, 10, 10, 38
BOTTOM_WITHOUT_LABEL = 20
PLOT_HEIGHT = 150
ROW_HEIGHT = 44
GROUP_CLASSES = ("generated", "reference")
"""Style classes of the first and the second group of a chart."""

Interval = Sequence[float | None]
"""Mean, lower and upper end."""


def histogram_chart(
    title: str,
    bin_edges: Sequence[float],
    shares: dict[str, Sequence[float]],
    x_label: str,
    level: float | None = None,
) -> str:
    """Draw the shares of one or two groups over the same bins.

    Args:
        title: Read out by screen readers.
        bin_edges: `(bins + 1,)`, evenly spaced.
        shares: For each group its share in each bin, `(bins,)`.
        x_label: Under the axis, with unit.
        level: A share to draw a dashed line at, such as that of chance.

    Returns:
        An `<svg>` element.
    """
    if any(len(values) != len(bin_edges) - 1 for values in shares.values()):
        raise ValueError(f"`shares` must have {len(bin_edges) - 1} values a group for {len(bin_edges)} edges.")
    height = TOP + PLOT_HEIGHT + BOTTOM
    highest = max([max(values, default=0.0) for values in shares.values()] + [level or 0.0, 1e-9]) * 1.05
    x_ticks, y_ticks = nice_ticks(bin_edges[0], bin_edges[-1], 5), nice_ticks(0, highest, 3)
    base = TOP + PLOT_HEIGHT

    def x(value: float) -> float:
        return LEFT + (value - bin_edges[0]) / (bin_edges[-1] - bin_edges[0]) * (WIDTH - LEFT - RIGHT)

    def y(share: float) -> float:
        return base - share / highest * PLOT_HEIGHT

    parts = [_line("grid", LEFT, y(tick), WIDTH - RIGHT, y(tick)) for tick in y_ticks]
    parts += [_text("tick end", LEFT - 5, y(tick) + 4, _percent(tick)) for tick in y_ticks]
    for index, (group, values) in reversed(list(enumerate(shares.items()))):
        steps = [
            f"{x(edge):.1f},{y(share):.1f}"
            for left, right, share in zip(bin_edges[:-1], bin_edges[1:], values, strict=True)
            for edge in (left, right)
        ]
        outline = " ".join([f"{x(bin_edges[0]):.1f},{base}", *steps, f"{x(bin_edges[-1]):.1f},{base}"])
        parts.append(
            f'<polygon class="area {GROUP_CLASSES[index]}" points="{outline}"><title>{escape(group)}</title></polygon>'
        )
        parts.append(f'<polyline class="stroke {GROUP_CLASSES[index]}" points="{" ".join(steps)}"/>')
    if level is not None:
        parts.append(_line("level", LEFT, y(level), WIDTH - RIGHT, y(level)))
    parts += _x_axis(x_ticks, x, base, x_label)
    return _svg(title, height, parts)


def interval_chart(title: str, rows: Sequence[tuple[str, Mapping[str, Interval]]], x_label: str) -> str:
    """Draw a bar with its interval for each group in each row.

    Args:
        title: Read out by screen readers.
        rows: Label, and the mean with interval of each group; a mean of `None` is left out.
        x_label: Under the axis, with unit; may be empty.

    Returns:
        An `<svg>` element.
    """
    numbers = [value for _, groups in rows for interval in groups.values() for value in interval if value is not None]
    low, high = min([0.0, *numbers]), max([0.0, *numbers])
    high += 1e-9 if high == low else 0.05 * (high - low)
    base, left = TOP + ROW_HEIGHT * len(rows), 10

    def x(value: float) -> float:
        return left + (value - low) / (high - low) * (WIDTH - left - RIGHT)

    ticks = nice_ticks(low, high, 5)
    parts = [_line("grid", x(tick), TOP, x(tick), base) for tick in ticks]
    for row, (label, groups) in enumerate(rows):
        top = TOP + ROW_HEIGHT * row
        parts.append(_text("label", left, top + 12, label))
        for index, (group, (mean, lower, upper)) in enumerate(groups.items()):
            if mean is None:
                continue
            bar_top = top + 17 + 11 * index
            start, end = sorted((x(0), x(mean)))
            tip = f"{group}: {mean:.3g}"
            parts.append(
                f'<rect class="bar {GROUP_CLASSES[index]}" x="{start:.1f}" y="{bar_top}" '
                f'width="{max(1.0, end - start):.1f}" height="9" rx="2"><title>{escape(tip)}</title></rect>'
            )
            if lower is not None and upper is not None:
                parts.append(_line("whisker", x(lower), bar_top + 4.5, x(upper), bar_top + 4.5))
    parts += _x_axis(ticks, x, base, x_label)
    return _svg(title, base + (BOTTOM if x_label else BOTTOM_WITHOUT_LABEL), parts)


def band_chart(title: str, rows: Sequence[tuple[str, float, float, float]], x_label: str, marker: float) -> str:
    """Draw a point in each row beside the band that real dances lie in.

    Args:
        title: Read out by screen readers.
        rows: Label, value, lower and upper end of the band.
        x_label: Under the axis.
        marker: The middle of all bands.

    Returns:
        An `<svg>` element.
    """
    high = 1.08 * max(marker, *(number for row in rows for number in row[1:]))
    base, left = TOP + ROW_HEIGHT * len(rows), 10

    def x(value: float) -> float:
        return left + value / high * (WIDTH - left - RIGHT)

    ticks = nice_ticks(0, high, 5)
    parts = [_line("grid", x(tick), TOP, x(tick), base) for tick in ticks]
    parts.append(_line("level", x(marker), TOP, x(marker), base))
    for row, (label, value, lower, upper) in enumerate(rows):
        top = TOP + ROW_HEIGHT * row
        parts.append(_text("label", left, top + 12, label))
        parts.append(
            f'<rect class="bar reference" x="{x(lower):.1f}" y="{top + 18}" width="{x(upper) - x(lower):.1f}" '
            f'height="16" rx="3"><title>real: {lower:.3g} to {upper:.3g}</title></rect>'
        )
        parts.append(
            f'<circle class="dot generated" cx="{x(value):.1f}" cy="{top + 26}" r="6">'
            f"<title>generated: {value:.3g}</title></circle>"
        )
    parts += _x_axis(ticks, x, base, x_label)
    return _svg(title, base + BOTTOM, parts)


def nice_ticks(low: float, high: float, num_steps: int) -> list[float]:
    """Return round numbers from `low` to `high`, about `num_steps` apart evenly."""
    rough = (high - low) / num_steps
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(np.round(number * step, 12)) for number in range(first, last + 1)]


def _x_axis(ticks: Sequence[float], x: Callable[[float], float], base: float, label: str) -> list[str]:
    parts = [_text("tick middle", x(tick), base + 15, f"{tick:g}") for tick in ticks]
    return [*parts, _text("tick middle", WIDTH / 2, base + 32, label)] if label else parts


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"


def _line(style: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{style}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(style: str, x: float, y: float, text: str) -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def _svg(title: str, height: float, parts: Sequence[str]) -> str:
    name = escape(title)
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{name}"><title>{name}</title>'
        + "".join(parts)
        + "</svg>"
    )


def timeline_chart(
    title: str, rows: Sequence[tuple[str, Mapping[str, Sequence[tuple[float, float]]]]], duration_seconds: float
) -> str:
    """Draw when something is on, in a row for each thing and a band for each group.

    Args:
        title: Read out by screen readers.
        rows: Label, and for each group the start and end of each span, seconds.
        duration_seconds: End of the axis.

    Returns:
        An `<svg>` element.
    """
    base, left = TOP + ROW_HEIGHT * len(rows), 10

    def x(seconds: float) -> float:
        return left + seconds / duration_seconds * (WIDTH - left - RIGHT)

    ticks = nice_ticks(0, duration_seconds, 5)
    parts = [_line("grid", x(tick), TOP, x(tick), base) for tick in ticks]
    for row, (label, groups) in enumerate(rows):
        top = TOP + ROW_HEIGHT * row
        parts.append(_text("label", left, top + 12, label))
        for index, spans in enumerate(groups.values()):
            parts += [
                f'<rect class="bar {GROUP_CLASSES[index]}" x="{x(start):.1f}" y="{top + 17 + 11 * index}" '
                f'width="{max(0.3, x(end) - x(start)):.1f}" height="9"/>'
                for start, end in spans
            ]
    parts += _x_axis(ticks, x, base, "seconds")
    return _svg(title, base + BOTTOM, parts)
