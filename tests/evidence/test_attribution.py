"""Source tracing against scikit-learn, formulas written out, and promises that must hold for any data."""

import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from earwitness.errors import InputError
from earwitness.evidence import attribution as tracing
from earwitness.evidence.attribution import NONE, STRANGENESS, build, load, posteriors, save, trace

SPACE = "ab" * 32


def voices(seed=0, classes=4, pages=6, each=6, size=24, spread=0.35):
    """Embeddings of classes that stand on several pages, names and pages."""
    rng = np.random.default_rng(seed)
    middles = rng.normal(0, 1, (classes, size))
    code = np.repeat(np.arange(classes), pages * each)
    page = np.tile(np.repeat(np.arange(pages), each), classes)
    rows = middles[code] + rng.normal(0, spread, (len(code), size))
    return rows, [f"system {c}" for c in code], [f"page {p}" for p in page], middles


def tracer_of(**options):
    rows, names, pages, _ = voices()
    return build(rows, names, pages, space=SPACE, level="architecture", **options)


def test_the_vote_is_that_of_sklearn():
    neighbors = pytest.importorskip("sklearn.neighbors")
    rows, names, pages, _ = voices(spread=1.5)
    tracer = build(rows, names, pages, space=SPACE, level="family", method="knn")
    assert tracer.reference.k == tracing.K
    asked = np.random.default_rng(1).normal(0, 1, (40, rows.shape[1]))
    model = neighbors.KNeighborsClassifier(tracing.K, metric="cosine", weights="distance").fit(rows, names)
    assert np.allclose(posteriors(tracer, asked), model.predict_proba(asked), atol=1e-4)


def test_where_classes_are_small_fewer_vote():
    rows, names, pages, _ = voices(pages=3, each=2)
    assert build(rows, names, pages, space=SPACE, level="family").reference.k == 6


@pytest.mark.parametrize("size", [8, 400])  # more and fewer rows than numbers
def test_the_classifier_is_the_ridge_regression_of_sklearn(size):
    linear = pytest.importorskip("sklearn.linear_model")
    rows, names, _, _ = voices(size=size)
    rows, codes = tracing.unit(rows), np.unique(names, return_inverse=True)[1]
    kept = np.r_[0:36, 36:60, 72:90, 108:110]  # classes of different size
    rows, codes = rows[kept].astype(float), codes[kept]
    shares = 1 / (4 * np.bincount(codes)[codes])
    penalty = tracing.RIDGE * float(shares @ ((rows - shares @ rows) ** 2).sum(1))
    model = linear.Ridge(penalty).fit(rows, np.eye(4)[codes], sample_weight=shares)
    found = tracing.fit(rows.astype(np.float32), codes, 4, tracing.K)
    assert np.allclose(found.weights, model.coef_.T, atol=1e-5)
    assert np.allclose(found.offset, model.intercept_, atol=1e-5)


def test_the_scale_makes_left_out_groups_most_likely():
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    rows, names, pages, _ = voices(spread=1.5)
    rows, codes = tracing.unit(rows), np.unique(names, return_inverse=True)[1]
    held_out = tracing.leave_groups_out(rows, codes, np.array(pages), tracing.K)
    plain = np.concatenate([tracing.logits(other, rows[part]) for other, part in held_out])
    own = codes[np.concatenate([part for _, part in held_out])]

    def cost(log_scale):
        z = np.exp(log_scale) * plain
        return np.mean(logsumexp(z, axis=1) - z[np.arange(len(z)), own])

    best = minimize_scalar(cost, bounds=np.log([0.1, 1000]), method="bounded")
    found = tracing.best_scale(held_out, rows, codes)
    assert cost(np.log(found)) == pytest.approx(best.fun, abs=1e-3)


