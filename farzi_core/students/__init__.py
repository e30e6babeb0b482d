"""Students: functional next-event models that can be differentiated twice.

``build_student`` is the only place where a spec meets a model. See ``protocol.py`` for what a student promises.
"""

from __future__ import annotations

from collections.abc import Callable

from farzi_core.config import Architecture, StudentConfig
from farzi_core.errors import ConfigError
from farzi_core.students.fmlp import FMLP
from farzi_core.students.gru4rec import GRU4Rec
from farzi_core.students.losses import embedded_next_event_loss, next_event_loss, soft_next_event_loss
from farzi_core.students.lstm_lm import LSTMLM
from farzi_core.students.narm import NARM
from farzi_core.students.protocol import Params, Student
from farzi_core.students.sasrec import SASRec
from farzi_core.students.transformer_lm import TransformerLM

_ARCHITECTURES: dict[Architecture, Callable[[StudentConfig, int], Student]] = {
    "sasrec": SASRec,
    "gru4rec": GRU4Rec,
    "fmlp": FMLP,
    "narm": NARM,
    "transformer_lm": TransformerLM,
    "lstm": LSTMLM,
}


def build_student(config: StudentConfig, vocab_size: int) -> Student:
    """Return the student that ``config`` describes, over ``vocab_size`` events.

    Raises:
        ConfigError: fewer than two events, or sizes the architecture cannot take.
    """
    if vocab_size < 2:
        raise ConfigError(f"a student over {vocab_size} events has nothing to predict; give data with at least 2 events")
    return _ARCHITECTURES[config.architecture](config, vocab_size)


__all__ = [
    "FMLP",
    "LSTMLM",
    "NARM",
    "GRU4Rec",
    "Params",
    "SASRec",
    "Student",
    "TransformerLM",
    "build_student",
    "embedded_next_event_loss",
    "next_event_loss",
    "soft_next_event_loss",
]
