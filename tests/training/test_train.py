"""`earwitness train` on a miniature: it learns, goes on after a kill, and splits over processes."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from miniature import make_bundle, make_corpus  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from earwitness import scan  # noqa: E402
from earwitness.cli import app  # noqa: E402

COMMON = "--batch-s 16 --crop-s 1 1.5 --learning-rate 1e-3 --workers 0 --no-drop --augment level:0.5".split()
TORCHRUN = "-m torch.distributed.run --nproc-per-node 2 --standalone -m earwitness.cli".split()


def command(*arguments, launcher=("-m", "earwitness.cli")):
    return [sys.executable, *launcher, "train", *map(str, arguments)]


def run(*arguments, launcher=("-m", "earwitness.cli")):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command(*arguments, launcher=launcher), capture_output=True, text=True, env=environment, timeout=300
    )


def refused(*arguments):
    """What a command says that trains nothing; in this process, since starting one takes seconds."""
    done = CliRunner().invoke(app, ["train", *map(str, arguments)])
    assert done.exit_code == 2
    assert len(done.stderr.strip().splitlines()) == 1
    return done.stderr


def score_of(clip: Path, bundle: Path) -> float:
    score = scan(clip, model=bundle, gate=False).score
    assert score is not None
    return score


def weights(folder: Path):
    return load_file(folder / "bundle" / "model.safetensors")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A corpus, a bundle to begin from, and a run of eight steps that was never interrupted."""
    folder = tmp_path_factory.mktemp("train")
    make_corpus(folder / "corpus")
    make_bundle(folder / "tiny")
    done = run(*post(folder), "--out", folder / "whole")
    assert done.returncode == 0, done.stderr
    return folder


def post(folder):
    several = "--steps 8 --validate-every 4 --save-every 2 --moving-average 0.8 --keep-best 2".split()
    return ["post", folder / "corpus" / "protocol.csv", "--from", folder / "tiny", *COMMON, *several]


def test_a_run_leaves_its_whole_story(place):
    folder = place / "whole"
    config, result = (json.loads((folder / f"{name}.json").read_text()) for name in ("config", "result"))
    assert (config["recipe"], config["steps"], config["augment"]) == ("post", 8, "level:0.5")
    assert config["data"]["train"]["bona_fide"]["recordings"] == 8
    assert result["steps"] == 8
    assert set(result["eer"]) == {"one", "two", "pooled", "mean"}
    assert 0.2 < result["augmented"]["level"]["ran"] < 0.8
    assert result["augmented"]["level"]["changed"] == 1.0
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log if "loss" in entry] == list(range(1, 9))
    assert len((folder / "valid-scores.tsv").read_text().splitlines()) == 1 + 8
    assert json.loads((folder / "environment.json").read_text())["packages"]["torch"]


def test_it_has_learnt_to_tell_the_classes_apart(place):
    gaps = []
    for name in ("tiny", "whole/bundle"):
        real, fake = (score_of(place / "corpus" / f"{i}.wav", place / name) for i in (0, 1))
        gaps.append(real - fake)
    assert gaps[1] > gaps[0] + 0.1


