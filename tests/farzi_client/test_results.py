"""Results as arrays, frames and trained models, of real small jobs: both kinds of inputs, by both clients."""

from __future__ import annotations

import asyncio
import copy
import hashlib
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
import yaml

import farzi_client
from farzi_client import AsyncClient, Client, FarziClientError, JobEvent, SyntheticData
from farzi_client.cli.demo_service import running_service
from tests.farzi_client.blocking import in_own_thread
from tests.project.repository import fenced_blocks

PAGE = "docs/client.md"
RING = 12
SPEC = {
    "preset": "quick",
    "student": {"hidden_size": 16, "num_layers": 1, "max_length": 10},
    "synthetic": {"num_sequences": 12, "sequence_length": 10, "latent_dim": 12, "init": "teacher"},
    "inner": {"num_steps": 6, "min_steps": 3},
    "meta_gradient": {"window": 2},
    "outer": {"num_steps": 2, "validate_every": 2, "batch_size": 16},
    "teacher": {"num_steps": 40, "batch_size": 16},
    "evaluation": {"students": ["gru4rec"], "num_seeds": 1, "max_steps": 4, "num_validations": 2, "lr_factors": [1.0]},
}
SAMPLED = {**SPEC, "synthetic": {**SPEC["synthetic"], "inputs": "sampled_events"}}  # type: ignore[dict-item]


@dataclass
class Results:
    url: str
    api_key: str
    soft: str
    sampled: str

    def of(self, inputs: str) -> str:
        return self.soft if inputs == "soft_tokens" else self.sampled


async def distil_both(url: str, api_key: str, path: Path) -> tuple[str, str]:
    """Upload, submit two jobs and wait for both at once."""
    async with AsyncClient(api_key, base_url=url) as client:
        dataset = await client.datasets.upload(path, format="csv")
        await client.datasets.wait(dataset.id, timeout_s=300)
        jobs = [await client.jobs.distill(dataset.id, spec) for spec in (SPEC, SAMPLED)]
        seen: dict[str, list[JobEvent]] = {job.id: [] for job in jobs}

        async def note(job_id: str, event: JobEvent) -> None:
            seen[job_id].append(event)

        done = await asyncio.gather(*(job.wait(timeout_s=500, on_event=partial(note, job.id)) for job in jobs))
        assert [job.status for job in done] == ["succeeded", "succeeded"]
        for events in seen.values():
            assert [event.seq for event in events] == list(range(1, len(events) + 1))
            assert events[-1].type == "job.succeeded"
        return jobs[0].id, jobs[1].id


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Results]:
    """Two results on sixty users who walk round a ring of twelve items."""
    directory = tmp_path_factory.mktemp("results")
    generator = random.Random(0)
    lines = ["user,item,timestamp"]
    for user in range(60):
        item = generator.randrange(RING)
        for at in range(15):
            item = (item + generator.choice((1, 1, 1, 2))) % RING
            lines.append(f"u{user},i{item},{at + 1}")
    path = directory / "ring.csv"
    path.write_text("\n".join(lines) + "\n")
    with running_service(directory) as service:
        jobs = in_own_thread(asyncio.run, distil_both(service.base_url, service.api_key, path))
        yield Results(service.base_url, service.api_key, *jobs)


@pytest.fixture
def client(results: Results) -> Iterator[Client]:
    with Client(results.api_key, base_url=results.url) as connected:
        yield connected


