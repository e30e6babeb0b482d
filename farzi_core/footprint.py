"""How much memory a job takes at its peak, and how many bytes its result has, from its spec alone. Imports no torch.

Shape letters: S synthetic sequences, L length, D latent width, V vocabulary, B batch, P parameters.
"""

from __future__ import annotations

from farzi_core.batch_sizes import synthetic_batch_size
from farzi_core.comparison_plan import list_sides, list_trainings
from farzi_core.config import PUBLISHED_DRAWS, DataSummary, DistillationSpec
from farzi_core.costs import count_params
from farzi_core.data_choices import inner_steps, num_outer_steps, pool_size
from farzi_core.hard_rules import SOFT_TOKENS_ALONE, list_rules

# An event id, in memory and in the files.
BYTES_PER_EVENT = 4
# A process with torch, polars and matplotlib loaded, on a CPU.
PROCESS_BYTES = 600 * 2**20
_FLOAT_BYTES = {"float32": 4, "float64": 8}
# Numbers that autograd keeps of an event: activations of one layer in hidden widths, and scores in vocabularies.
_KEPT_WIDTHS, _KEPT_SCORES = 16, 3
# Of a graph that is differentiated once more.
_SECOND_ORDER = 3
_MEAN_TOKEN_BYTES = 12
_REPORT_BYTES, _CURVE_BYTES, _PAGE_BYTES, _MANIFEST_BYTES = 20_000, 4_000, 250_000, 5_000
_NUMBER_BYTES = 8
# Outer loss and norm of an outer step, with their steps, in the report.
_OUTER_STEP_BYTES = 100


def estimate_memory_bytes(spec: DistillationSpec, data: DataSummary) -> int:
    """Return the peak of a run's memory, about: the process, the data, and the largest step with what it keeps."""
    student, number = spec.student, _FLOAT_BYTES[spec.precision]
    params = count_params(student, data.vocab_size)
    synthetic = spec.synthetic.num_sequences * spec.synthetic.length * data.vocab_size
    per_event = student.num_layers * _KEPT_WIDTHS * student.hidden_size + _KEPT_SCORES * data.vocab_size
    inner_batch = synthetic_batch_size(spec)
    inner = inner_batch * spec.synthetic.length * per_event * _SECOND_ORDER
    real = max(spec.outer.batch_size, spec.teacher.batch_size) * student.max_length * per_event
    window = spec.meta_gradient.num_differentiated(inner_steps(spec)[1])
    kept = window if spec.meta_gradient.method in {"stored", "truncated", "published"} else 2 * window**0.5
    states = params * (8 + 4 * kept)
    look = 2**24 * 2
    teacher = spec.teacher
    checkpoints = (teacher.num_trajectories or 1) * (1 + teacher.num_checkpoints) if spec.needs_trajectories else 0
    kept_students = checkpoints + pool_size(spec)
    numbers = 4 * synthetic + params * kept_students + max(inner + states, real, look)
    return int(PROCESS_BYTES + 24 * data.num_events + number * numbers)


def estimate_distillation_bytes(spec: DistillationSpec, data: DataSummary) -> int:
    """Return the bytes of all artifacts of a distillation, about."""
    size, number = spec.synthetic, _FLOAT_BYTES[spec.precision]
    positions = size.num_sequences * size.length
    numbers = {
        "factorized": positions * size.latent_dim + size.latent_dim * data.vocab_size,
        "free": positions * data.vocab_size,
        "tucker": positions * size.latent_dim // 4 + size.latent_dim * data.vocab_size,
    }[size.parameterization]
    inputs = BYTES_PER_EVENT * positions if size.inputs == "sampled_events" else 0
    hard = PUBLISHED_DRAWS * positions * (_MEAN_TOKEN_BYTES + _NUMBER_BYTES)
    if list_rules(spec) != (SOFT_TOKENS_ALONE,):
        hard += spec.hard_sequences.prepared_draws * positions * BYTES_PER_EVENT
    vocabulary = data.vocab_size * _MEAN_TOKEN_BYTES
    outer_loop = num_outer_steps(spec) * _OUTER_STEP_BYTES
    return number * numbers + inputs + hard + vocabulary + outer_loop + estimate_report_bytes(spec)


def estimate_report_bytes(spec: DistillationSpec) -> int:
    """Return the bytes of report and manifest, about: a curve for every training, in numbers and drawn."""
    num_students = len(spec.evaluation.students or (spec.student.architecture,))
    curves = len(list_trainings(spec)) * _CURVE_BYTES
    return _REPORT_BYTES * num_students + 2 * curves + _PAGE_BYTES + len(list_sides(spec)) * 2_000 + _MANIFEST_BYTES
