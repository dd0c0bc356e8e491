import pytest

pytest.importorskip("mlflow")

from mlflow.tracking import MlflowClient

from earwitness.training.tracking import Tracker, metric_name


def test_a_run_is_logged_and_goes_on_where_it_was(tmp_path):
    run, store = tmp_path / "my-run", tmp_path / "store"
    run.mkdir()
    tracker = Tracker(str(store), run, {"steps": 4, "crop_s": (1, 2)})
    tracker({"step": 1, "loss": 0.5})
    tracker({"step": 1, "eer": {"In-the-Wild (a)": 0.25, "mean": 0.25}})
    again = Tracker(str(store), run, {"steps": 4, "crop_s": (1, 2)})
    again({"step": 2, "loss": 0.4})
    again.finish({"steps": 2, "eer": {"mean": {"value": 0.2}}})

    client = MlflowClient(tracking_uri=f"sqlite:///{store / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("earwitness")
    assert experiment is not None
    (found,) = client.search_runs([experiment.experiment_id])
    assert (found.info.run_name, found.info.status) == ("my-run", "FINISHED")
    assert found.data.params["crop_s"] == "(1, 2)"
    losses = client.get_metric_history(found.info.run_id, "loss")
    assert [(metric.step, metric.value) for metric in losses] == [(1, 0.5), (2, 0.4)]
    assert found.data.metrics["eer.In-the-Wild _a_"] == 0.25
    assert found.data.metrics["final.mean"] == 0.2


def test_names_are_those_that_a_store_takes():
    assert metric_name("FLEURS-R (v2)/ja") == "FLEURS-R _v2__ja"
