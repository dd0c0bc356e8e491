"""Mix-frame post-training and what follows it, on a miniature, as people run it."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from miniature import make_bundle, make_corpus  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from earwitness import load_detector, scan  # noqa: E402
from earwitness.cli import app  # noqa: E402
from earwitness.errors import ModelError  # noqa: E402

COMMON = (
    "--batch-s 16 --crop-s 1 1.5 --workers 0 --steps 6 --validate-every 3 --save-every 2 --seed 7".split()
)
SMALL = "--rank 4 --alpha 8".split()


def train(*arguments):
    return CliRunner().invoke(app, ["train", *map(str, arguments)])


def done(*arguments):
    result = train(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mix")
    make_corpus(folder / "corpus")
    make_bundle(folder / "tiny", "wavlm-large", None)
    done(
        "mix-frame",
        folder / "corpus" / "protocol.csv",
        "--from",
        folder / "tiny",
        *COMMON,
        *SMALL,
        "--learning-rate",
        1e-2,
        "--out",
        folder / "mixed",
    )
    return folder


def test_only_adapters_and_frame_head_learn_and_the_head_is_thrown_away(place):
    trained = torch.load(place / "mixed" / "checkpoint.pt", weights_only=True)["weights"]
    assert all(".lora_" in name or name.startswith("network.head.") for name in trained)
    bundle = place / "mixed" / "bundle"
    before, after = (load_file(folder / "model.safetensors") for folder in (place / "tiny", bundle))
    assert set(before) == set(after)
    moved = {name for name in after if not torch.equal(before[name], after[name])}
    assert len(moved) == 2 * 5  # query, key, value, two feed-forward matrices of two layers
    card = json.loads((bundle / "model.json").read_text())
    assert card["architecture"]["head"] is None
    assert card["training"]["recipes"] == ["mix-frame"]
    with pytest.raises(ModelError, match="front end without a head"):
        load_detector(bundle)


def test_its_validation_judges_frames_by_data_set(place):
    result = json.loads((place / "mixed" / "result.json").read_text())
    assert {"one", "two", "pooled", "mean"} == set(result["eer"])
    assert not (place / "mixed" / "valid-scores.tsv").exists()


def test_it_learns_where_the_splice_is(place):
    done(
        "mix-frame",
        place / "corpus" / "protocol.csv",
        "--head",
        "logmel-cnn",
        "--mode",
        "full",
        "--head-options",
        '{"widths": [4, 8, 8, 8], "dropout": 0}',
        *COMMON[:-2],
        "--steps",
        60,
        "--learning-rate",
        1e-2,
        "--label",
        "spoof",
        "--whole",
        0.3,
        "--utterance",
        0.5,
        "--out",
        place / "cnn",
    )
    result = json.loads((place / "cnn" / "result.json").read_text())
    assert result["eer"]["pooled"]["value"] < 0.25
    verdict = scan(place / "corpus" / "1.wav", model=place / "cnn" / "bundle", gate=False, timeline=True)
    assert verdict.score is not None
    assert verdict.timeline is not None
    found = load_detector(place / "cnn" / "bundle").localisation
    assert found is not None
    assert found.by_frame


def test_a_network_without_a_front_end_that_learnt_foreign_frames_is_not_scanned_with(place):
    done(
        "mix-frame",
        place / "corpus" / "protocol.csv",
        "--head",
        "logmel-cnn",
        "--mode",
        "full",
        "--head-options",
        '{"widths": [4, 8, 8, 8]}',
        *COMMON,
        "--out",
        place / "foreign",
    )
    with pytest.raises(ModelError, match="foreign material"):
        load_detector(place / "foreign" / "bundle")
    done(
        "finetune",
        place / "corpus" / "protocol.csv",
        "--from",
        place / "foreign" / "bundle",
        *COMMON,
        "--learning-rate",
        1e-3,
        "--out",
        place / "after",
    )
    card = json.loads((place / "after" / "bundle" / "model.json").read_text())
    assert card["training"]["recipes"] == ["mix-frame", "finetune"]
    load_detector(place / "after" / "bundle")


def test_fine_tuning_goes_on_with_the_adapters(place):
    bundle = place / "mixed" / "bundle"
    done(
        "finetune",
        place / "corpus" / "protocol.csv",
        "--from",
        bundle,
        "--mode",
        "lora",
        "--head",
        "attm",
        "--head-options",
        '{"head": "ecapa"}',
        *COMMON,
        *SMALL,
        "--learning-rate",
        1e-12,
        "--out",
        place / "utterance",
    )
    first, second = (
        load_file(folder / "adapters.safetensors") for folder in (bundle, place / "utterance" / "bundle")
    )
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor, atol=1e-8, rtol=0)
    merged, again = (
        load_file(folder / "model.safetensors") for folder in (bundle, place / "utterance" / "bundle")
    )
    for name, tensor in merged.items():
        torch.testing.assert_close(again[name], tensor, atol=1e-6, rtol=1e-5)
    refused = train(
        "finetune",
        place / "corpus" / "protocol.csv",
        "--from",
        bundle,
        "--mode",
        "lora",
        "--head",
        "linear",
        *COMMON,
        "--rank",
        8,
        "--alpha",
        8,
        "--out",
        place / "no",
    )
    assert refused.exit_code == 2
    assert "rank 4 and alpha 8" in refused.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--head", "ecapa"], "gives no frame scores"),
        (["--mode", "head"], "one of lora, full"),
        (["--label", "fake"], "one of foreign, spoof"),
        (["--share", "0.9", "0.2"], "share"),
        (["--utterance", "1"], "needs --label spoof"),
        (["--augment", "speed:0.5"], "moves the frames"),
        (["--whole", "1.5"], "--whole"),
    ],
)
def test_what_cannot_be_trained_is_one_sentence(place, tmp_path, options, message):
    refused = train(
        "mix-frame",
        place / "corpus" / "protocol.csv",
        "--from",
        place / "tiny",
        *COMMON,
        *options,
        "--out",
        tmp_path / "run",
    )
    assert refused.exit_code == 2
    assert message in refused.output
    assert not (tmp_path / "run").exists()


def grpo(place, out, *more, model="detector", steps=6):
    options = [*COMMON, "--learning-rate", 1e-3, "--refresh", 2, "--augment", "", *more]
    options[options.index("--steps") + 1] = steps
    return ["grpo", place / "corpus" / "protocol.csv", "--from", place / model, *options, "--out", out]


@pytest.fixture(scope="module")
def detector(place):
    make_bundle(place / "detector", "hubert")
    return place / "detector"


@pytest.mark.parametrize(
    "objective",
    ["grpo", "grpo-simple", "grpo-exact", "arcsine", "cross-entropy-kl", "cross-entropy", "mae", "gce"],
)
def test_every_objective_trains(place, detector, tmp_path, objective):
    done(*grpo(place, tmp_path / "run", "--objective", objective))
    before, after = (
        load_file(folder / "model.safetensors") for folder in (detector, tmp_path / "run" / "bundle")
    )
    assert set(before) == set(after)
    assert any(not torch.equal(before[name], after[name]) for name in after)


def test_grpo_goes_on_with_its_old_policy(place, detector, tmp_path):
    whole = grpo(place, tmp_path / "whole", "--moving-average", "0.5")
    done(*whole)
    import earwitness.training.loop as loop

    real, steps = loop.update, []

    def interrupted(*arguments):
        if len(steps) == 5:  # between two checkpoints, after a refresh
            raise KeyboardInterrupt
        steps.append(1)
        return real(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "update", interrupted)
        train(*grpo(place, tmp_path / "cut", "--moving-average", "0.5"))
    assert not (tmp_path / "cut" / "result.json").exists()
    done(*grpo(place, tmp_path / "cut", "--moving-average", "0.5"))
    one, other = (load_file(tmp_path / name / "bundle" / "model.safetensors") for name in ("whole", "cut"))
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


def test_weights_are_interpolated(place, detector, tmp_path):
    for name, share in (("all", 1.0), ("half", 0.5)):
        done(*grpo(place, tmp_path / name, "--objective", "cross-entropy", "--interpolate", share))
    began, whole, half = (
        load_file(folder / "model.safetensors")
        for folder in (detector, tmp_path / "all" / "bundle", tmp_path / "half" / "bundle")
    )
    for name in began:
        np.testing.assert_allclose(half[name], (began[name] + whole[name]) / 2, atol=1e-6)


def test_grpo_wants_a_model_that_was_post_trained(place, detector, tmp_path):
    refused = train(*grpo(place, tmp_path / "run", model="tiny"))
    assert refused.exit_code == 2
    assert "was not post-trained" in refused.output
    done(*grpo(place, tmp_path / "run", "--unprepared", model="tiny"))
    # and one that was only fine-tuned from a plain front end
    done(
        "finetune",
        place / "corpus" / "protocol.csv",
        "--from",
        place / "tiny",
        *COMMON,
        "--out",
        place / "only",
    )
    assert "was not post-trained" in train(*grpo(place, tmp_path / "no", model="only/bundle")).output