def train_killed(arguments, out, moments):
    """Start a run and kill it whenever its log comes to one of these steps, then let it end."""
    kills = 0
    for step in moments:
        process = subprocess.Popen(
            command(*arguments, "--out", out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        log = out / "log.jsonl"
        while process.poll() is None and not (log.exists() and f'"step": {step}' in log.read_text()):
            time.sleep(0.005)
        kills += process.poll() is None
        process.kill()
        process.wait()
    assert kills
    assert not (out / "result.json").exists()
    done = run(*arguments, "--out", out)
    assert done.returncode == 0, done.stderr


def test_a_run_killed_again_and_again_ends_with_the_same_bits(place):
    out = place / "killed"
    train_killed(post(place), out, sorted(np.random.default_rng(4).integers(1, 8, 3)))
    whole, killed = weights(place / "whole"), weights(out)
    assert all(torch.equal(whole[name], killed[name]) for name in whole)
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log if "loss" in entry] == list(range(1, 9))


def test_parts_of_a_network_that_no_step_uses_do_not_keep_a_run_from_going_on(place):
    steps = "--steps 6 --validate-every 6 --save-every 2".split()
    head = ["--head", "logmel-cnn", "--head-options", '{"widths": [4, 4, 8, 8]}']  # its frame scores
    arguments = ["post", place / "corpus" / "protocol.csv", *head, *COMMON, *steps]
    assert run(*arguments, "--out", place / "unused").returncode == 0
    train_killed(arguments, place / "unused-killed", [4])
    whole, killed = weights(place / "unused"), weights(place / "unused-killed")
    assert all(torch.equal(whole[name], killed[name]) for name in whole)


@pytest.mark.parametrize("shard", [[], ["--shard", "--recompute"]])
def test_two_processes_are_one(place, shard):
    out = place / f"two{len(shard)}"
    done = run(*post(place), "--out", out, *shard, launcher=TORCHRUN)
    assert done.returncode == 0, done.stderr[-3000:]
    whole, split = weights(place / "whole"), weights(out)
    begun = load_file(place / "tiny" / "model.safetensors")
    assert max(float((whole[name] - begun[name]).abs().max()) for name in whole) > 1e-3
    assert max(float((whole[name] - split[name]).abs().max()) for name in whole) < 1e-5


def test_a_launcher_that_shards_too_is_refused(monkeypatch):
    from earwitness.errors import InputError
    from earwitness.training.loop import make_accelerator
    from earwitness.training.options import PostTraining

    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(InputError, match="MULTI_GPU"):
        make_accelerator(PostTraining())


def test_the_same_command_again_repeats_the_result_and_another_is_refused(place):
    before = (place / "whole" / "bundle" / "model.json").stat().st_mtime_ns
    assert run(*post(place), "--out", place / "whole").returncode == 0
    assert (place / "whole" / "bundle" / "model.json").stat().st_mtime_ns == before
    said = refused(*post(place), "--seed", 9, "--out", place / "whole")
    assert "holds a run with seed 1234, not 9" in said


def finetune(place, *arguments):
    steps = "--steps 3 --validate-every 3".split()
    return run("finetune", place / "corpus" / "protocol.csv", *COMMON, *steps, *arguments)


def test_adapters_leave_the_front_end_close_and_merge_into_it(place):
    out = place / "lora"
    arguments = "--mode lora --rank 2 --head attm --head-options".split()
    done = finetune(place, "--from", place / "whole" / "bundle", *arguments, '{"head": "lstm"}', "--out", out)
    assert done.returncode == 0, done.stderr
    begun, found = weights(place / "whole"), weights(out)
    changed = {
        name for name in begun if name.startswith("front_end.") and not torch.equal(begun[name], found[name])
    }
    assert changed
    assert all("proj.weight" in name or "dense.weight" in name for name in changed)
    assert not any("lora" in name for name in found)
    card = json.loads((out / "bundle" / "model.json").read_text())
    assert card["architecture"]["head"] == "attm"
    assert card["architecture"]["states"] == [1, 2]


def test_the_head_alone_leaves_the_front_end_as_it_was(place):
    out = place / "head"
    done = finetune(place, "--from", place / "tiny", "--mode", "head", "--out", out)
    assert done.returncode == 0, done.stderr
    begun, found = load_file(place / "tiny" / "model.safetensors"), weights(out)
    changed = {name for name in begun if not torch.equal(begun[name], found[name])}
    assert changed == {"head.project.weight", "head.project.bias"}


def test_recomputed_activations_and_gathered_batches_train(place):
    out = place / "recompute"
    done = finetune(place, "--from", place / "tiny", "--recompute", "--accumulate", 2, "--out", out)
    assert done.returncode == 0, done.stderr
    same = place / "kept"
    assert finetune(place, "--from", place / "tiny", "--accumulate", 2, "--out", same).returncode == 0
    one, other = weights(out), weights(same)
    assert max(float((one[name] - other[name]).abs().max()) for name in one) < 1e-6


@pytest.mark.parametrize("head", ["aasist", "logmel-cnn"])
def test_heads_on_the_waveform_train_from_scratch(place, head):
    out = place / head
    options = {"aasist": "{}", "logmel-cnn": '{"widths": [4, 4, 8, 8]}'}[head]
    done = run(
        "post", place / "corpus" / "protocol.csv", *COMMON, "--head", head, "--head-options", options,
        "--steps", 1, "--out", out,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert np.isfinite(score_of(place / "corpus" / "0.wav", out / "bundle"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("ID,Label", "ID,Class"), "the header lacks Label"),
        (("one-1,fake", "one-1,spoofed"), "row 3: label 'spoofed' is neither real nor fake"),
        (("$ROOT/1.wav", "$ROOT/../secret.wav"), "row 3: Path '$ROOT/../secret.wav' leads outside"),
        (("one-1,", "one-0,"), "row 3: ID 'one-0' stands in row 2 already"),
        (("$ROOT/1.wav", "$ROOT/text.wav"), "row 3"),
        (("$ROOT/1.wav", "$ROOT/gone.wav"), "row 3"),
        ((",16000,$ROOT/1.wav", ",x,$ROOT/1.wav"), "row 3: SampleRate 'x' is no number"),
    ],
)
def test_a_bad_protocol_is_one_sentence_before_anything_is_trained(place, tmp_path, change, message):
    text = (place / "corpus" / "protocol.csv").read_text()
    assert change[0] in text
    bad = place / "corpus" / "bad.csv"
    bad.write_text(text.replace(*change, 1))
    (place / "corpus" / "text.wav").write_text("these are words")
    said = refused("post", bad, "--from", place / "tiny", *COMMON, "--out", tmp_path / "run")
    assert message in said
    assert "bad.csv" in said
    assert not (tmp_path / "run").exists()


def test_a_duration_of_zero_is_named(place, tmp_path):
    lines = (place / "corpus" / "protocol.csv").read_text().splitlines()
    fields = lines[3].split(",")
    lines[3] = ",".join([*fields[:2], "0.00", *fields[3:]])
    bad = place / "corpus" / "zero.csv"
    bad.write_text("\n".join(lines))
    said = refused("post", bad, "--from", place / "tiny", *COMMON, "--out", tmp_path / "run")
    assert "zero.csv, row 4: Duration '0.00' is not above zero" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--head", "nothing"], "--head 'nothing': one of"),
        (["--head", "linear"], "--head must be one that reads the waveform"),
        (["--head", "aasist", "--precision", "fp8"], "--precision 'fp8'"),
        (["--head", "aasist", "--crop-s", "5", "4"], "--crop-s"),
        (["--head", "aasist", "--head-options", "[1]"], "expected a JSON object"),
        (["--head", "aasist", "--head-options", '{"no": 1}'], "cannot be built"),
        (["--head", "aasist", "--augment", "sparkle:1"], "sparkle"),
        (["--from", "no-such-model"], "no-such-model"),
    ],
)
def test_wrong_options_are_one_sentence(place, tmp_path, arguments, message):
    said = refused("post", place / "corpus" / "protocol.csv", *arguments, "--out", tmp_path / "run")
    assert message in said
