"""Runs in MLflow: parameters, losses, EERs and the result, beside the run's own folder.

A folder gets an SQLite store in it (`mlflow ui --backend-store-uri sqlite:///FOLDER/mlflow.db` shows
it); anything with `://` is the URI of a server or store. A run that goes on, goes on there too.
"""

from pathlib import Path
from typing import Any

from earwitness.errors import needs_extra


class Tracker:
    """Logs the entries of a run's log."""

    def __init__(self, where: str, run: Path, options: dict[str, Any]) -> None:
        with needs_extra("tracking"):
            from mlflow.tracking import MlflowClient
        store = where
        if "://" not in where:
            Path(where).mkdir(parents=True, exist_ok=True)
            store = f"sqlite:///{Path(where).resolve() / 'mlflow.db'}"
        self.client = MlflowClient(tracking_uri=store, registry_uri=store)
        name = "earwitness"
        found = self.client.get_experiment_by_name(name)
        experiment = found.experiment_id if found else self.client.create_experiment(name)
        note = run / "mlflow-run"
        if note.exists():
            self.run_id = note.read_text().strip()
            self.client.set_terminated(self.run_id, "RUNNING")
        else:
            self.run_id = self.client.create_run(experiment, run_name=run.resolve().name).info.run_id
            for key, value in options.items():
                self.client.log_param(self.run_id, key, value)
            run.mkdir(parents=True, exist_ok=True)
        self.note = note

    def __call__(self, entry: dict[str, Any]) -> None:
        """Log one entry."""
        if not self.note.exists():  # the folder is the run's once it has logged something
            self.note.write_text(self.run_id)
        step = entry["step"]
        if "loss" in entry:
            self.client.log_metric(self.run_id, "loss", entry["loss"], step=step)
        for name, value in entry.get("eer", {}).items():
            self.client.log_metric(self.run_id, f"eer.{metric_name(name)}", value, step=step)

    def finish(self, result: dict[str, Any]) -> None:
        """Log the end of a run."""
        for name, row in result["eer"].items():
            self.client.log_metric(self.run_id, f"final.{metric_name(name)}", row["value"])
        self.client.set_terminated(self.run_id, "FINISHED")


def metric_name(name: str) -> str:
    """A data set's name with what MLflow takes in names."""
    return "".join(letter if letter.isalnum() or letter in "-_. " else "_" for letter in name)
