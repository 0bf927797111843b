"""The frame rate that a rounded frame time was written for."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from .read_options import MAX_FRAME_RATE

LIKELY_RATES = (
    30.0,
    60.0,
    120.0,
    24.0,
    25.0,
    50.0,
    100.0,
    240.0,
    30000 / 1001,
    60000 / 1001,
    24000 / 1001,
    120000 / 1001,
    *(48.0, 15.0, 20.0, 12.0, 10.0, 90.0, 72.0, 144.0, 200.0, 250.0, 300.0, 360.0, 400.0, 480.0, 500.0, 1000.0),
    *(75.0, 80.0, 40.0, 150.0, 180.0),
)
"""Hz, the likeliest first."""
_SAME = 1e-5
_ALIKE = 0.02


def likely_rate(frame_time: str) -> tuple[float, float | None]:
    """Return the rate that a frame time in seconds stands for.

    It is the likeliest rate whose frame time, with as many digits, is what is written: `0.033` is 30 Hz. If there is
    none, it is the whole rate that is, else the reciprocal.

    Args:
        frame_time: A positive number, as it is written.

    Returns:
        The rate in Hz, and another likely one that the digits do not tell from it, if it differs by more than 2 %.
    """
    seconds = float(frame_time)
    unit = _last_digit(frame_time)
    same = [rate for rate in LIKELY_RATES if abs(seconds * rate - 1) < _SAME]
    same.sort(key=lambda rate: abs(seconds * rate - 1))
    rounded = [rate for rate in LIKELY_RATES if abs(1 / rate - seconds) <= unit / 2]
    cut_off = [rate for rate in LIKELY_RATES if 0 <= 1 / rate - seconds < unit]
    if same or rounded or cut_off:
        rates = [*same[:1], *rounded] or cut_off
        others = [rate for rate in rates if abs(rate / rates[0] - 1) > _ALIKE]
        return rates[0], others[0] if others else None
    whole = max(1.0, float(round(1 / seconds)))
    return (whole, None) if abs(1 / whole - seconds) < min(unit, 0.01 * seconds) else (1 / seconds, None)


def rate_written_for_time(seconds: float) -> float | None:
    """Return the rate if a frame time of more than a second is one: `Frame Time: 30`."""
    likely = [rate for rate in LIKELY_RATES if abs(rate - seconds) < 0.01]
    return likely[0] if likely and seconds <= MAX_FRAME_RATE else None


def _last_digit(number: str) -> float:
    """Return what one more in the last digit of a number is worth."""
    try:
        exponent = Decimal(number).as_tuple().exponent
    except InvalidOperation:
        return 0.0
    return 10.0 ** max(int(exponent), -300) if isinstance(exponent, int) else 0.0
