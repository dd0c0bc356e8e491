"""How a report writes times, shares and what strangers named."""

NAME = 120  # characters of a file's name in headings
LONGEST = 400  # of any other text from outside


def plain(value: object, limit: int = LONGEST) -> str:
    """Anything as printable text of bounded length; of what is too long, the middle is left out."""
    found = str(value)
    if len(found) > limit:
        found = found[: limit // 2] + "…" + found[len(found) - (limit - 1 - limit // 2) :]
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in found)


def clock(seconds: float) -> str:
    """1:02:03.4 or 2:03.4, to the nearest tenth."""
    tenths = round(seconds * 10)
    minutes, hours = tenths // 600 % 60, tenths // 36_000
    rest = f"{tenths // 10 % 60:02}.{tenths % 10}"
    return f"{hours}:{minutes:02}:{rest}" if hours else f"{minutes}:{rest}"


def percent(share: float) -> str:
    """A share in per cent, with no more digits than it needs."""
    value = 100 * share
    if 0 < abs(value) < 0.1:
        return f"{value:.1g} %"
    return f"{value:.1f} %".replace(".0 %", " %")
