import pytest

from earwitness.evidence.report_text import clock as moment
from earwitness.operations.show import BLOCKS, MOST_SPANS, draw


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00.0"),
        (3.44, "0:03.4"),
        (59.96, "1:00.0"),
        (724.26, "12:04.3"),
        (3599.97, "1:00:00.0"),
        (3723.4, "1:02:03.4"),
    ],
)
def test_moments_have_tenths_and_carry(seconds, text):
    assert moment(seconds) == text


def record(steps, spans, step_s=0.5):
    return {
        "thresholds": {"fake": 0.7, "genuine": 0.3},
        "timeline": {"step_s": step_s, "p_fake": steps},
        "spans": [{"start_s": a, "end_s": b, "p_fake": p} for a, b, p in spans],
        "duration_s": len(steps) * step_s,
    }


def test_two_seconds_stand_out_of_an_hour_and_are_listed():
    steps = [0.05] * 7200
    steps[1449:1453] = [0.9] * 4
    bar, scale, *lines = (line.plain for line in draw(record(steps, [(724.3, 726.36, 0.97)]), 80))
    blocks = bar.strip()
    assert (blocks.count(BLOCKS[7]), blocks.count(BLOCKS[0])) == (1, len(blocks) - 1)
    assert blocks.index(BLOCKS[7]) == 1449 * len(blocks) // 7200
    assert "1:00:00" in scale
    assert [line.split() for line in lines] == [["fake", "12:04.3–12:06.4", "2.1", "s", "p(fake)", "0.97"]]
    assert all(len(line) <= 80 for line in (bar, *lines))


def test_a_short_recording_shows_each_step_as_it_is():
    bar = draw(record([0.0, None, 0.5, 0.99], [(0.0, 2.0, 0.9)]), 80)[0]
    assert bar.plain.strip() == f"{BLOCKS[0]}·{BLOCKS[4]}{BLOCKS[7]}"


def test_of_very_many_spans_the_longest_are_listed_in_order_of_time():
    spans = [(10.0 * i, 10.0 * i + (3.0 if i % 2 else 1.0), 0.9) for i in range(2 * MOST_SPANS)]
    lines = [line.plain for line in draw(record([0.5] * 800, spans), 80)][2:]
    assert len(lines) == MOST_SPANS + 1
    starts = [line.split()[1].split("–")[0] for line in lines[:-1]]
    assert starts == [moment(10.0 * i) for i in range(1, 2 * MOST_SPANS, 2)]
    assert f"and {MOST_SPANS} shorter" in lines[-1]
