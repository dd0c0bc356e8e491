"""The registry of detectors: what is added comes back bit for bit, or not at all."""

import json
import multiprocessing
import shutil

import pytest
from registry_of_bytes import tiny_bundle

from earwitness.errors import InputError, ModelError
from earwitness.operations import registry as versions

pytest.importorskip("mlflow")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One registry for all tests of this file; each uses a name of its own."""
    return versions.open_registry(tmp_path_factory.mktemp("registry") / "store", make=True)


def test_what_is_added_is_found_again_with_its_facts(store, tmp_path):
    first = tiny_bundle(tmp_path / "a", 1)
    (first / "notes.txt").write_text("not on the card")
    second = tiny_bundle(tmp_path / "b", 2, embedding_of="e" * 64)
    assert versions.versions(store, "facts") == []
    one = versions.add(store, "facts", first, about={"training_data": "corpus.csv"})
    two = versions.add(store, "facts", second, parent=1)
    assert versions.versions(store, "facts") == [one, two]
    assert (one.number, two.number, one.parent, two.parent) == (1, 2, None, 1)
    card = json.loads((first / "model.json").read_text())
    assert one.digest == one.embedding == card["files"]["model.onnx"]
    assert two.embedding == "e" * 64
    assert set(one.files) == {"model.json", "model.onnx"}
    assert one.about == {"training_data": "corpus.csv"}
    folder = versions.fetch(store, one)
    assert {path.name for path in folder.iterdir()} == set(one.files)
    for name in one.files:
        assert (folder / name).read_bytes() == (first / name).read_bytes()
    assert versions.champion(store, "facts") is None
    assert versions.challenger(store, "facts") == two
    assert "facts" in versions.names(store)
    assert versions.resolve("facts@1", store.where) == folder
    assert versions.resolve("facts@challenger", store.where) == versions.fetch(store, two)


def test_a_bundle_that_does_not_match_its_card_is_refused(store, tmp_path):
    bundle = tiny_bundle(tmp_path / "a", 1)
    (bundle / "model.onnx").write_bytes(b"other")
    with pytest.raises(ModelError, match="digest"):
        versions.add(store, "altered", bundle)
    (bundle / "model.onnx").unlink()
    with pytest.raises(ModelError, match="no such file"):
        versions.add(store, "altered", bundle)
    with pytest.raises(ModelError, match="no detector yet"):
        versions.add(store, "altered", tiny_bundle(tmp_path / "b", 2, unfinished="no head"))
    assert versions.versions(store, "altered") == []


@pytest.mark.parametrize("file", ["model.onnx", "model.json"])
def test_files_altered_in_the_registry_are_noticed(store, tmp_path, file):
    name = f"later-{file}"
    one = versions.add(store, name, tiny_bundle(tmp_path / "a", 1))
    path = versions.fetch(store, one) / file
    path.write_bytes(path.read_bytes().replace(b"a", b"b"))
    with pytest.raises(ModelError, match="altered"):
        versions.fetch(store, one)
    path.unlink()
    with pytest.raises(ModelError, match=r"missing|no such file"):
        versions.fetch(store, one)


def test_what_names_no_version_is_refused(store, tmp_path):
    bundle = tiny_bundle(tmp_path / "a", 1)
    versions.add(store, "named", bundle)
    for text, code in (
        ("named@2", "no-version"),
        ("named@champion", "no-version"),
        ("nobody@1", "no-version"),
        ("nobody@champion", "no-version"),
        ("named", "usage"),
        ("named@0", "usage"),
        ("na'med@1", "usage"),
    ):
        with pytest.raises(InputError) as caught:
            versions.version_named(store, text)
        assert caught.value.code == code, text
    for name in ("", "a/b", "a b", "x" * 65, "'; drop"):
        with pytest.raises(InputError, match="name"):
            versions.add(store, name, bundle)
    with pytest.raises(InputError, match="no version 7"):
        versions.add(store, "named", bundle, parent=7)
    with pytest.raises(InputError, match="fact"):
        versions.add(store, "named", bundle, about={"a b": "c"})
    assert len(versions.versions(store, "named")) == 1


def test_a_registry_can_be_moved(store, tmp_path):
    bundle = tiny_bundle(tmp_path / "a", 1)
    versions.add(store, "moved", bundle)
    shutil.copytree(store.root, tmp_path / "moved")
    place = versions.resolve("moved@1", tmp_path / "moved")
    assert place.is_relative_to(tmp_path / "moved")
    there = versions.open_registry(tmp_path / "moved")
    two = versions.add(there, "moved", tiny_bundle(tmp_path / "b", 2))
    assert versions.fetch(there, two).is_relative_to(tmp_path / "moved")
    found = there.client.get_run(two.run).info.artifact_uri  # MLflow itself looks in the same place
    assert found.endswith(f"moved/artifacts/{two.run}/artifacts")


def test_what_is_no_registry_is_said_to_be_none(tmp_path):
    with pytest.raises(InputError) as caught:
        versions.open_registry(tmp_path / "nothing")
    assert caught.value.code == "no-registry"
    assert not (tmp_path / "nothing").exists()
    (tmp_path / "mlflow.db").write_bytes(b"no database" * 1_000)
    with pytest.raises(InputError) as caught:
        versions.open_registry(tmp_path)
    assert caught.value.code == "bad-registry"


def add_one(root, bundle):
    """In a process of its own."""
    found = versions.open_registry(root, make=True)
    return versions.add(found, "crowd", bundle).number


def test_processes_that_add_at_once_get_a_version_each(store, tmp_path):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mlflow.tracking", "mlflow.store.model_registry.sqlalchemy_store"])
    bundle = tiny_bundle(tmp_path / "a", 1)
    with context.Pool(3) as pool:
        numbers = pool.starmap(add_one, [(store.root, bundle)] * 6, chunksize=1)
    assert sorted(numbers) == [1, 2, 3, 4, 5, 6]
    for one in versions.versions(store, "crowd"):
        versions.fetch(store, one)
