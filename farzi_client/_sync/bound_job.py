# Made from farzi_client/_async/bound_job.py by python -m tests.farzi_client.twins: change it there.
"""A job that knows the client it came from: what is done with it can be asked of the job itself."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from farzi_client.artifacts import ArtifactProgress
from farzi_client.errors import FarziClientError
from farzi_client.models import Job, JobEvent
from farzi_client.sequences import FrameLibrary
from farzi_client.synthetic import ArrayLibrary, SyntheticData

if TYPE_CHECKING:
    from farzi_client._sync.artifacts import Artifacts
    from farzi_client._sync.jobs import Jobs


class BoundJob(Job):
    """A :class:`farzi_client.Job` as it was when the service was asked; its methods ask again.

    A copy, or one made by hand, belongs to no client: its methods say so.
    """

    _resources: tuple[Jobs, Artifacts] | None = None

    def bind(self, jobs: Jobs, artifacts: Artifacts) -> Self:
        """Say whose job this is."""
        object.__setattr__(self, "_resources", (jobs, artifacts))
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_resources"}

    @property
    def _jobs(self) -> Jobs:
        return self._bound[0]

    @property
    def _artifacts(self) -> Artifacts:
        return self._bound[1]

    @property
    def _bound(self) -> tuple[Jobs, Artifacts]:
        if self._resources is None:
            raise FarziClientError(f"{self.id} is a copy without a client; get it with client.jobs.get({self.id!r})")
        return self._resources

    def refresh(self) -> BoundJob:
        """Return the job as it is now."""
        return self._jobs.get(self.id)

    def wait(
        self,
        *,
        timeout_s: float | None = None,
        on_event: Callable[[JobEvent], object] | None = None,
        on_progress: Callable[[Job], object] | None = None,
    ) -> BoundJob:
        """Wait until the job is over and return it, succeeded; see ``client.jobs.wait``."""
        return self._jobs.wait(self.id, timeout_s=timeout_s, on_event=on_event, on_progress=on_progress)

    def cancel(self) -> BoundJob:
        """Ask the job to stop for good; harmless to repeat."""
        return self._jobs.cancel(self.id)

    def download(
        self, directory: str | PathLike[str] = ".", *, on_progress: ArtifactProgress | None = None
    ) -> tuple[Path, ...]:
        """Download every artifact; see ``client.artifacts.download_all``."""
        return self._artifacts.download_all(self.id, directory, on_progress=on_progress)

    def synthetic(self, *, library: ArrayLibrary | None = None) -> SyntheticData:
        """Return the synthetic data as torch tensors or numpy arrays; see ``client.artifacts.synthetic``."""
        return self._artifacts.synthetic(self.id, library=library)

    def sequences(self, *, library: FrameLibrary | None = None, draws: int | None = None, seed: int | None = None) -> Any:
        """Return hard sequences as a frame or a ``datasets.Dataset``; see ``client.artifacts.sequences``."""
        return self._artifacts.sequences(self.id, library=library, draws=draws, seed=seed)

    def save_dataset(self, directory: str | PathLike[str], *, draws: int | None = None, seed: int | None = None) -> Path:
        """Save hard sequences and a data card for Hugging Face ``datasets``; see ``client.artifacts.save_dataset``."""
        return self._artifacts.save_dataset(self.id, directory, draws=draws, seed=seed)
