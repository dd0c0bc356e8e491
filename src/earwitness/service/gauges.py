"""Figures for Prometheus."""

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from earwitness.service.store import Store, counts

STATES = ("queued", "running", "done", "parked")
BUCKETS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Waiting(Collector):
    """How many analyses are in each state, asked of the store when somebody looks."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def collect(self) -> Any:
        family = GaugeMetricFamily(
            "earwitness_analyses", "Analyses in the store, by state.", labels=["state"]
        )
        found = counts(self.store)
        for state in STATES:
            family.add_metric([state], found.get(state, 0))
        yield family

    def describe(self) -> Any:
        return []


class Gauges:
    """The figures of one service."""

    def __init__(self, store: Store) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(Waiting(store))
        self.requests = Counter(
            "earwitness_requests", "Requests.", ["route", "method", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "earwitness_request_seconds",
            "Time to answer.",
            ["route"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.verdicts = Counter("earwitness_verdicts", "Answers.", ["verdict"], registry=self.registry)
        self.audio = Counter("earwitness_audio_seconds", "Audio heard.", registry=self.registry)
        self.deaths = Gauge(
            "earwitness_worker_deaths", "Workers that died since the start.", registry=self.registry
        )

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request."""
        method = method if method in ("GET", "POST", "DELETE", "HEAD", "OPTIONS") else "other"
        self.requests.labels(route, method, str(status)).inc()
        self.seconds.labels(route).observe(seconds)

    def answer(self, record: dict[str, Any]) -> None:
        """Count an answer."""
        self.verdicts.labels(record["verdict"]).inc()
        self.audio.inc(record.get("duration_s") or 0.0)

    def page(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry)
