"""What steps of training cost: what is counted of a step, and how long a machine takes for what was counted. Imports no torch.

Three things are counted of a training step: operations that are started one after the other (a recurrence has several for
every event of a sequence), multiply-adds of its matrix products, and numbers that are written element by element. A machine
is described by what each of them takes, architecture by architecture, and by what a look at held-out cases and a
differentiated inner step take next to a training step. ``farzi_core.calibration`` measures a machine; REFERENCE is one that
was measured: it stands in where none is known, and divides the progress of a job into even units.

Shape letters: B sequences, L length, V vocabulary, H hidden width, P parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self, get_args

from farzi_core.config import Architecture, StudentConfig
from farzi_core.reference_machine import REFERENCE_MACHINE

# Of a mixed product alone, and of a gradient matched by another one: second derivatives without the Hessian.
MIXED_SHARE = 0.6
# Next to keeping every step, measured on inner loops of 20 to 60 steps; see docs/benchmarks.md.
METHOD_FACTORS = {"offloaded": 1.1, "checkpointed": 1.3, "reversed": 1.3}


@dataclass(frozen=True)
class StepWork:
    """What is counted of one step.

    Attributes:
        launches: operations that are started one after the other.
        products: multiply-adds of matrix products.
        elements: numbers written by everything else.
    """

    launches: float
    products: float
    elements: float

    def __add__(self, other: StepWork) -> StepWork:
        return StepWork(self.launches + other.launches, self.products + other.products, self.elements + other.elements)


@dataclass(frozen=True)
class _Layer:
    """One layer, for an event: products are ``squares H^2 + lengths L H``, elements ``widths H + rows L``."""

    launches: float
    squares: float
    lengths: float
    widths: float
    rows: float
    steps_launches: float = 0.0  # for every event of a sequence


_LAYERS: dict[Architecture, _Layer] = {
    "sasrec": _Layer(14, 6, 2, 12, 3),
    "transformer_lm": _Layer(22, 12, 2, 26, 3),
    "fmlp": _Layer(14, 8, 1, 16, 0),
    "gru4rec": _Layer(8, 6, 0, 12, 0, steps_launches=5),
    "narm": _Layer(8, 6, 0, 12, 0, steps_launches=5),
    "lstm": _Layer(8, 8, 0, 16, 0, steps_launches=7),
}
_LAUNCHES_OF_A_STEP = 12
_NARM_QUERIES_AT_ONCE = 10


def count_encoding(student: StudentConfig, batch: float, length: float) -> StepWork:
    """Count reading B sequences of L events, without the vocabulary."""
    layer, width, events = _LAYERS[student.architecture], student.hidden_size, batch * length
    rows = layer.rows * length * student.num_heads
    one = StepWork(
        layer.launches + layer.steps_launches * length,
        events * (layer.squares * width**2 + layer.lengths * length * width),
        events * (layer.widths * width + rows),
    )
    layers = student.num_layers
    whole = StepWork(one.launches * layers, one.products * layers, one.elements * layers)
    if student.architecture != "narm":
        return whole
    launches = 6 * length / _NARM_QUERIES_AT_ONCE
    return whole + StepWork(launches, events * (4 * width**2 + length * width), events * length * width)


def count_training_step(
    student: StudentConfig, vocab_size: int, batch: float, length: float, *, soft: bool, mean_length: float | None = None
) -> StepWork:
    """Count one training step on B sequences of L events, which are soft tokens or hard ids.

    With ``mean_length`` the rest of L is padding, which is read and not scored.
    """
    events, width = batch * (length if mean_length is None else mean_length), student.hidden_size
    # Soft tokens are embedded by a product as wide as the one that scores.
    head = StepWork(_LAUNCHES_OF_A_STEP, events * vocab_size * width * (2 if soft else 1), 2 * events * vocab_size)
    adam = StepWork(0, 0, 3 * count_params(student, vocab_size))
    return count_encoding(student, batch, length) + head + adam


def count_look(student: StudentConfig, vocab_size: int, cases: float, *, scores_every_event: bool) -> StepWork:
    """Count measuring a student on held-out cases; a ranking scores the last event of each alone."""
    length, width = student.max_length, student.hidden_size
    scored = cases * (length if scores_every_event else 1)
    batches = max(1.0, cases / 512)
    encoded = count_encoding(student, cases, length)
    body = StepWork(encoded.launches * batches, encoded.products, encoded.elements)
    return body + StepWork(_LAUNCHES_OF_A_STEP * batches, scored * vocab_size * width, 4 * scored * vocab_size)


def count_params(student: StudentConfig, vocab_size: int) -> int:
    """Return P, about."""
    width = student.hidden_size
    layers = student.num_layers * (_LAYERS[student.architecture].squares + 2) * width**2
    return int(vocab_size * width + student.max_length * width + layers)


@dataclass(frozen=True)
class Speed:
    """How fast a machine trains students of one architecture.

    Attributes:
        launch_s, product_s, element_s: seconds of a training step for each that is counted.
        reverse_factor: a differentiated inner step, over a training step.
        look_factor: a look, over a training step of which as much is counted.
    """

    launch_s: float
    product_s: float
    element_s: float
    reverse_factor: float
    look_factor: float

    def training_s(self, work: StepWork) -> float:
        """Return the seconds of a training step."""
        return self.launch_s * work.launches + self.product_s * work.products + self.element_s * work.elements

    def look_s(self, work: StepWork) -> float:
        """Return the seconds of a look."""
        return self.look_factor * self.training_s(work)


@dataclass(frozen=True)
class Calibration:
    """How fast a machine is.

    Attributes:
        speeds: by architecture.
        startup_s: from the start of a run process to its first step.
        report_s: writing the artifacts.
    """

    speeds: Mapping[Architecture, Speed]
    startup_s: float
    report_s: float

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` returned.

        Raises:
            ValueError: it is of another release, and lacks something.
        """
        try:
            speeds = {name: Speed(**values["speeds"][name]) for name in get_args(Architecture)}
            return cls(speeds, values["startup_s"], values["report_s"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"no calibration that this release reads: {error!r}") from error


REFERENCE = Calibration.from_json(REFERENCE_MACHINE)