@pytest.mark.parametrize("inputs", ["soft_tokens", "sampled_events"])
def test_synthetic_data_are_the_same_as_tensors_and_as_arrays(client: Client, results: Results, inputs: str) -> None:
    job = client.jobs.get(results.of(inputs))
    tensors, arrays = job.synthetic(), job.synthetic(library="numpy")
    assert tensors.library == "torch"
    assert tensors.shape == arrays.shape == (12, 10, RING)
    soft = tensors.probabilities()
    assert isinstance(soft, torch.Tensor)
    assert soft.shape == (12, 10, RING)
    np.testing.assert_allclose(arrays.probabilities(), soft.numpy(), atol=1e-5)
    np.testing.assert_allclose(arrays.probabilities().sum(-1), 1, atol=1e-5)
    assert sorted(tensors.vocabulary) == sorted(f"i{number}" for number in range(RING))
    assert tensors.header["inputs"] == inputs
    if inputs == "soft_tokens":
        assert (tensors.input_events, arrays.input_events) == (None, None)
    else:
        assert tensors.input_events.dtype == torch.int64
        assert (arrays.input_events == tensors.input_events.numpy()).all()


@pytest.mark.parametrize("library", ["polars", "pandas", "datasets"])
def test_sequences_are_frames(client: Client, results: Results, library: str) -> None:
    job = client.jobs.get(results.soft)
    frame = job.sequences(library=library)  # type: ignore[arg-type]
    assert type(frame).__module__.partition(".")[0] == library
    assert len(frame) == 4 * 12
    more = job.sequences(library=library, draws=6, seed=1)  # type: ignore[arg-type]
    assert len(more) == 6 * 12
    events = [list(row) for row in more["events"]]
    assert {len(row) for row in events} == {10}
    assert {name for row in events for name in row} <= {f"i{number}" for number in range(RING)}
    assert sorted(more["draw"])[-1] == 5


