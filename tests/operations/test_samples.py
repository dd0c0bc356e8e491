"""Tables of samples: read what was written, what others write, and refuse the rest."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earwitness.errors import InputError
from earwitness.operations.samples import Samples, joined, read_samples, write_samples

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=12).map(str.strip)


def table(tmp_path, text, rows=2, size=3):
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8")
    np.save(tmp_path / "t.npy", np.arange(rows * size, dtype=np.float32).reshape(rows, size))
    return path


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(WORDS, WORDS, st.floats(-1e6, 1e6)), min_size=1, max_size=8, unique_by=lambda t: t[0])
)
def test_what_is_written_reads_back(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("t") / "t.csv"
    ids, paths, scores = zip(*rows, strict=True)
    vectors = np.random.default_rng(0).normal(size=(len(rows), 4)).astype(np.float32)
    write_samples(path, Samples(list(ids), np.array(scores), vectors, {"path": list(paths)}))
    found = read_samples(path)
    assert (found.ids, found.columns) == (list(ids), {"path": list(paths)})
    np.testing.assert_array_equal(found.scores, scores)
    np.testing.assert_array_equal(found.embeddings, vectors)


def test_tables_of_antideepfake_are_read(tmp_path):
    found = read_samples(table(tmp_path, 'ID,Score,Label\na,"[0.5, -1.5]",0\nb,"[-1.0, 2.0]",1\n'))
    np.testing.assert_allclose(found.scores, [-2.0, 3.0])
    assert found.labels.tolist() == [0, 1]
    np.testing.assert_allclose(found.numbers("logit_real"), [-1.5, 2.0])


def test_columns_that_are_not_there_are_not_known(tmp_path):
    found = read_samples(table(tmp_path, "id,score\na,1\nb,2\n"))
    assert found.column("path") == ["-", "-"]
    assert found.labels.tolist() == [-1, -1]
    assert np.isnan(found.numbers("duration_s")).all()
    assert found.model == "-"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,points\na,1\nb,2\n", "no column score"),
        ("id,score\na,1\na,2\n", "rows 2 and 3 have one id"),
        ("id,score\na,1\nb,high\n", "row 3: 'high' is no score"),
        ("id,score\na,1\nb,nan\n", "row 3: 'nan' is no score"),
        ("id,score,label\na,1,real\nb,2,maybe\n", "row 3: no label is called 'maybe'"),
        ("id,score\na,1\nb,2,3\n", "row 3: not 2 cells"),
        ("id,score\na,1\nb\n", "row 3: not 2 cells"),
        ("id,score\na,1\n", "a row for each of the 1"),
        ("id,score,model\na,1,x\nb,1,y\n", "several models"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path, text, said):
    with pytest.raises(InputError, match=said) as caught:
        read_samples(table(tmp_path, text))
    assert caught.value.code == "bad-samples"


def test_arrays_that_are_none_are_refused(tmp_path):
    path = table(tmp_path, "id,score\na,1\nb,2\n")
    for array in (np.array([[1.0], [np.nan]]), np.array([[1], [2]]), np.zeros(2), np.array([[None], [1]])):
        np.save(tmp_path / "t.npy", array, allow_pickle=True)
        with pytest.raises(InputError, match=r"t\.npy"):
            read_samples(path)
    (tmp_path / "t.npy").unlink()
    with pytest.raises(InputError, match=r"t\.npy"):
        read_samples(path)


def test_joined_keeps_the_first_of_an_id_and_fills_columns():
    one = Samples(
        ["a", "b"], np.array([1.0, 2.0]), np.eye(2, 3, dtype=np.float32), {"label": ["real", "fake"]}
    )
    two = Samples(["b", "c"], np.array([5.0, 6.0]), np.ones((2, 3), np.float32), {"path": ["x", "y"]})
    found = joined([one, two])
    assert found.ids == ["a", "b", "c"]
    assert found.scores.tolist() == [1.0, 2.0, 6.0]
    assert found.column("label") == ["real", "fake", "-"]
    assert found.column("path") == ["-", "-", "y"]
    with pytest.raises(InputError, match="several models"):
        joined([one, Samples(["d"], np.zeros(1), np.zeros((1, 2), np.float32), {})])
