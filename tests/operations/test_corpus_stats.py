"""`corpus stats`: hours and counts against polars, and plots that are pictures."""

import json
import sys

import numpy as np
import polars as pl
import pytest
import soundfile

from earwitness.audio.protocol import Utterance, read_protocol, write_protocol
from earwitness.errors import InputError, MissingExtra
from earwitness.operations.corpus_stats import COLUMNS, count, plot, run_stats

CSV_NAMES = {
    "dataset": "Dataset",
    "generator": "Attack",
    "family": "Family",
    "language": "Language",
    "rate": "SampleRate",
    "encoding": "AudioEncoding",
    "codec": "Codec",
    "split": "Proportion",
}


@pytest.fixture
def protocol(tmp_path):
    """A protocol of 500 rows drawn at random; no audio."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(500):
        real = bool(rng.random() < 0.4)
        rows.append(
            Utterance(
                id=f"x{i}",
                path=tmp_path / f"{i}.wav",
                bona_fide=real,
                dataset=f"d{rng.integers(3)}",
                split=("train", "valid", "test", "-")[rng.integers(4)],
                generator="-" if real else f"g{rng.integers(20)}",
                family="-" if real else ("tts", "vc")[rng.integers(2)],
                language=("EN", "DE", "-")[rng.integers(3)],
                codec=("-", "opus")[rng.integers(2)],
                duration_s=round(float(rng.gamma(2, 3)) + 0.1, 2),
                sample_rate=(16_000, 24_000)[rng.integers(2)],
                encoding=("FLAC", "MP3")[rng.integers(2)],
            )
        )
    write_protocol(rows, tmp_path / "p.csv", tmp_path)
    return tmp_path / "p.csv"


def test_tables_agree_with_polars(protocol):
    stats = count(list(read_protocol(protocol)))
    frame = pl.read_csv(protocol, infer_schema_length=None)
    for name, column in CSV_NAMES.items():
        assert {row["value"] for row in stats["by"][name]} == {str(v) for v in frame[column].unique()}
        for row in stats["by"][name]:
            for label in ("real", "fake"):
                part = frame.filter((pl.col(column).cast(str) == row["value"]) & (pl.col("Label") == label))
                assert row[label]["rows"] == len(part)
                assert row[label]["hours"] == pytest.approx(part["Duration"].sum() / 3600, abs=6e-5)
    for label in ("real", "fake"):
        lengths = frame.filter(pl.col("Label") == label)["Duration"]
        assert stats["classes"][label]["rows"] == len(lengths)
        assert stats["duration_s"][label]["0.5"] == pytest.approx(lengths.median(), abs=0.006)
        assert stats["duration_s"][label]["0"] == lengths.min()
        assert stats["duration_s"][label]["1"] == lengths.max()
        assert stats["duration_s"][label]["0.95"] == pytest.approx(
            lengths.quantile(0.95, "linear"), abs=0.006
        )


def test_tables_begin_with_most_hours(protocol):
    for table in count(list(read_protocol(protocol)))["by"].values():
        hours = [row["real"]["hours"] + row["fake"]["hours"] for row in table]
        assert hours == sorted(hours, reverse=True)


def test_a_class_that_is_absent_has_no_lengths(protocol):
    stats = count([item for item in read_protocol(protocol) if item.bona_fide])
    assert stats["classes"]["fake"] == {"rows": 0, "hours": 0.0}
    assert list(stats["duration_s"]) == ["real"]


def test_folds_stand_where_no_split_is_named(tmp_path):
    rows = [
        Utterance(
            id=f"{i}", path=tmp_path / "a", bona_fide=True, dataset="d", split=split, fold=fold, duration_s=1
        )
        for i, (split, fold) in enumerate([("-", 1), ("train", 1), ("-", None)])
    ]
    assert [COLUMNS["split"](row) for row in rows] == ["fold 1", "train", "-"]


@pytest.mark.parametrize(("suffix", "mark"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_plots_are_pictures(protocol, tmp_path, suffix, mark):
    plot(list(read_protocol(protocol)), tmp_path / f"plot.{suffix}")
    data = (tmp_path / f"plot.{suffix}").read_bytes()
    assert data.startswith(mark)
    assert len(data) > 5_000


def test_one_class_and_odd_names_can_be_drawn(tmp_path):
    rows = [
        Utterance(id=name, path=tmp_path / "a", bona_fide=False, dataset=name, generator=name, duration_s=2.0)
        for name in ("$x$ \\frac{", "_^", "\x1b[2J", "a" * 200)
    ]
    plot(rows, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 5_000


def test_json_holds_everything(protocol, capsys):
    run_stats([protocol], [], None, 0, as_json=True)
    stats = json.loads(capsys.readouterr().out)
    assert set(stats) == {"protocols", "classes", "duration_s", "by", "shortcuts"}
    assert set(stats["by"]) == set(COLUMNS)
    assert stats["shortcuts"] is None
    run_stats([protocol], ["codec", "rate"], None, 0, as_json=True)
    assert set(json.loads(capsys.readouterr().out)["by"]) == {"codec", "rate"}


def test_long_tables_are_cut_for_people_and_say_so(protocol, capsys):
    run_stats([protocol], ["generator"], None, 0, as_json=False)
    text = capsys.readouterr().out
    assert "... and 9 more; --json holds all" in text  # 20 generators and '-', 12 of which are shown
    assert "hours real" in text


def test_the_probe_is_printed_with_its_sentence(tmp_path, capsys):
    rng = np.random.default_rng(0)
    rows = []
    for i in range(50):
        path = tmp_path / f"{i}.wav"
        soundfile.write(path, rng.normal(0, 0.2 if i % 2 else 0.01, 3_000), 16_000)
        rows.append(Utterance(id=f"{i}", path=path, bona_fide=i % 2 == 0, dataset="d", duration_s=0.19))
    write_protocol(rows, tmp_path / "p.csv", tmp_path)
    run_stats([tmp_path / "p.csv"], ["rate"], None, 100, as_json=False)
    text = capsys.readouterr().out
    assert "25 real and 25 fake recordings of 50 groups, 0 could not be read" in text
    assert "level_dbfs" in text
    assert "Shortcuts: " in text


def test_without_the_extra_the_tables_are_there_and_the_probe_says_what_is_missing(
    protocol, capsys, monkeypatch
):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    run_stats([protocol], [], None, 10, as_json=False)
    told = capsys.readouterr()
    assert "dataset" in told.out
    assert "no shortcut probe: sklearn is needed" in told.err
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtra, match="earwitness\\[train\\]"):
        run_stats([protocol], [], protocol.with_suffix(".png"), 0, as_json=False)


@pytest.mark.parametrize(
    ("by", "name", "says"),
    [
        (["genrator"], None, "perhaps generator"),
        (["xyz"], None, "perhaps dataset, split"),
        ([], "plot.jpg", "expected a name in .png, .svg, .pdf"),
    ],
)
def test_wrong_usage_is_met_before_anything_is_read(tmp_path, by, name, says):
    with pytest.raises(InputError, match=says) as caught:
        run_stats([tmp_path / "none.csv"], by, name and tmp_path / name, 0, as_json=False)
    assert caught.value.code == "usage"