def test_a_saved_data_set_is_read_by_datasets(client: Client, results: Results, tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    card = client.jobs.get(results.soft).save_dataset(folder, draws=3, seed=7)
    front = yaml.safe_load(card.read_text().split("---")[1])
    assert front["configs"][0]["data_files"] == [{"split": "train", "path": "sequences-3-draws-seed-7.parquet"}]
    loaded = datasets.load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded.num_rows == 3 * 12
    assert loaded["events"][:] == client.artifacts.sequences(results.soft, library="datasets", draws=3, seed=7)["events"][:]
    text = card.read_text()
    assert results.soft in text
    advice = client.jobs.get(results.soft).synthetic().hard_training
    assert advice is not None
    assert advice["draws"] == 4
    assert f"| num_steps | {advice['num_steps']} |" in text
    assert f"| lr | {advice['lr']:.4g} |" in text
    assert hashlib.sha256((folder / "sequences-3-draws-seed-7.parquet").read_bytes()).hexdigest() in text
    client.artifacts.save_dataset(results.soft, folder)
    assert "sequences.parquet" in card.read_text()
    card.write_text("# My own")
    with pytest.raises(FarziClientError, match="would be lost"):
        client.artifacts.save_dataset(results.soft, folder)
    assert card.read_text() == "# My own"


def test_what_is_exported_for_recbole_can_be_uploaded_again(client: Client, results: Results, tmp_path: Path) -> None:
    path = client.artifacts.download(results.soft, "sequences.jsonl", tmp_path, format="inter")
    dataset = client.datasets.wait(client.datasets.upload(path, format="inter").id, timeout_s=300)
    assert (dataset.num_sequences, dataset.num_events) == (48, 480)


def test_the_asynchronous_client_has_them_too(results: Results) -> None:
    async def look() -> tuple[SyntheticData, int]:
        async with AsyncClient(results.api_key, base_url=results.url) as client:
            job = await client.jobs.get(results.sampled)
            synthetic, sequences = await asyncio.gather(job.synthetic(), job.sequences(library="polars"))
            return synthetic, len(sequences)

    synthetic, num_rows = in_own_thread(asyncio.run, look())
    assert (synthetic.shape, num_rows) == ((12, 10, RING), 48)


def share_of_true_steps(student: farzi_client.Student) -> float:
    """Return for how many items the likeliest next item is one or two further round the ring."""
    found = [student.predict([f"i{at}"], 1)[0][0] for at in range(RING)]
    return sum(name in {f"i{(at + 1) % RING}", f"i{(at + 2) % RING}"} for at, name in enumerate(found)) / RING


@pytest.mark.parametrize("inputs", ["soft_tokens", "sampled_events"])
def test_a_student_learns_from_either_kind_of_inputs(client: Client, results: Results, inputs: str) -> None:
    synthetic = client.jobs.get(results.of(inputs)).synthetic()
    losses: list[float] = []
    options = {"hidden_size": 16, "num_steps": 60, "lr": 0.03}
    student = farzi_client.train_student(synthetic, **options, on_step=lambda _, loss: losses.append(loss))  # type: ignore[arg-type]
    assert losses[-1] < losses[0]
    assert share_of_true_steps(student) >= 0.5, "chance is a sixth"
    once, again = (farzi_client.train_student(synthetic, hidden_size=4, num_steps=2, seed=1) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(once.parameters(), again.parameters(), strict=True))


def test_a_library_that_is_not_known_is_refused(client: Client, results: Results) -> None:
    job = client.jobs.get(results.soft)
    with pytest.raises(FarziClientError, match="'torch' tensors or as 'numpy'"):
        job.synthetic(library="jax")  # type: ignore[arg-type]
    with pytest.raises(FarziClientError, match="'polars', 'pandas' or 'datasets'"):
        job.sequences(library="arrow")  # type: ignore[arg-type]


def test_a_copy_of_a_job_belongs_to_no_client(client: Client, results: Results) -> None:
    job = client.jobs.get(results.soft)
    other = copy.deepcopy(job)
    assert other == job
    with pytest.raises(FarziClientError, match=f"client.jobs.get\\('{results.soft}'\\)"):
        other.refresh()
    assert job.refresh().id == job.id
    assert next(iter(client.jobs.list())).refresh().status == "succeeded"


@pytest.mark.parametrize(
    ("missing", "call", "extra"),
    [
        ("torch", "exec('from farzi_client import *'); Client; farzi_client.train_student", "torch"),
        ("numpy", "read_synthetic(Path('a'), Path('b'), 'numpy')", "numpy"),
        ("safetensors", "read_synthetic(Path('a'), Path('b'), 'numpy')", "numpy"),
        ("polars", "choose_library('polars')", "polars"),
        ("pandas", "choose_library('pandas')", "pandas"),
        ("datasets", "choose_library('datasets')", "datasets"),
    ],
)
def test_a_missing_library_is_named_with_its_extra(missing: str, call: str, extra: str) -> None:
    script = f"""
import sys
from pathlib import Path
from typing import Any
sys.modules[{missing!r}] = None
import farzi_client
from farzi_client.sequences import choose_library
from farzi_client.synthetic import read_synthetic
try:
    {call}
except farzi_client.MissingExtra as error:
    print(error)
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert f"needs {missing}" in ran.stdout
    assert f"'farzi[{extra}]'" in ran.stdout


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")  # MLflow's own
def test_the_blocks_of_the_page_run_one_after_the_other(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FARZI_API_URL", results.url)
    monkeypatch.setenv("FARZI_API_KEY", results.api_key)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.chdir(tmp_path)
    reader: dict[str, Any] = {"__name__": "__main__"}
    for language, line, text in fenced_blocks(PAGE):
        assert language == "python"
        in_own_thread(exec, compile(text.replace('preset="quick"', f"spec={SPEC!r}"), f"{PAGE}:{line}", "exec"), reader)
    told = capsys.readouterr().out
    assert "900 events of 12 items" in told
    assert "['succeeded', 'succeeded', 'succeeded']" not in told, "only the job of this data set"
    assert "['succeeded']" in told
    assert "job_not_found req_" in told
    assert "('/spec/synthetic/num_sequences', " in told
    assert "sequences-8-draws-seed-1.inter" in told
    assert "\n96\n" in told, "8 draws of 12 sequences"
    assert "torch.Size([1, 3, 12])" in told
    assert told.count("True\n") == 2