def test_each_score_is_its_formula():
    from scipy.spatial.distance import cdist
    from scipy.special import logsumexp

    tracer = tracer_of()
    reference = tracer.reference
    asked = tracing.unit(np.random.default_rng(2).normal(0, 1, (7, 24)))
    z = tracing.logits(reference, asked)
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    of_rows = logsumexp(tracing.logits(reference, reference.embeddings), axis=1)
    expected = {
        "knn-distance": cdist(asked, reference.embeddings, "cosine").min(1),
        "energy": -np.log(np.exp(z).sum(1)),
        "softmax-energy": -np.log(np.exp(p).sum(1)),
        "nsd": [
            -np.mean([(f @ g) * v for g, v in zip(reference.embeddings, of_rows, strict=True)])
            * logsumexp(logit)
            for f, logit in zip(asked, z, strict=True)
        ],
        "max-softmax": -p.max(1),
    }
    assert set(expected) == set(STRANGENESS)
    for by in STRANGENESS:
        assert np.allclose(tracing.strangeness(reference, asked, by), expected[by], atol=1e-5), by


def test_energies_keep_within_their_bounds():
    assert tracing.energy(np.zeros((1, 2))) == pytest.approx(-np.log(2))
    sure, torn = np.array([[1e4, 0, 0, 0, 0]]), np.zeros((1, 5))
    assert tracing.softmax_energy(sure) == pytest.approx(-np.log(np.e + 4))
    assert tracing.softmax_energy(torn) == pytest.approx(-np.log(5 * np.exp(1 / 5)))
    z = np.random.default_rng(0).normal(0, 9, (200, 5))
    found = tracing.softmax_energy(z)
    assert (found >= -np.log(np.e + 4) - 1e-12).all()
    assert (found <= -np.log(5 * np.exp(1 / 5)) + 1e-12).all()
    assert np.allclose(tracing.energy(z + 3), tracing.energy(z) - 3)
    assert np.allclose(tracing.softmax_energy(z + 3), found)


@pytest.mark.parametrize("method", tracing.METHODS)
@pytest.mark.parametrize("by", STRANGENESS)
def test_the_known_are_named_and_what_is_like_nothing_is_none_of_these(method, by):
    rows, names, pages, middles = voices()
    tracer = build(rows, names, pages, space=SPACE, level="architecture", method=method, by=by)
    rng = np.random.default_rng(5)
    asked = middles + rng.normal(0, 0.2, middles.shape)
    found = trace(tracer, asked)
    assert [one.label for one in found] == list(tracer.names)
    for one in found:
        assert one.neighbours[0].name == one.label
        assert 0.05 < one.known <= 1
        assert 0 < one.confidence <= 1
    apart = np.linalg.qr(middles.T, mode="complete")[0][:, -1]  # at right angles to all that is known
    stranger = trace(tracer, apart[None])[0]
    assert stranger.label == NONE
    assert stranger.nearest_name in tracer.names
    assert stranger.confidence == pytest.approx(1 - stranger.known)


@pytest.mark.parametrize("by", STRANGENESS)
def test_as_many_of_the_known_of_new_groups_are_rejected_as_is_promised(by):
    rejected = []
    for seed in range(12):
        rows, names, pages, _ = voices(seed, pages=12, spread=1.0)
        heard = np.isin(pages, [f"page {p}" for p in range(8, 12)])
        kept = np.flatnonzero(~heard)
        names_of, pages_of = [names[i] for i in kept], [pages[i] for i in kept]
        tracer = build(rows[kept], names_of, pages_of, space=SPACE, level="family", by=by)
        rejected += [one.label == NONE for one in trace(tracer, rows[heard])]
    assert np.mean(rejected) == pytest.approx(tracing.FALSE_REJECTION, abs=0.03)


def test_thresholds_come_from_strangers_to_the_group():
    rng = np.random.default_rng(3)
    rows, names, pages, _ = voices(spread=0.2)
    shifts = {page: rng.normal(0, 0.8, rows.shape[1]) for page in set(pages)}
    moved = rows + np.stack([shifts[page] for page in pages])
    options = {"space": SPACE, "level": "family", "by": "knn-distance"}
    by_page = build(moved, names, pages, **options)
    one_by_one = build(moved, names, [str(i) for i in range(len(names))], **options)
    assert by_page.threshold > 2 * one_by_one.threshold


