"""Closed forms of the embedded model's recipe."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from earwitness.training.embedded import components, kinds_of_evidence  # noqa: E402


def test_components_are_those_of_a_reference():
    from sklearn.decomposition import PCA

    rng = np.random.default_rng(1)
    rows = rng.normal(2, 1, (200, 12)) @ rng.normal(size=(12, 12))
    found, offset = components(torch.tensor(rows), 4)
    ours = rows @ found.numpy().T + offset.numpy()
    expected = PCA(4, whiten=True).fit_transform(rows)[:, ::-1]
    np.testing.assert_allclose(np.abs(ours), np.abs(expected) * np.sqrt(200 / 199), rtol=1e-6)
    np.testing.assert_allclose(ours.std(0), 1)


def test_kinds_of_evidence_take_every_column_once():
    columns = np.concatenate(kinds_of_evidence())
    assert np.array_equal(np.sort(columns), np.arange(len(columns)))
