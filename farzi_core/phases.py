"""What every pipeline shares: phases one after the other, progress, and a checkpoint at whatever it yielded last."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from farzi_core.distillation.checkpoint import Checkpoint
from farzi_core.errors import ArtifactError
from farzi_core.progress import Phase, PhaseStarted, Progress, StepFinished
from farzi_core.work import WorkMeter

# Units of progress of a job that has no outer steps to count by.
UNITS = 200


class Pipeline(ABC):
    """Phases of one job.

    Args:
        planned: seconds of every piece of work, by name.
        unit: seconds that count as one unit of progress; None: a 200th of the whole.
        identity: JSON values that a checkpoint must agree with to be taken up.
    """

    phases: ClassVar[tuple[Phase, ...]]

    def __init__(self, planned: Mapping[str, float], unit: float | None, identity: Mapping[str, Any]) -> None:
        self._meter = WorkMeter(planned, unit or sum(planned.values()) / UNITS)
        self._identity = dict(identity)
        self._phase: Phase = self.phases[0]

    def run(self) -> Iterator[Progress]:
        """Yield progress until the result is ready; the last value is :class:`ResultReady`.

        Raises:
            NumericalError: a loss or a gradient is not finite.
        """
        for phase in self.phases[self.phases.index(self._phase) :]:
            self._phase = phase
            yield PhaseStarted(phase)
            yield from self._run_phase(phase)

    def save_checkpoint(self, directory: Path) -> None:
        """Write a checkpoint of the state at the last value that :meth:`run` yielded."""
        checkpoint = Checkpoint.join(
            self._parts(), identity=self._identity, phase=self._phase, work=self._meter.values(), **self._values()
        )
        checkpoint.save(directory)

    def load_checkpoint(self, directory: Path) -> None:
        """Go on from a checkpoint; if that fails, this pipeline is of no use any more.

        Raises:
            ArtifactError: the checkpoint is damaged, or belongs to other data or another spec.
        """
        checkpoint = Checkpoint.load(directory)
        try:
            if checkpoint.values["identity"] != self._identity:
                raise ArtifactError("the checkpoint belongs to other data or another spec; start the job again")
            self._phase = checkpoint.values["phase"]
            self._meter.restore(checkpoint.values["work"])
            self._restore(checkpoint)
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"the checkpoint does not hold what a pipeline needs ({error!r}); use an older one") from error

    def _finish_step(self, step: int, metrics: dict[str, float]) -> StepFinished:
        return StepFinished(self._phase, self._meter.done, self._meter.total, step, metrics)

    @abstractmethod
    def _run_phase(self, phase: Phase) -> Iterator[Progress]:
        """Yield the progress of one phase."""

    @abstractmethod
    def _parts(self) -> dict[str, Checkpoint]:
        """Return the state of every part that has one, by name."""

    @abstractmethod
    def _values(self) -> dict[str, Any]:
        """Return what else a checkpoint has to hold, as JSON values."""

    @abstractmethod
    def _restore(self, checkpoint: Checkpoint) -> None:
        """Take up what ``_parts`` and ``_values`` returned."""
