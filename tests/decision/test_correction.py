"""Corrections against scikit-learn, their limits, and the graph that carries one."""

import numpy as np
import pytest

from earwitness.decision.correction import Correction, correct_graph, fit_correction, unit, weights_of
from earwitness.errors import InputError, ModelError


def data(seed=0, n=200, size=6):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, size)).astype(np.float32)
    bona_fide = rng.random(n) < 1 / (1 + np.exp(-3 * rows[:, 0]))
    return rng.normal(size=n), rows, bona_fide, rng.random(n) < 0.5


def test_without_scores_it_is_logistic_regression():
    from sklearn.linear_model import LogisticRegression

    _, rows, bona_fide, new = data()
    found = fit_correction(np.zeros(200), rows, bona_fide, new, precision=0.5, worth=2.0)
    share = 2 * new.sum() / (200 + new.sum())
    shares = 200 * weights_of(bona_fide, new, share)
    # scikit-learn: sum of losses + |w|^2 / (2 C), with a free offset
    reference = LogisticRegression(C=1 / 0.5, tol=1e-10, max_iter=10_000)
    reference.fit(unit(rows.astype(float)), bona_fide, shares)
    np.testing.assert_allclose(found.weights, reference.coef_[0], atol=2e-3)
    assert found.offset == pytest.approx(float(reference.intercept_[0]), abs=2e-3)


def test_weights_share_out_parts_and_classes():
    bona_fide, new = np.array([1, 1, 0, 1, 0, 0], bool), np.array([1, 1, 1, 0, 0, 0], bool)
    np.testing.assert_allclose(weights_of(bona_fide, new, 0.6), [0.15, 0.15, 0.3, 0.2, 0.1, 0.1])
    one_class = weights_of(np.array([0, 0, 1, 0], bool), np.array([1, 1, 0, 0], bool), 0.5)
    np.testing.assert_allclose(one_class, 0.25)


def test_a_sure_prior_leaves_the_detector_as_it_is():
    llr, rows, bona_fide, new = data(1)
    found = fit_correction(llr, rows, bona_fide, new, precision=1e9)
    np.testing.assert_allclose(found.apply(llr, rows), llr, atol=1e-5)


def test_a_detector_that_is_right_already_is_hardly_changed():
    _, rows, bona_fide, new = data(2)
    sure = np.where(bona_fide, 12.0, -12.0)
    found = fit_correction(sure, rows, bona_fide, new)
    np.testing.assert_allclose(found.apply(sure, rows), sure, atol=0.2)


def test_new_labels_are_learnt():
    llr, rows, bona_fide, new = data(3)
    corrected = fit_correction(llr, rows, bona_fide, new).apply(llr, rows)
    margin = lambda x: x[bona_fide].mean() - x[~bona_fide].mean()  # noqa: E731
    assert margin(corrected) > margin(llr) + 1


def test_one_class_or_no_new_label_is_refused():
    llr, rows, bona_fide, new = data(4)
    with pytest.raises(InputError, match="both classes"):
        fit_correction(llr, rows, np.ones(200, bool), new)
    with pytest.raises(InputError, match="new labels"):
        fit_correction(llr, rows, bona_fide, np.zeros(200, bool))


def graph_of(path, size=4):
    """A graph whose embedding is the first samples of the clip, and whose score is their sum."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    names = ("waveform", "lengths", "score", "embedding")
    kinds = (TensorProto.FLOAT, TensorProto.INT64, TensorProto.FLOAT, TensorProto.FLOAT)
    shapes = (["batch", "samples"], ["batch"], ["batch"], ["batch", size])
    values = [helper.make_tensor_value_info(*one) for one in zip(names, kinds, shapes, strict=True)]
    constants = {"zero": [0], "end": [size], "one": [1]}
    nodes = [
        helper.make_node("Slice", ["waveform", "zero", "end", "one"], ["embedding"]),
        helper.make_node("ReduceSum", ["embedding", "one"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["lengths"], ["unused"], to=TensorProto.FLOAT),
        helper.make_node("Identity", ["sum"], ["score"]),
    ]
    tensors = [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "g", values[:2], values[2:], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def test_the_graph_answers_as_the_correction_does_and_can_be_corrected_again(tmp_path):
    from earwitness.decision.engines import open_graph

    rng = np.random.default_rng(5)
    graph_of(tmp_path / "a.onnx")
    clips = [rng.normal(size=50).astype(np.float32) for _ in range(5)]
    before = open_graph(tmp_path / "a.onnx")(clips)
    first, second = (Correction(rng.normal(size=4), float(rng.normal())) for _ in range(2))
    correct_graph(tmp_path / "a.onnx", tmp_path / "b.onnx", first, scale=2.0)
    correct_graph(tmp_path / "b.onnx", tmp_path / "c.onnx", second, scale=0.5)
    once, twice = (open_graph(tmp_path / f"{name}.onnx")(clips) for name in "bc")
    expected = first.apply(2.0 * before.score + 1.0, before.embedding)
    np.testing.assert_allclose(2.0 * once.score + 1.0, expected, rtol=1e-4)
    np.testing.assert_allclose(
        0.5 * twice.score, second.apply(0.5 * once.score, once.embedding), rtol=1e-4, atol=1e-6
    )
    np.testing.assert_array_equal(twice.embedding, before.embedding)


def test_a_correction_of_another_size_is_refused(tmp_path):
    graph_of(tmp_path / "a.onnx")
    with pytest.raises(ModelError, match="of 4 numbers, the correction of 3"):
        correct_graph(tmp_path / "a.onnx", tmp_path / "b.onnx", Correction(np.zeros(3), 0.0), 1.0)
