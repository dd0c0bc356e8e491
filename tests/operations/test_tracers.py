"""Tracers learnt of tables and knowledge bases, judged as scikit-learn would judge them."""

from pathlib import Path

import numpy as np
import pytest
from base_of_clusters import MODEL, SIZE, make

from earwitness.audio.protocol import Utterance, write_protocol
from earwitness.errors import InputError
from earwitness.evidence import attribution as tracing
from earwitness.evidence.knowledge import Knowledge
from earwitness.operations import tracers
from earwitness.operations.attribute import open_tracer
from earwitness.operations.samples import Samples, write_samples
from earwitness.operations.tracers import LearnOptions, learn, options_of

MIDDLES = np.random.default_rng(0).normal(size=(5, SIZE))


def rows_of(classes=4, pages=5, each=4, spread=1.0, seed=1):
    """Embeddings around a middle each, their classes and pages; class 4 stands on page 0 alone."""
    rng = np.random.default_rng(seed)
    code = np.r_[np.repeat(np.arange(classes), pages * each), [4] * each]
    page = np.r_[np.tile(np.repeat(np.arange(pages), each), classes), [0] * each]
    return MIDDLES[code] + rng.normal(0, spread, (len(code), SIZE)), code, page


def write_table(table, **columns):
    """A table of fakes by five generators on five pages, and two genuine rows; columns may be exchanged."""
    rows, code, page = rows_of()
    rows = np.concatenate([rows, np.ones((2, SIZE))])
    own = {
        "path": [f"/voices/{i}.wav" for i in range(len(rows))],
        "label": ["fake"] * len(code) + ["real"] * 2,
        "generator": [f"g{c}" for c in code] + ["-"] * 2,
        "source": [f"page {p}" for p in page] + ["-"] * 2,
        "model": [MODEL.digest] * len(rows),
    } | columns
    ids = [f"id{i}" for i in range(len(rows))]
    kept = {name: cells for name, cells in own.items() if cells is not None}
    write_samples(table, Samples(ids, np.zeros(len(rows)), rows.astype(np.float32), kept))
    return str(table)


def left_out(method):
    """Classes and pages of the rows, and what scikit-learn says of each by all other pages."""
    neighbors, linear = pytest.importorskip("sklearn.neighbors"), pytest.importorskip("sklearn.linear_model")
    from sklearn.model_selection import LeaveOneGroupOut

    rows, code, page = rows_of()
    rows, said = tracing.unit(rows).astype(float), np.full(len(code), -1)
    for rest, here in LeaveOneGroupOut().split(rows, code, page):
        counts = np.bincount(code[rest])
        if method == "knn":
            k = min(tracing.K, int(np.median(counts[counts > 0])))
            model = neighbors.KNeighborsClassifier(k, metric="cosine", weights="distance")
            said[here] = model.fit(rows[rest], code[rest]).predict(rows[here])
            continue
        shares = 1 / (np.count_nonzero(counts) * counts[code[rest]])
        middle = shares @ rows[rest]
        penalty = tracing.RIDGE * float(shares @ ((rows[rest] - middle) ** 2).sum(1))
        model = linear.Ridge(penalty).fit(rows[rest], np.eye(5)[code[rest]], sample_weight=shares)
        values = model.predict(rows[here])
        values[:, counts[:5] == 0 if len(counts) == 5 else np.r_[counts == 0, [True]]] = -np.inf
        said[here] = values.argmax(1)
    return code, page, said


@pytest.mark.parametrize("method", tracing.METHODS)
def test_figures_are_those_of_pages_left_out(tmp_path, method):
    metrics = pytest.importorskip("sklearn.metrics")
    about = learn([write_table(tmp_path / "t.csv")], tmp_path / "t.npz", LearnOptions(method=method))
    code, page, said = left_out(method)
    known = ~((code == 4) & (page == 0))  # g4 stands on page 0 alone
    closed = about["closed_set"]
    assert closed["recordings"] == known.sum() == 80
    assert closed["accuracy"] == pytest.approx(metrics.accuracy_score(code[known], said[known]))
    assert closed["macro_f1"] == pytest.approx(metrics.f1_score(code[known], said[known], average="macro"))
    assert 0.3 < closed["accuracy"] < 1
    recalls = metrics.recall_score(code[known], said[known], labels=range(4), average=None)
    assert list(closed["recall"].values()) == pytest.approx(list(recalls))
    assert about["open_set"]["unknown"] == 4
    assert 0 <= about["open_set"]["auroc"] <= 1


