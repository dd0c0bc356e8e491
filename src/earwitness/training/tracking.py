"""Runs in MLflow: parameters, losses, EERs and the result, beside the run's own folder.

A folder gets an SQLite store in it (`mlflow ui --backend-store-uri sqlite:///FOLDER/mlflow.db` shows
it); anything with `://` is the URI of a server or store. A run that goes on, goes on there too.
"""

import logging
import time
from pathlib import Path
from typing import Any

from earwitness.errors import needs_extra

EXPERIMENT = "earwitness"
PAUSE_S = 10.0  # metrics are sent together: a store may take a while over each


class Tracker:
    """Sends the entries of a run's log."""

    def __init__(self, where: str, run: Path, options: dict[str, Any]) -> None:
        with needs_extra("tracking"):
            from mlflow.tracking import MlflowClient
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        store = where
        if "://" not in where:
            Path(where).mkdir(parents=True, exist_ok=True)
            store = f"sqlite:///{Path(where).resolve() / 'mlflow.db'}"
        self.client = MlflowClient(tracking_uri=store, registry_uri=store)
        self.run_id = self.find_run(run, options)
        self.waiting: list[Any] = []
        self.sent_at = time.monotonic()

    def find_run(self, run: Path, options: dict[str, Any]) -> str:
        """The run's identity in the store: that of its folder's note, or a new one."""
        note = run / "mlflow-run"
        if note.exists():
            run_id = note.read_text().strip()
            self.client.set_terminated(run_id, "RUNNING")
            return run_id
        from mlflow.entities import Param

        found = self.client.get_experiment_by_name(EXPERIMENT)
        experiment = found.experiment_id if found else self.client.create_experiment(EXPERIMENT)
        run_id = self.client.create_run(experiment, run_name=run.resolve().name).info.run_id
        self.client.log_batch(run_id, params=[Param(key, str(value)) for key, value in options.items()])
        note.write_text(run_id)
        return run_id

    def __call__(self, entry: dict[str, Any]) -> None:
        """Log one entry; an EER sends what waits."""
        if "loss" in entry:
            self.add("loss", entry["loss"], entry["step"])
        for name, value in entry.get("eer", {}).items():
            self.add(f"eer.{metric_name(name)}", value, entry["step"])
        if "eer" in entry or time.monotonic() - self.sent_at > PAUSE_S:
            self.send()

    def add(self, name: str, value: float, step: int) -> None:
        """Note a metric to be sent."""
        from mlflow.entities import Metric

        self.waiting.append(Metric(name, value, int(time.time() * 1000), step))

    def send(self) -> None:
        """Send what waits."""
        for first in range(0, len(self.waiting), 500):  # a store takes 1,000 at once
            self.client.log_batch(self.run_id, metrics=self.waiting[first : first + 500])
        self.waiting, self.sent_at = [], time.monotonic()

    def finish(self, result: dict[str, Any]) -> None:
        """Log the end of a run."""
        for name, row in result["eer"].items():
            self.add(f"final.{metric_name(name)}", row["value"], result["steps"])
        self.send()
        self.client.set_terminated(self.run_id, "FINISHED")


def metric_name(name: str) -> str:
    """A data set's name with what MLflow takes in names."""
    return "".join(letter if letter.isalnum() or letter in "-_. " else "_" for letter in name)