def test_what_stands_in_one_group_alone_is_named_and_not_judged():
    rows, names, pages, _ = voices()
    extra = np.random.default_rng(8).normal(0, 1, (1, 24)) + np.random.default_rng(9).normal(0, 0.1, (5, 24))
    more = [*names, *["only here"] * 5], [*pages, *["page 0"] * 5]
    tracer = build(np.concatenate([rows, extra]), *more, space=SPACE, level="architecture")
    assert tracer.judged.shape == (len(STRANGENESS), len(rows))
    assert trace(tracer, extra)[0].label == "only here"


def test_neighbours_are_the_nearest_by_cosine_with_their_ids():
    from scipy.spatial.distance import cdist

    rows, names, pages, _ = voices(spread=1.0)
    ids = [f"clip {i}" for i in range(len(rows))]
    tracer = build(rows, names, pages, space=SPACE, level="family", ids=ids)
    asked = np.random.default_rng(4).normal(0, 1, (5, 24))
    for one, distances in zip(trace(tracer, asked, 7), cdist(asked, rows, "cosine"), strict=True):
        order = np.argsort(distances)[:7]
        assert [like.id for like in one.neighbours] == [ids[i] for i in order]
        assert [like.name for like in one.neighbours] == [names[i] for i in order]
        assert [like.similarity for like in one.neighbours] == pytest.approx(1 - distances[order], abs=1e-5)


def test_neither_length_nor_order_nor_company_changes_an_answer():
    rows, names, pages, _ = voices(spread=1.0)
    order = np.random.default_rng(6).permutation(len(rows))
    asked = np.random.default_rng(7).normal(0, 1, (6, 24))
    first = trace(tracer_like(rows, names, pages), asked)
    mixed = tracer_like(rows[order] * 4.0, [names[i] for i in order], [pages[i] for i in order])
    for one, other in zip(first, trace(mixed, asked * 1e-3), strict=True):
        assert one.label == other.label
        assert one.known == pytest.approx(other.known)
        assert one.confidence == pytest.approx(other.confidence, abs=1e-4)
    alone = [trace(tracer_like(rows, names, pages), row[None])[0].label for row in asked]
    assert alone == [one.label for one in first]


def tracer_like(rows, names, pages):
    return build(rows, names, pages, space=SPACE, level="family")


@pytest.mark.parametrize("method", tracing.METHODS)
def test_a_tracer_survives_its_file(tmp_path, method):
    tracer = tracer_of(method=method, by="nsd", false_rejection=0.1)
    save(tracer, tmp_path / "t.npz")
    again = load(tmp_path / "t.npz", SPACE)
    asked = np.random.default_rng(4).normal(0, 1, (9, 24))
    assert trace(again, asked) == trace(tracer, asked)
    assert [path.name for path in tmp_path.iterdir()] == ["t.npz"]
    with np.load(tmp_path / "t.npz", allow_pickle=False) as archive:
        assert set(archive.files) == set(tracing.KINDS)


def test_a_tracer_of_another_model_is_refused(tmp_path):
    save(tracer_of(), tmp_path / "t.npz")
    with pytest.raises(InputError) as caught:
        load(tmp_path / "t.npz", "cd" * 32)
    assert caught.value.code == "tracer-space"


def altered(path, name, array):
    """The file with one array exchanged."""
    with np.load(path) as archive:
        arrays = dict(archive) | {name: array}
    np.savez(path, **arrays)


