"""Who made a recording if it is fake: in a verdict, its record and a scan; tracers as files."""

import io
import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from base_of_clusters import MODEL, SIZE, unit
from hypothesis import given, settings
from hypothesis import strategies as st

from earwitness import ScanOptions, scan, scan_many, to_record
from earwitness.decision.scoring import score_clips
from earwitness.errors import InputError
from earwitness.evidence import attribution as tracing
from earwitness.operations import scan as scanning
from earwitness.operations.attribute import attributed, open_tracer, read_space
from earwitness.operations.tracers import described
from earwitness.types import Failure, Heard, Thresholds, Verdict, VerdictName

MIDDLES = np.random.default_rng(0).normal(size=(5, SIZE))


def rows_of(classes=4, pages=5, each=4, spread=1.0, seed=1):
    """Embeddings around a middle each, their classes and pages; class 4 stands on page 0 alone."""
    rng = np.random.default_rng(seed)
    code = np.r_[np.repeat(np.arange(classes), pages * each), [4] * each]
    page = np.r_[np.tile(np.repeat(np.arange(pages), each), classes), [0] * each]
    return MIDDLES[code] + rng.normal(0, spread, (len(code), SIZE)), code, page


def heard(rows, name: VerdictName = "fake"):
    found = Heard(unit(np.atleast_2d(rows)), np.zeros(len(np.atleast_2d(rows))), None)
    return Verdict("a.wav", name, "", MODEL, 0.5, Thresholds(0.8, 0.2), True, heard=found)


def tracer(**options):
    rows, code, page = rows_of(spread=0.4)
    names, pages = [f"g{c}" for c in code], [f"p{p}" for p in page]
    return tracing.build(rows, names, pages, space=MODEL.digest, level="architecture", **options)


TRACER = tracer()


# in a verdict


def test_windows_are_averaged_at_unit_length():
    rng = np.random.default_rng(2)
    rows = MIDDLES[1] + rng.normal(0, 0.5, (3, SIZE))
    rows[0] *= 50  # a loud window counts no more than another
    middle = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).mean(0)
    (expected,) = tracing.trace(TRACER, middle[None] / np.linalg.norm(middle))
    found = attributed(heard(rows), TRACER).attribution
    assert found is not None
    assert (found.label, found.nearest_name, found.level) == ("g1", expected.nearest_name, "architecture")
    assert found.confidence == pytest.approx(expected.confidence, abs=1e-5)
    assert found.known == pytest.approx(expected.known)
    assert [one.id for one in found.neighbours] == [one.id for one in expected.neighbours]
    assert found.basis == "acoustic"


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_neither_order_nor_repetition_of_windows_matters(seeds, random):
    rows = np.concatenate([np.random.default_rng(seed).normal(size=(1, SIZE)) for seed in seeds])
    mixed = np.concatenate([rows, rows])[random.sample(range(2 * len(rows)), 2 * len(rows))]
    one, other = (attributed(heard(each), TRACER).attribution for each in (rows, mixed))
    assert one is not None
    assert other is not None
    assert (one.label, one.nearest_name) == (other.label, other.nearest_name)
    assert one.confidence == pytest.approx(other.confidence, abs=1e-4)


@pytest.mark.parametrize("name", ["genuine", "uncertain"])
def test_a_name_beside_another_verdict_says_so(name):
    found = attributed(heard(MIDDLES[2], name), TRACER).attribution
    assert found is not None
    assert found.label == "g2"
    assert name in found.note
    assert "only if" in found.note
    fake = attributed(heard(MIDDLES[2]), TRACER).attribution
    assert fake == replace(found, note="")


def test_what_was_not_heard_gets_no_name_and_an_error_nothing():
    silent = replace(heard(MIDDLES[0], "no-speech"), heard=None)
    found = attributed(silent, TRACER).attribution
    assert found is not None
    assert (found.label, found.confidence, found.basis, found.neighbours) == (None, None, "unknown", ())
    assert "no-speech" in found.note
    failed = replace(silent, verdict="error", error=Failure("empty-file", "0 bytes"))
    assert attributed(failed, TRACER) == failed


def test_a_record_has_it_only_where_it_was_asked_for():
    plain = heard(MIDDLES[0])
    assert "attribution" not in to_record(plain)
    record = to_record(attributed(plain, TRACER))["attribution"]
    assert json.loads(json.dumps(record)) == record
    assert list(record) == "label confidence known nearest_name level basis note neighbours".split()
    assert set(record["neighbours"][0]) == {"id", "name", "similarity"}


# of a scan


def test_a_tracer_of_another_model_is_refused_before_anything_is_heard(tmp_path, samples, monkeypatch):
    tracing.save(TRACER, tmp_path / "t.npz")
    monkeypatch.setattr(scanning, "hear", lambda *_: pytest.fail("a recording was heard"))
    path = samples / "genuine-vctk.mp3"
    for asked in (
        lambda: scan(path, attribute=tmp_path / "t.npz"),
        lambda: next(scan_many([path], options=ScanOptions(tracer=str(tmp_path / "t.npz")))),
    ):
        with pytest.raises(InputError) as caught:
            asked()
        assert caught.value.code == "tracer-space"


def test_a_scan_takes_no_profile_for_a_tracer_alone(tmp_path, samples, detector):
    tracing.save(like_the_detector(detector), tmp_path / "t.npz")
    verdict = scan(samples / "genuine-vctk.mp3", attribute=tmp_path / "t.npz")
    assert verdict.heard is not None
    assert verdict.heard.profile is None
    assert verdict.attribution is not None
    assert scan(samples / "genuine-vctk.mp3").attribution is None


def like_the_detector(detector):
    """A tracer of embeddings of the detector's size that hold nothing."""
    (scored,) = score_clips(detector, [np.zeros(16_000, np.float32)])
    size, rng = scored.embedding.size, np.random.default_rng(0)
    middles, code = rng.normal(size=(2, size)), np.arange(40) % 2
    rows = middles[code] + rng.normal(size=(40, size))
    names, groups = [f"g{c}" for c in code], [f"p{i // 4}" for i in range(40)]
    return tracing.build(rows, names, groups, space=detector.id.space, level="family")


# tracers as files


def test_any_tracer_can_be_opened_to_look_at(tmp_path):
    tracing.save(TRACER, tmp_path / "t.npz")
    assert read_space(tmp_path / "t.npz") == MODEL.digest
    assert open_tracer(tmp_path / "t.npz").names == TRACER.names
    assert described(TRACER, tmp_path / "t.npz")["names"] == {f"g{i}": 20 for i in range(4)} | {"g4": 4}


def archive_of(data):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("about.npy", data)
    return buffer.getvalue()


def array_of(data):
    buffer = io.BytesIO()
    np.save(buffer, np.frombuffer(data, np.uint8))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"PK\x03\x04",
        archive_of(b""),
        archive_of(b"\x93NUMPY"),
        archive_of(array_of(b"[" * 100_000)),
        archive_of(array_of(b"{}")),
        archive_of(array_of(b"\xff{")),
        archive_of(array_of(b'{"space": "x"}')),
    ],
)
def test_what_is_no_tracer_is_refused_in_a_sentence(tmp_path, content):
    if content is not None:
        (tmp_path / "t.npz").write_bytes(content)
    with pytest.raises(InputError) as caught:
        open_tracer(tmp_path / "t.npz")
    assert caught.value.code == "bad-tracer"