def test_auroc_is_that_of_rows_whose_name_is_in_no_other_group(tmp_path, monkeypatch):
    metrics = pytest.importorskip("sklearn.metrics")
    strange = {}

    def noted(reference, rows, by):
        values = np.random.default_rng(len(strange)).normal(size=len(rows)) + (len(rows) > 16)
        strange[len(strange)] = values
        return values

    rows, code, page = rows_of()
    built = tracing.build(rows, [f"g{c}" for c in code], [str(p) for p in page], space="s", level="family")
    labelled = tracers.Labelled(
        [], np.array([f"g{c}" for c in code]), np.array([str(p) for p in page]), rows, "source", {}
    )
    monkeypatch.setattr(tracing, "strangeness", noted)
    found = tracers.judged(labelled, built)["open_set"]
    values = np.zeros(len(code))
    for i in range(5):
        values[page == i] = strange[i]
    assert found == {"unknown": 4, "auroc": pytest.approx(metrics.roc_auc_score(code == 4, values))}


def test_what_is_learnt_is_what_the_table_holds(tmp_path):
    about = learn([write_table(tmp_path / "t.csv")], tmp_path / "deep" / "t.npz")
    assert about["names"] == {f"g{i}": 20 for i in range(4)} | {"g4": 4}
    assert (about["recordings"], about["groups"], about["group"]) == (84, 5, "source")
    assert about["one_group_only"] == ["g4"]
    assert about["left_out"]["genuine"] == 2
    assert "trained on these" in about["caution"]
    found = open_tracer(tmp_path / "deep" / "t.npz", MODEL.digest)
    assert found.ids == tuple(f"id{i}" for i in range(84))
    assert found.reference.embeddings == pytest.approx(tracing.unit(rows_of()[0]), abs=1e-6)


def test_rows_without_label_or_name_are_counted_and_left_out(tmp_path):
    labels = ["fake"] * 80 + ["-", "-", "fake", "fake", "real", "real"]
    _, code, _ = rows_of()
    names = [f"g{c}" for c in code[:80]] + ["g0", "g0", "-", "", "g0", "-"]
    about = learn([write_table(tmp_path / "t.csv", label=labels, generator=names)], tmp_path / "t.npz")
    assert about["recordings"] == 80
    reasons = {"genuine": 2, "without a label": 2, "without a name": 2, "quarantined": 0}
    assert about["left_out"] == reasons


def test_rows_without_a_group_are_one_group(tmp_path):
    sources = ["-"] * 8 + [f"page {i % 5}" for i in range(78)]
    about = learn([write_table(tmp_path / "t.csv", source=sources)], tmp_path / "t.npz")
    assert (about["groups"], about["without_group"]) == (6, 8)


def test_a_column_may_be_named_and_a_level(tmp_path):
    columns = {
        "family": [("tts", "vc")[i % 2] for i in range(86)],
        "release": [f"r{i % 7}" for i in range(86)],
    }
    table = write_table(tmp_path / "t.csv", **columns)
    about = learn([table], tmp_path / "t.npz", LearnOptions("family", group="release"))
    assert about["names"] == {"tts": 42, "vc": 42}
    assert (about["group"], about["groups"]) == ("release", 7)
    assert about["open_set"] == {"unknown": 0, "auroc": None}


def test_a_protocol_gives_names_and_groups_by_path(tmp_path):
    plain = dict.fromkeys(("label", "generator", "source"))
    _, code, page = rows_of()
    items = [
        Utterance(
            id=f"u{i}",
            path=Path(f"/voices/{i}.wav"),
            bona_fide=False,
            dataset="d",
            architecture=f"a{c}",
            group=f"p{p}",
            duration_s=1.0,
        )
        for i, (c, p) in enumerate(zip(code, page, strict=True))
    ]
    write_protocol(items, tmp_path / "p.csv", Path("/voices"))
    (tmp_path / "p.json").write_text('{"root": "/voices"}')
    table = write_table(tmp_path / "t.csv", **plain)
    about = learn([table], tmp_path / "t.npz", protocols=[tmp_path / "p.csv"])
    assert about["names"] == {f"a{i}": 20 for i in range(4)} | {"a4": 4}
    assert (about["group"], about["groups"]) == ("group", 5)
    assert about["left_out"]["without a label"] == 2
    other = write_table(tmp_path / "o.csv", path=[f"/other/{i}" for i in range(86)])
    with pytest.raises(InputError, match="by their paths"):
        learn([other], tmp_path / "t.npz", protocols=[tmp_path / "p.csv"])