def about_with(path, **changes):
    with np.load(path) as archive:
        about = json.loads(archive["about"].tobytes()) | changes
    return np.frombuffer(json.dumps(about).encode(), np.uint8)


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"level": "speaker"},
        {"method": "guess"},
        {"by": "smell"},
        {"scale": 0.0},
        {"scale": float("nan")},
        {"k": 0},
        {"false_rejection": 1e-9},
        {"names": ["a", "a", "b", "c"]},
        {"names": ["a", "b"]},
        {"names": 3},
        {"ids": [1, 2]},
        {"space": None},
    ],
)
def test_a_file_whose_parts_do_not_fit_is_refused(tmp_path, changes):
    path = tmp_path / "t.npz"
    save(tracer_of(), path)
    altered(path, "about", about_with(path, **changes))
    with pytest.raises(InputError) as caught:
        load(path, SPACE)
    assert caught.value.code == "bad-tracer"


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("codes", np.full(144, 9, np.int32)),
        ("weights", np.full((24, 4), np.nan)),
        ("embeddings", np.zeros(3, np.float32)),
        ("judged", np.zeros((5, 0))),
        ("judged", np.tile([1.0, 0.0] * 50, (5, 1))),
        ("offset", np.array([{}], object)),
        ("about", np.frombuffer(b"[" * 100_000, np.uint8)),
    ],
)
def test_a_file_with_arrays_of_another_kind_is_refused(tmp_path, name, array):
    path = tmp_path / "t.npz"
    save(tracer_of(), path)
    altered(path, name, array)
    with pytest.raises(InputError) as caught:
        load(path, SPACE)
    assert caught.value.code == "bad-tracer"


def test_a_header_that_promises_more_than_there_is_allocates_nothing(tmp_path):
    path = tmp_path / "t.npz"
    save(tracer_of(), path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    honest = parts["embeddings.npy"]
    assert b"(144, 24)" in honest
    parts["embeddings.npy"] = honest.replace(b"(144, 24), }      ", b"(99999999, 24), } ")
    assert parts["embeddings.npy"] != honest
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    with pytest.raises(InputError) as caught:
        load(path, SPACE)
    assert caught.value.code == "bad-tracer"


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no tracer"])
def test_what_is_no_archive_is_refused(tmp_path, content):
    (tmp_path / "t.npz").write_bytes(content)
    for path in (tmp_path / "t.npz", tmp_path / "absent.npz", tmp_path):
        with pytest.raises(InputError) as caught:
            load(path, SPACE)
        assert caught.value.code == "bad-tracer"


def test_any_cut_of_a_file_is_refused_in_a_sentence(tmp_path):
    save(tracer_of(), tmp_path / "t.npz")
    data = (tmp_path / "t.npz").read_bytes()
    for share in (0.01, 0.3, 0.9, 0.999):
        (tmp_path / "cut.npz").write_bytes(data[: int(share * len(data))])
        with pytest.raises(InputError) as caught:
            load(tmp_path / "cut.npz", SPACE)
        assert caught.value.code == "bad-tracer"


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("bad-embeddings", {"embeddings": np.full((144, 24), np.inf)}),
        ("bad-embeddings", {"embeddings": np.zeros(144)}),
        ("bad-labels", {"names": ["a"] * 144}),
        ("bad-labels", {"names": ["a"] * 143}),
        ("bad-labels", {"names": [NONE, "a"] * 72}),
        ("too-few-groups", {"groups": ["one page"] * 144}),
        ("too-few-groups", {"false_rejection": 0.001}),
    ],
)
def test_what_cannot_be_learnt_is_refused(code, change):
    rows, names, pages, _ = voices()
    given = {"embeddings": rows, "names": names, "groups": pages} | change
    with pytest.raises(InputError) as caught:
        build(**given, space=SPACE, level="family")
    assert caught.value.code == code


def test_embeddings_of_another_size_are_refused():
    with pytest.raises(InputError) as caught:
        trace(tracer_of(), np.zeros((2, 23)))
    assert caught.value.code == "bad-embeddings"


def test_silence_gets_an_answer():
    one = trace(replace(tracer_of(), method="knn"), np.zeros((1, 24)))[0]
    assert one.label == NONE
    assert np.isfinite([one.confidence, one.known]).all()
