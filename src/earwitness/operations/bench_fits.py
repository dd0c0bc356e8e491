"""How a figure grows with another: straight lines through logarithms, with an interval."""

from collections.abc import Sequence

import numpy as np

# Student's t for an interval of 95 % by degrees of freedom; beyond 10, the normal's is near enough.
T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


def exponent(x: Sequence[float], y: Sequence[float]) -> dict[str, float] | None:
    """The power of x by which y grows: least squares through logarithms.

    Args:
        x: above 0, three or more, not all alike.
        y: above 0, as many.

    Returns:
        `exponent` and the half-width of its interval, `within` (95 %); None where there are too few.
    """
    if len(x) < 3 or min(x) == max(x):
        return None
    found, half = line(np.log(x), np.log(y))
    return {"exponent": found, "within": half}


def line(x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """The slope of a straight line through three points or more, and half its interval (95 %)."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    away = x - x.mean()
    slope = float(away @ y / (away @ away))
    rest = y - y.mean() - slope * away
    free = len(x) - 2
    error = float(np.sqrt(rest @ rest / free / (away @ away)))
    return slope, error * (T95[free - 1] if free <= len(T95) else 1.96)