def test_a_knowledge_base_teaches_its_spoofed_entries(tmp_path):
    items = [make(i, i % 5 == 0, spread=0.2, source=f"s{i % 4}") for i in range(60)]
    with Knowledge.create(tmp_path / "known.db", MODEL, SIZE) as base:
        base.add(items)
        base.quarantine(items[1].entry.id, "doubted")
    about = learn([str(tmp_path / "known.db")], tmp_path / "t.npz")
    assert about["left_out"] == {
        "genuine": 12,
        "without a label": 0,
        "without a name": 0,
        "quarantined": 1,
    }
    assert about["names"] == {"g0": 16, "g1": 15, "g2": 16}
    assert (about["group"], about["groups"], about["space"]) == ("source", 4, MODEL.digest)
    found = open_tracer(tmp_path / "t.npz")
    for item in items[2:5]:
        row = found.reference.embeddings[found.ids.index(item.entry.id)]
        middle = item.embeddings.mean(0)
        assert row == pytest.approx(middle / np.linalg.norm(middle), abs=1e-6)


def test_tables_and_bases_are_learnt_together(tmp_path):
    with Knowledge.create(tmp_path / "known.db", MODEL, SIZE) as base:
        base.add([make(i, False, source=f"s{i % 4}") for i in range(12)])
    places = [write_table(tmp_path / "t.csv"), str(tmp_path / "known.db")]
    about = learn(places, tmp_path / "t.npz")
    assert about["recordings"] == 84 + 12
    assert about["groups"] == 9


@pytest.mark.parametrize(
    ("code", "columns", "options"),
    [
        ("usage", {}, LearnOptions(group="page")),
        ("bad-labels", {"generator": ["-"] * 86}, LearnOptions()),
        ("bad-labels", {"label": ["real"] * 86}, LearnOptions()),
        ("bad-labels", {}, LearnOptions("family")),
        ("bad-labels", {"generator": ["one"] * 86}, LearnOptions()),
        ("bad-labels", {"generator": [f"n{i}" for i in range(86)]}, LearnOptions()),
        ("too-few-groups", {"source": ["one page"] * 86}, LearnOptions()),
        ("usage", {"model": ["-"] * 86}, LearnOptions()),
    ],
)
def test_what_cannot_be_learnt_is_refused(tmp_path, monkeypatch, code, columns, options):
    monkeypatch.setattr(tracers, "MOST_NAMES", 50)
    with pytest.raises(InputError) as caught:
        learn([write_table(tmp_path / "t.csv", **columns)], tmp_path / "t.npz", options)
    assert caught.value.code == code
    assert not (tmp_path / "t.npz").exists()


def test_nothing_but_a_tracer_is_written_over(tmp_path):
    table = write_table(tmp_path / "t.csv")
    for out in ("t.csv", "t.npy", "known.db", "t"):
        with pytest.raises(InputError, match="npz"):
            learn([table], tmp_path / out)


@pytest.mark.parametrize("words", [("speaker", "knn", 0.1), ("family", "guess", 0.1), ("family", "knn", 1.0)])
def test_options_that_cannot_be_are_refused(words):
    with pytest.raises(InputError) as caught:
        options_of(words[0], words[1], words[2], None)
    assert caught.value.code == "usage"


def test_embeddings_are_of_the_model_that_the_table_names(tmp_path, monkeypatch):
    card = {"name": "corrected", "files": {"model.onnx": "12" * 32}, "embedding_of": MODEL.digest}
    monkeypatch.setattr(tracers, "read_card", lambda folder: card)
    by_itself = [card["files"]["model.onnx"]] * 86
    for cells, model in ((by_itself, None), (by_itself, "embedded"), (["-"] * 86, "embedded")):
        about = learn([write_table(tmp_path / "t.csv", model=cells)], tmp_path / "t.npz", model=model)
        assert about["space"] == MODEL.digest
    other = write_table(tmp_path / "t.csv", model=["cd" * 32] * 86)
    assert learn([other], tmp_path / "t.npz")["space"] == "cd" * 32
    with pytest.raises(InputError) as caught:
        learn([other], tmp_path / "t.npz", model="embedded")
    assert caught.value.code == "tracer-space"
