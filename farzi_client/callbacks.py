"""A job's life in MLflow or Weights & Biases, written while it is waited for: objects for ``on_event``.

    with MLflowCallback(job, experiment="farzi") as log:
        client.jobs.wait(job.id, on_event=log)
        log.series(client.jobs.metrics(job.id))

Knows nothing of HTTP; imports either library when a callback is made. A callback blocks while it logs: with the asynchronous
client and a tracking server far away, give ``on_event=functools.partial(asyncio.to_thread, log)``.
"""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from farzi_client.extras import need
from farzi_client.models import Job, JobEvent, MetricPoint

# What a run is when the last event came; a run that is left before is one that was stopped.
OUTCOMES = {"job.succeeded": "FINISHED", "job.failed": "FAILED", "job.cancelled": "KILLED"}
STOPPED = "KILLED"


class RunCallback(ABC):
    """What both have in common: which event says what of a run.

    Args:
        job: the job that is waited for; its spec and labels are written at the beginning.
    """

    def __init__(self, job: Job) -> None:
        self._outcome = STOPPED
        self._begin(
            job.id, dict(_flatten(job.spec)), {"farzi.job_id": job.id, "farzi.dataset_id": job.dataset_id or "", **job.metadata}
        )

    def __call__(self, event: JobEvent) -> None:
        """Write what an event says; types that are not known are kept as the last that happened."""
        if event.type == "validation.measured":
            self._log(int(event.data.get("step") or 0), numbers_of(event.data.get("metrics")), event.at)
        elif event.type == "phase.started":
            self._note("farzi.phase", str(event.data.get("phase")))
        else:
            self._note("farzi.event", event.type)
        if event.type == "job.failed":
            self._note("farzi.error", f"{event.data.get('message')} ({event.data.get('code')})")
        self._outcome = OUTCOMES.get(event.type, STOPPED)

    def series(self, series: Mapping[str, Sequence[MetricPoint]]) -> None:
        """Write whole curves, as ``client.jobs.metrics`` returns them."""
        by_step: dict[int, dict[str, float]] = {}
        at: dict[int, datetime | None] = {}
        for name, points in series.items():
            for point in points:
                by_step.setdefault(point.step, {})[name] = point.value
                at[point.step] = point.at
        for step in sorted(by_step):
            self._log(step, by_step[step], at[step])

    def close(self) -> None:
        """End the run: as finished, failed or killed, by the last event."""
        self._end(self._outcome)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @abstractmethod
    def _begin(self, job_id: str, params: dict[str, Any], tags: dict[str, str]) -> None: ...

    @abstractmethod
    def _log(self, step: int, values: Mapping[str, float], at: datetime | None) -> None: ...

    @abstractmethod
    def _note(self, name: str, value: str) -> None: ...

    @abstractmethod
    def _end(self, outcome: str) -> None: ...


class MLflowCallback(RunCallback):
    """A job as an MLflow run: the spec as parameters, validations as metrics, phase and last event as tags.

    It has a client of its own and leaves the active run of the process alone. MLflow's names have no ``@``: the metric
    ``validation_ndcg@10`` is called ``validation_ndcg_10``.

    Args:
        job: the job that is waited for.
        tracking_uri: where to; None: as MLflow is set up.
        experiment: made where there is none of that name.
        run_name: None: the job's id.

    Attributes:
        run_id: of the run, for whoever adds to it.

    Raises:
        MissingExtra: MLflow is not installed.
    """

    def __init__(
        self, job: Job, *, tracking_uri: str | None = None, experiment: str = "farzi", run_name: str | None = None
    ) -> None:
        mlflow = need("mlflow", "mlflow", "logging to MLflow")
        self._client = mlflow.MlflowClient(tracking_uri)
        self._experiment, self._run_name = experiment, run_name
        super().__init__(job)

    def _begin(self, job_id: str, params: dict[str, Any], tags: dict[str, str]) -> None:
        found = self._client.get_experiment_by_name(self._experiment)
        experiment_id = self._client.create_experiment(self._experiment) if found is None else found.experiment_id
        run = self._client.create_run(experiment_id, run_name=self._run_name or job_id, tags=tags)
        self.run_id: str = run.info.run_id
        for name, value in params.items():
            self._client.log_param(self.run_id, _allowed(name), value)

    def _log(self, step: int, values: Mapping[str, float], at: datetime | None) -> None:
        timestamp_ms = round(1000 * (time.time() if at is None else at.timestamp()))
        for name, value in values.items():
            self._client.log_metric(self.run_id, _allowed(name), value, timestamp=timestamp_ms, step=step)

    def _note(self, name: str, value: str) -> None:
        self._client.set_tag(self.run_id, name, value)

    def _end(self, outcome: str) -> None:
        self._client.set_terminated(self.run_id, outcome)


class WandbCallback(RunCallback):
    """A job as a run of Weights & Biases: the spec as its config, validations over ``step``, the rest in its summary.

    Args:
        job: the job that is waited for.
        **init: for ``wandb.init``: ``project``, ``mode="offline"``, ``dir``, ... ``name`` is the job's id unless it is given.

    Attributes:
        run: the run, for whoever adds to it.

    Raises:
        MissingExtra: wandb is not installed.
    """

    def __init__(self, job: Job, **init: Any) -> None:
        self._wandb = need("wandb", "wandb", "logging to Weights & Biases")
        self._init = init
        super().__init__(job)

    def _begin(self, job_id: str, params: dict[str, Any], tags: dict[str, str]) -> None:
        config = {**params, **tags, **self._init.pop("config", {})}
        self.run = self._wandb.init(**{"project": "farzi", "name": job_id, **self._init}, config=config)
        # Series of several phases begin again at their first step: each value says its step itself.
        self.run.define_metric("step", hidden=True)
        self.run.define_metric("*", step_metric="step")

    def _log(self, step: int, values: Mapping[str, float], at: datetime | None) -> None:  # noqa: ARG002  it keeps no times
        self.run.log({**values, "step": step})

    def _note(self, name: str, value: str) -> None:
        self.run.summary[name] = value

    def _end(self, outcome: str) -> None:
        self.run.finish(exit_code=0 if outcome == "FINISHED" else 1)


def numbers_of(metrics: object) -> dict[str, float]:
    """Return the entries of an event's ``metrics`` that are numbers."""
    items = metrics.items() if isinstance(metrics, Mapping) else ()
    return {name: float(value) for name, value in items if isinstance(value, int | float) and not isinstance(value, bool)}


def _allowed(name: str) -> str:
    """Return a name that MLflow takes."""
    return re.sub(r"[^\w\-. /]", "_", name, flags=re.ASCII)


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
