"""Options of a drift reference, apart from what is heavy: the command line takes its defaults from here."""

from dataclasses import dataclass

VIEWS = ("all", "fake", "genuine")
LEAST = 24  # rows of a window, and of a reference


@dataclass(frozen=True)
class DriftOptions:
    """How a reference is made."""

    window: int = 512  # rows
    rate: float = 0.01  # of windows without drift that alarm, over all views and distances
    run_length: float = 200.0  # windows without drift until the CUSUM alarms, on average, over all views
    components: int = 32
    windows: int = 2_000  # that the null is made of
    threshold: float = 0.0  # scores below it are called fake
    seed: int = 0
