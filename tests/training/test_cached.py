"""Statistics of disturbed crops, on a small encoder of random weights."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch")

from earwitness.audio.protocol import Utterance, write_protocol  # noqa: E402
from earwitness.decision.network import Blueprint, Network  # noqa: E402
from earwitness.features.encoders import FrontEnd  # noqa: E402
from earwitness.features.frontends import FRONT_ENDS  # noqa: E402
from earwitness.training import cached, embedded  # noqa: E402

SMALL = replace(FRONT_ENDS["whisper-tiny"].architecture, width=64, layers=3, heads=1, ffn=64)


@pytest.fixture
def small(tmp_path, monkeypatch):
    """The folder of a small front end, which stands in for Whisper tiny."""
    from safetensors.torch import save_file

    source = replace(FRONT_ENDS["whisper-tiny"], architecture=SMALL)
    monkeypatch.setitem(FRONT_ENDS, "whisper-tiny", source)
    torch.manual_seed(0)
    folder = tmp_path / "front-end"
    folder.mkdir()
    tensors = {f"front_end.{name}": t for name, t in FrontEnd(SMALL).state_dict().items()}
    save_file(tensors, folder / "model.safetensors")
    return folder


@pytest.fixture
def protocol(tmp_path, speech):
    """Eight genuine clips on four pages and what becomes of them where every second sample is repeated."""
    items = []
    for i in range(8):
        clip = speech[i * 9_000 : i * 9_000 + 40_000]
        for bona_fide in (True, False):
            path = tmp_path / f"{i}-{bona_fide}.flac"
            soundfile.write(path, clip if bona_fide else np.repeat(clip[::2], 2), 16_000)
            known = {"dataset": "demos", "group": f"p{i // 2}", "fold": i // 2, "source": f"u{i}"}
            items.append(Utterance(id=path.stem, path=path, bona_fide=bona_fide, duration_s=2.5, **known))
    write_protocol(items, tmp_path / "demos.csv", tmp_path)
    (tmp_path / "demos.json").write_text(json.dumps({"root": str(tmp_path)}))
    return tmp_path / "demos.csv"


def test_a_cache_holds_what_the_network_pools(small, protocol, tmp_path):
    cached.cache([protocol], None, small, tmp_path / "cache", versions=1, processes=1)
    items, statistics = cached.read_cache([tmp_path / "cache" / "demos"])
    assert statistics.shape == (2, 16, (3 * 4 + 3) * 64 + 1_024 + 2_048)
    front_end = cached.load_front_end(small)
    network = Network(Blueprint("pooled", front_end.architecture, cached.STATES, {"embedding": 8})).eval()
    network.front_end, seen = front_end, []
    network.head.standardise.register_forward_hook(lambda module, given, out: seen.append(given[0]))
    for item in items[:3]:
        clip = torch.from_numpy(cached.piece_of(item, 0))[None]
        with torch.no_grad():
            network(clip, torch.tensor([clip.shape[1]]))
    np.testing.assert_allclose(
        statistics[0, :3], torch.cat(seen).numpy(), atol=0.05
    )  # bfloat16 against float32
    assert not np.array_equal(statistics[0], statistics[1])


def test_versions_that_are_there_stay(small, protocol, tmp_path, capsys):
    (tmp_path / "0-True.flac").write_bytes(b"no audio")
    cached.cache([protocol], None, small, tmp_path / "cache", versions=0, processes=1)
    assert "demos, version 0: 0-True: " in capsys.readouterr().out
    target = tmp_path / "cache" / "demos" / "version-0.npy"
    before = target.stat().st_mtime_ns
    cached.cache([protocol], None, small, tmp_path / "cache", versions=1, processes=1)
    assert target.stat().st_mtime_ns == before
    items, statistics = cached.read_cache([tmp_path / "cache" / "demos"])
    assert [item.id for item in items][:1] == ["0-False"]
    assert statistics.shape[:2] == (2, 15)


def test_versions_of_an_utterance_are_cut_and_disturbed_alike(protocol):
    items = [item for item in cached.read_protocols([protocol]) if item.id.startswith("3-")]
    real, fake = sorted(items, key=lambda item: not item.bona_fide)
    same = replace(fake, path=real.path)
    for version in range(1, 6):
        piece = cached.piece_of(real, version)
        np.testing.assert_array_equal(piece, cached.piece_of(same, version))
        assert len(piece) == len(cached.piece_of(fake, version))
    other = replace(same, source="u4")
    assert any(
        not np.array_equal(cached.piece_of(real, version), cached.piece_of(other, version))
        for version in range(1, 3)
    )


def ridge_by_least_squares(features, wanted, weights, penalty):
    """The same problem as rows of an ordinary one, the offset with a column of its own."""
    root = np.sqrt(weights)[:, None]
    rows = np.hstack([features, np.ones((len(features), 1))]) * root
    penal = np.sqrt(penalty) * np.eye(features.shape[1], features.shape[1] + 1)
    goal = np.vstack([wanted * root, np.zeros((features.shape[1], wanted.shape[1]))])
    return np.linalg.lstsq(np.vstack([rows, penal]), goal, rcond=None)[0]


@pytest.mark.parametrize("size", [(50, 7), (20, 60)])
def test_ridge_regression_is_that_of_least_squares(size):
    rng = np.random.default_rng(0)
    features, wanted, weights = rng.normal(1, 2, size), rng.normal(size=(size[0], 3)), rng.random(size[0])
    weights /= weights.sum()
    found, offset = embedded.ridge(*map(torch.tensor, (features, wanted, weights)), 0.3)
    expected = ridge_by_least_squares(features, wanted, weights, 0.3)
    np.testing.assert_allclose(found, expected[:-1], atol=1e-9)
    np.testing.assert_allclose(offset, expected[-1], atol=1e-9)


def test_the_score_is_the_mean_of_what_each_kind_of_evidence_says(small, protocol, tmp_path):
    from earwitness.training.export import open_run

    cached.cache([protocol], None, small, tmp_path / "cache", versions=1, processes=1)
    options = embedded.Fit(least=8, ridge=0.1, whole=0.5)
    embedded.fit_all([tmp_path / "cache" / "demos"], small, tmp_path / "runs", options)
    names = {path.name for path in (tmp_path / "runs").iterdir()}
    assert names == {"all", "no-prompts", *(f"{kind}-{k}" for kind in ("fold", "fresh") for k in range(4))}
    material = embedded.Material(*cached.read_cache([tmp_path / "cache" / "demos"]))
    mean, variance = (part.double().numpy() for part in embedded.standard(material))
    flat = material.statistics.reshape(-1, material.statistics.shape[2]).astype(np.float64)
    np.testing.assert_allclose(mean, flat.mean(0), atol=1e-4)
    np.testing.assert_allclose(variance, flat.var(0), rtol=1e-2, atol=1e-5)
    rows = np.clip((flat - mean) / np.sqrt(variance + 1e-5), -8, 8)
    label = np.tile([1.0 if item.bona_fide else -1.0 for item in material.items], 2)
    weights = np.full(32, 1 / 32)  # eight genuine and eight fake, two versions, pages of one size
    score = 0
    for kind in embedded.kinds_of_evidence():
        solved = ridge_by_least_squares(rows[:, kind], label[:, None], weights, 0.1)[:, 0]
        says = rows[:, kind] @ solved[:-1] + solved[-1]
        score = score + says / np.sqrt(np.mean(says**2)) / 5
    head: Any = open_run(tmp_path / "runs" / "all").head
    with torch.no_grad():
        embedding = head.embed(head.standardise(torch.tensor(flat).float()).clamp(-8, 8))
        logits = head.classify(embedding)
    np.testing.assert_allclose(logits[:, 1] - logits[:, 0], score, atol=3e-3)
    assert embedding.shape == (32, 5 + 1 + 256)  # one generator, components of the lines


def test_weights_of_versions_are_one_in_all_and_half_bona_fide(protocol):
    items = cached.read_protocols([protocol])
    found = list(embedded.version_weights(items, 3, embedded.Fit(whole=0.4)))
    assert [float(part.sum()) for part in found] == pytest.approx([0.4, 0.3, 0.3])
    genuine = torch.tensor([item.bona_fide for item in items])
    assert float(found[1][genuine].sum()) == pytest.approx(0.15)
    assert float(next(embedded.version_weights(items, 1, embedded.Fit())).sum()) == pytest.approx(1)


def test_the_nearest_data_set_has_its_share_of_either_class():
    items = [
        Utterance(id=str(i), path=None, bona_fide=i % 3 > 0, dataset=name, group=f"{i % 5}")  # type: ignore[arg-type]
        for i, name in enumerate(["demos"] * 30 + ["packages"] * 200)
    ]
    near = np.array([item.dataset == "demos" for item in items])
    for label in (True, False):
        found = embedded.class_weights(items, label, embedded.Fit(share=0.7))
        assert found.sum() == pytest.approx(1)
        assert found[near].sum() == pytest.approx(0.7)
        assert not found[np.array([item.bona_fide for item in items]) != label].any()
    alone = embedded.class_weights(items[:30], True, embedded.Fit())
    assert alone.sum() == pytest.approx(1)


def test_generators_of_few_recordings_are_not_asked_for():
    kinds = [(True, "-")] * 3 + [(False, "a")] * 5 + [(False, "b")] * 6 + [(False, "c")] * 4
    items = [
        Utterance(id=str(i), path=None, bona_fide=b, dataset="d", architecture=a)  # type: ignore[arg-type]
        for i, (b, a) in enumerate(kinds)
    ]
    wanted, names = embedded.targets(items, embedded.Fit(least=5))
    assert names == ["b", "a"]
    assert wanted[:, 0].tolist() == [1.0] * 3 + [-1.0] * 15
    assert wanted[:, 1:].sum(0).tolist() == [6, 5]
    assert not wanted[:3, 1:].any()
    assert embedded.targets(items, embedded.Fit(generators=1))[1] == ["b"]


def test_runs_see_nothing_of_what_they_are_judged_on():
    rng = np.random.default_rng(0)
    items = [
        Utterance(
            id=str(i),
            path=None,  # type: ignore[arg-type]
            bona_fide=i % 2 == 0,
            dataset="d",
            architecture="-" if i % 2 == 0 else f"a{rng.integers(9)}",
            speaker=str(rng.choice(["-", "x", "y", "z"])),
            group="prompt-it" if i % 10 == 3 else f"p{i % 8}",
            fold=None if i % 10 == 3 else i % 4,
        )
        for i in range(400)
    ]
    runs = embedded.splits(items)
    assert runs["all"].all()
    for i, item in enumerate(items):
        assert runs["no-prompts"][i] == (item.group != "prompt-it")
        assert runs["fold-2"][i] == (item.fold != 2)
        if runs["fresh-2"][i]:
            assert runs["fold-2"][i]
    left = [item for item, kept in zip(items, runs["fresh-2"], strict=True) if kept]
    judged = [item for item in items if item.fold == 2]
    for key in ("architecture", "speaker"):
        assert not {getattr(item, key) for item in left} & {getattr(item, key) for item in judged} - {"-"}
    assert 0 < len(left) < 300
