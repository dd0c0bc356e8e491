"""A recurrent layer and the mean of its states."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from earwitness.decision.heads.lstm import Lstm  # noqa: E402


def test_sizes_are_those_of_the_authors():
    """936k in the comparison of back ends by Liu et al. (arXiv:2504.05657), for AttM-LSTM."""
    expected = 4 * 192 * (1024 + 192) + 2 * 4 * 192 + (192 * 2 + 2)
    assert sum(weights.numel() for weights in Lstm(1024).parameters()) == expected
    assert round(expected, -3) == 936_000


@pytest.fixture
def head():
    torch.manual_seed(0)
    return Lstm(6, hidden=5)


def test_it_is_the_recurrence(head):
    frames = torch.randn(1, 7, 6)
    given = {name: weights.detach().numpy() for name, weights in head.named_parameters()}
    state, cell, states = np.zeros(5), np.zeros(5), []
    for frame in frames[0].numpy():
        gates = given["recur.weight_ih_l0"] @ frame + given["recur.weight_hh_l0"] @ state
        gates += given["recur.bias_ih_l0"] + given["recur.bias_hh_l0"]
        enter, forget, fresh, leave = np.split(gates, 4)
        cell = cell / (1 + np.exp(-forget)) + np.tanh(fresh) / (1 + np.exp(-enter))
        state = np.tanh(cell) / (1 + np.exp(-leave))
        states.append(state)
    found = head(frames, torch.ones(1, 7, dtype=torch.bool)).embedding[0]
    np.testing.assert_allclose(found.detach().numpy(), np.mean(states, axis=0), atol=1e-6)


def test_a_frame_score_hears_only_what_came_before(head):
    frames, every = torch.randn(1, 7, 6), torch.ones(1, 7, dtype=torch.bool)
    before = head(frames, every).frame_scores
    frames[:, 4] += 1
    after = head(frames, every).frame_scores
    torch.testing.assert_close(after[:, :4], before[:, :4])
    assert (after[:, 4:] != before[:, 4:]).all()


def test_the_mean_of_the_frame_scores_is_the_score(head):
    frames, mask = torch.randn(2, 9, 6), torch.arange(9) < torch.tensor([[9], [4]])
    logits, _, scores, _ = head(frames, mask)
    torch.testing.assert_close(scores.sum(1) / mask.sum(1), logits[:, 1] - logits[:, 0])
    assert not scores[1, 4:].any()
