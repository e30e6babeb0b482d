"""The parts of a spec that say what is made: synthetic data, and the hard sequences that are drawn from them. Imports no torch.

Shape letters: S synthetic sequences, L length, D latent width, V vocabulary; A, B, C Tucker ranks.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from farzi_core.spec_model import SpecModel

Inputs = Literal["soft_tokens", "sampled_events"]
MAX_OPEN_LENGTH = 50
Rank = Annotated[int, Field(ge=1, le=4096)]
Exponent = Annotated[float, Field(ge=0.0, le=10.0)]


def _complete_rule(exponents: object) -> object:
    """Give a rule of two exponents, as specs had them before, a coverage of 0."""
    return (*exponents, 0.0) if isinstance(exponents, list | tuple) and len(exponents) == 2 else exponents


HardRule = Annotated[tuple[Exponent, Exponent, Exponent], BeforeValidator(_complete_rule)]


class SyntheticConfig(SpecModel):
    """Size and form of the synthetic data ``softmax(scores / temperature)``; in bytes 4 a number, whatever the form."""

    num_sequences: int = Field(50, ge=1, le=100_000, description="S, number of synthetic sequences.")
    sequence_length: int | None = Field(
        None,
        ge=2,
        le=2048,
        description="L, events per synthetic sequence: at most those of the longest training sequence. null takes 2.5 "
        "times the mean history, from 20 to 50; of a text 50.",
    )
    latent_dim: int = Field(32, ge=1, le=1024, description="D, width of the latents of `factorized`: S L D + D V numbers.")
    temperature: float = Field(1.0, gt=0.0, le=100.0, description="Softmax temperature; lower is closer to hard sequences.")
    learn_temperature: bool = Field(False, description="Learn the temperature together with the rest, starting from it.")
    parameterization: Literal["factorized", "tucker", "free"] = Field(
        "factorized",
        description="What makes the scores: 'factorized' latents and decoder; 'tucker' a core with factors for sequences, "
        "positions and events (smaller); 'free' a score for every event at every position (S L V numbers).",
    )
    tucker_ranks: tuple[Rank, Rank, Rank] | None = Field(
        None,
        description="Ranks (A, B, C) of 'tucker' over sequences, positions and events: A B C + S A + L B + C V numbers; "
        "null takes about (S/2, L/2, latent_dim).",
    )
    inputs: Inputs | None = Field(
        "soft_tokens",
        description="What students are shown at each position, while they are asked for the soft token there: 'soft_tokens' "
        "the same tokens; 'sampled_events' events that teachers made up (4 bytes each), fixed from the start. null takes the "
        "latter for a text and for interactions with more than 256 different events, where teachers give the start (`init`).",
    )
    init: Literal["teacher", "real", "random"] = Field(
        "teacher",
        description="Start at what a teacher expects in place of each event of real sequences, at these events and those it "
        "finds similar, or at noise.",
    )

    @property
    def length(self) -> int:
        """L, or the most that data may decide where it is open still."""
        return self.sequence_length or MAX_OPEN_LENGTH

    @model_validator(mode="after")
    def _inputs_fit_start(self) -> SyntheticConfig:
        if self.inputs == "sampled_events" and self.init != "teacher":
            raise ValueError(
                f"inputs 'sampled_events' are made up by teachers, but init is {self.init!r}; set it to 'teacher', or "
                "inputs to 'soft_tokens'"
            )
        return self

    @model_validator(mode="after")
    def _ranks_fit(self) -> SyntheticConfig:
        if self.tucker_ranks is None:
            return self
        if self.parameterization != "tucker":
            raise ValueError(
                f"tucker_ranks={list(self.tucker_ranks)} was given, but parameterization is {self.parameterization!r}; "
                "set it to 'tucker' or leave the ranks out"
            )
        # An open length is checked once the data have decided it.
        sizes = (self.num_sequences, self.sequence_length or self.tucker_ranks[1])
        for name, rank, largest in zip(("num_sequences", "sequence_length"), self.tucker_ranks, sizes, strict=False):
            if rank > largest:
                raise ValueError(f"tucker_ranks={list(self.tucker_ranks)}: {rank} is above {name}={largest}; lower it")
        return self


class HardSequencesConfig(SpecModel):
    """How hard sequences are drawn, and how many are kept in the result."""

    rule: HardRule | None = Field(
        None,
        description="Exponents (a, b, c): an event is drawn in proportion to soft_token^a x prediction^b x (expected / "
        "drawn)^c. The prediction is what teachers expect after the events drawn before it; the last factor favours events "
        "that were drawn less often than real data have them. [1, 0, 0] is the soft tokens alone, each position on its own; "
        "null tries a few rules on fresh students, and validation chooses: the best where it beats [1, 0, 0] by more than "
        "3 %, else that.",
    )
    prepared_draws: int = Field(
        16,
        ge=1,
        le=100,
        description="Where teachers have a say, hard sequences of each synthetic one that are made once and kept in the "
        "result (4 bytes an event); draws beyond them are of the soft tokens alone, and worth less.",
    )

    @model_validator(mode="after")
    def _rule_has_predictions(self) -> HardSequencesConfig:
        if self.rule is not None and self.rule[1] == 0.0 and self.rule != (1.0, 0.0, 0.0):
            raise ValueError(
                f"rule {list(self.rule)} leaves predictions out, which only [1, 0, 0], the soft tokens as they are, may do; "
                "raise the second exponent, or use [1, 0, 0] or null"
            )
        return self
