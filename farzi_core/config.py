"""The distillation spec: what a user can choose, as frozen pydantic models.

Imports no torch, so the API can validate a spec without it. Values per task live in ``farzi_core.presets``; the class-level
defaults here are those of ``standard`` for recommendation. Unknown fields are refused everywhere.

Shape letters: S synthetic sequences, L length, D latent width, V vocabulary, B batch, T inner steps, H hidden.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from farzi_core.spec_model import SpecModel
from farzi_core.synthetic_config import HardSequencesConfig, SyntheticConfig

Task = Literal["sequential_recommendation", "language_modeling"]
DataFormat = Literal["csv", "tsv", "jsonl", "parquet", "inter", "sequences", "text"]
PresetName = Literal["quick", "standard", "thorough"]
Architecture = Literal["sasrec", "gru4rec", "fmlp", "narm", "transformer_lm", "lstm"]
Baseline = Literal[
    "random",
    "random_equal_bytes",
    "head",
    "head_equal_bytes",
    "gradient_matching",
    "distribution_matching",
    "trajectory_matching",
    "first_order",
]
# Those that keep the longest sequences; a text has none.
OF_LONGEST: tuple[Baseline, ...] = ("head", "head_equal_bytes")
# Those that learn synthetic data of the spec's form, as the outer loop does; the others are real sequences.
LEARNED_BASELINES: tuple[Baseline, ...] = (
    "gradient_matching",
    "distribution_matching",
    "trajectory_matching",
    "first_order",
)

TASK_ARCHITECTURES: dict[Task, tuple[Architecture, ...]] = {
    "sequential_recommendation": ("sasrec", "gru4rec", "fmlp", "narm"),
    "language_modeling": ("transformer_lm", "lstm"),
}

# Hard sequences of each synthetic one in the published files.
PUBLISHED_DRAWS = 4

HardVariant = Annotated[int, Field(ge=1, le=100)] | Literal["argmax"]
NoiseLevel = Annotated[float, Field(gt=0.0, lt=1.0)]
Beta = Annotated[float, Field(ge=0.0, lt=1.0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class StudentSizes(SpecModel):
    """How large students are, whatever their architecture."""

    hidden_size: int = Field(32, ge=4, le=1024, description="Width H; time and parameters grow with V x H.")
    num_layers: int = Field(2, ge=1, le=24, description="Blocks, or recurrent layers.")
    num_heads: int = Field(1, ge=1, le=32, description="Attention heads of sasrec and transformer_lm; must divide hidden_size.")
    max_length: int = Field(50, ge=2, le=2048, description="Longest history the student is given; attention costs its square.")
    dropout: float = Field(
        0.0, ge=0.0, lt=1.0, description="Dropout of every training, on real data and on a summary; never in the inner loop."
    )

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.hidden_size % self.num_heads:
            raise ValueError(
                f"num_heads={self.num_heads} does not divide hidden_size={self.hidden_size}; choose a divisor of hidden_size"
            )
        return self


class StudentConfig(StudentSizes):
    """The model that is trained on synthetic data inside the inner loop."""

    architecture: Architecture = Field("sasrec", description="Student architecture.")


class InnerConfig(SpecModel):
    """The inner loop: Adam on the synthetic data.

    Smoothness matters: betas of (0.9, 0.999) make distillation harmful, and without ``eps_root`` only short windows have a
    meta-gradient that means anything.
    """

    num_steps: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="Longest inner loop T; its length varies between min_steps and this. null takes 120, 80 with a pool of "
        "students, and 600 without one with inputs 'sampled_events', whose students learn for longer.",
    )
    min_steps: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="Shortest inner loop; null takes 30, 40 with a pool of students, and 120 without one with inputs "
        "'sampled_events'; at most num_steps.",
    )
    growth: Share | None = Field(
        None,
        description="Share of the outer steps over which the longest inner loop grows evenly from min_steps to num_steps; null "
        "or 0 draws from the whole range from the start.",
    )
    batch_size: int | None = Field(
        None,
        ge=1,
        description="Synthetic sequences per step, of inner loops and of students of soft tokens; null takes all of them, or "
        "10 with inputs 'sampled_events'.",
    )
    lr: float = Field(0.006, gt=0.0, le=1.0, description="Inner Adam learning rate.")
    learn_lr: bool = Field(False, description="Learn the inner learning rate together with the synthetic data.")
    betas: tuple[Beta, Beta] = Field((0.95, 0.975), description="Inner Adam decay rates.")
    eps: float = Field(1e-8, gt=0.0, description="Added to the root of the second moment.")
    eps_root: float | None = Field(
        None,
        ge=0.0,
        description="Added under the root of the second moment: what makes long windows smooth. null takes (1/3 / V) squared, "
        "where 1 / V is about the size of an embedding's gradient.",
    )

    @model_validator(mode="after")
    def _range_is_ordered(self) -> InnerConfig:
        if self.min_steps is not None and self.num_steps is not None and self.min_steps > self.num_steps:
            raise ValueError(
                f"min_steps={self.min_steps} is above num_steps={self.num_steps}; lower min_steps or raise num_steps"
            )
        return self


class OuterConfig(SpecModel):
    """The outer loop: Adam on the synthetic data along the meta-gradient."""

    num_steps: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="Outer steps; each costs one inner loop and its reverse sweep. null takes 450, 180 with a pool of "
        "students, and 90 without one with inputs 'sampled_events'; in preset `quick` 160, 60 and 30.",
    )
    batch_size: int = Field(
        512, ge=1, le=65_536, description="Real sequences per outer loss; synthetic data fit themselves to a small batch."
    )
    lr: float | None = Field(
        None,
        gt=0.0,
        le=10.0,
        description="Outer learning rate, decayed to 0 by a cosine; null takes 0.02, or 0.005 with inputs 'sampled_events'; in "
        "preset `quick` 0.05 and 0.02.",
    )
    clip_norm: float | Literal["median"] | None = Field(
        "median", description="Largest meta-gradient norm; 'median' follows the running median of the last 50 steps."
    )
    average_decay: float = Field(0.95, ge=0.0, lt=1.0, description="Exponential moving average of the synthetic data.")
    start_params: Literal["random", "trajectories", "mixed"] = Field(
        "random",
        description="Where students of inner loops begin: fresh random parameters, checkpoints of teachers, or either of them "
        "as trajectory_share says.",
    )
    pool_size: int | None = Field(
        None,
        ge=0,
        le=1000,
        description="Students that are kept between outer steps: an inner loop goes on with one of them. 0 begins a new "
        "student for every inner loop. null takes 8 with inputs 'sampled_events', whose students learn for long, 0 otherwise.",
    )
    pool_max_steps: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="Steps after which a student of the pool makes room for a new one; null takes 1000, or with inputs "
        "'sampled_events' 20 for each synthetic sequence where that is more. The pool begins with students of all ages up to "
        "this.",
    )
    trajectory_share: tuple[Share, Share] = Field(
        (0.5, 0.5),
        description="Of 'mixed': the share of inner loops that start at a checkpoint, at the first and at the last outer step; "
        "in between it moves evenly.",
    )
    trajectory_growth: Share | None = Field(
        None,
        description="Share of the outer steps over which the checkpoints to start from grow evenly from the earliest alone to "
        "all of a trajectory; null or 0 draws from all of them from the start.",
    )
    validate_every: int = Field(
        30, ge=1, description="Outer steps between validations of a fresh student; the start is validated as well."
    )
    validation_steps: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="Steps for which the fresh student of a validation trains, its best look counts; null takes "
        "inner.num_steps; with inputs 'sampled_events', where students learn for longer than an inner loop, at least 600, and "
        "at least 12 for each synthetic sequence.",
    )
    patience: int | None = Field(
        4, ge=1, description="Stop after this many validations in a row without a better one; null never stops."
    )

    @model_validator(mode="after")
    def _curriculum_has_checkpoints(self) -> OuterConfig:
        if self.trajectory_share != (0.5, 0.5) and self.start_params != "mixed":
            raise ValueError(
                f"trajectory_share={list(self.trajectory_share)} was given, but start_params is {self.start_params!r}; set it "
                "to 'mixed' or leave the share out"
            )
        if self.trajectory_growth is not None and self.start_params == "random":
            raise ValueError(
                f"trajectory_growth={self.trajectory_growth:g} was given, but start_params is 'random'; set it to "
                "'trajectories' or 'mixed', or leave the growth out"
            )
        return self

    @model_validator(mode="after")
    def _pool_is_there(self) -> OuterConfig:
        if self.pool_max_steps is not None and self.pool_size == 0:
            raise ValueError(
                f"pool_max_steps={self.pool_max_steps} was given, but pool_size is 0, so there is no pool; set pool_size to 1 "
                "or more, or leave pool_max_steps out"
            )
        return self


WINDOWED_METHODS = ("truncated", "published")
DEFAULT_WINDOW = 16


class MetaGradientConfig(SpecModel):
    """How the meta-gradient is computed; see ``farzi_core.metagrad``."""

    method: Literal["stored", "offloaded", "checkpointed", "reversed", "truncated", "published"] = Field(
        "truncated",
        description="'truncated' differentiates only the last `window` steps, the others all of them; 'published' is the "
        "paper's recursion over the same steps, which is not the gradient, and is kept for comparisons.",
    )
    window: int | None = Field(
        DEFAULT_WINDOW,
        ge=1,
        description="Inner steps differentiated by 'truncated' and 'published' (null: all, 'published' only); with another "
        "method, which differentiates all, only null or this default is taken. How long it can "
        "be before the gradient is chaos depends on inner.eps_root and inner.lr.",
    )

    @model_validator(mode="after")
    def _window_belongs_to_truncated(self) -> MetaGradientConfig:
        if self.method == "truncated" and self.window is None:
            raise ValueError("method 'truncated' needs a window; give a number of inner steps, for example 16")
        return self

    def num_differentiated(self, num_inner_steps: int) -> int:
        """Return how many of the last inner steps are differentiated."""
        if self.method not in WINDOWED_METHODS or self.window is None:
            return num_inner_steps
        return min(num_inner_steps, self.window)


class TeacherConfig(SpecModel):
    """Students trained on real data, whose checkpoints give the start space and start parameters."""

    num_trajectories: int | None = Field(
        None,
        ge=1,
        le=100,
        description="Independent trainings on real data; null takes 3 for interactions with inputs 'sampled_events', which are "
        "drawn from the mean of their predictions, and 1 otherwise.",
    )
    num_steps: int = Field(1600, ge=1, le=1_000_000, description="Longest training of each, in batches; stops on validation.")
    batch_size: int = Field(128, ge=1, le=65_536, description="Real sequences per step.")
    lr: float = Field(3e-3, gt=0.0, le=1.0, description="Learning rate on real data.")
    patience: int = Field(8, ge=1, description="Looks without a better one before a training on real data stops.")
    num_checkpoints: int = Field(
        20,
        ge=1,
        le=1000,
        description="Checkpoints kept at even distances along num_steps, besides the untrained parameters, where "
        "outer.start_params or 'trajectory_matching' needs them; each takes the memory of a student.",
    )


class BaselineConfig(SpecModel):
    """How the learned baselines of ``evaluation.baselines`` are made; what is not here is as in the outer loop."""

    num_steps: int | None = Field(None, ge=1, le=1_000_000, description="Outer steps of each; null takes outer.num_steps.")
    lr: float | None = Field(None, gt=0.0, le=10.0, description="Their outer learning rate; null takes outer.lr.")
    trajectory_steps: int = Field(
        12, ge=1, le=10_000, description="Of 'trajectory_matching': inner steps from one teacher checkpoint towards another."
    )
    trajectory_span: int = Field(
        4, ge=1, le=100, description="Of 'trajectory_matching': how many checkpoints further the other one is."
    )


class EvaluationConfig(SpecModel):
    """How the result is judged: fresh random students, full ranking, tuned full-data training."""

    students: tuple[Architecture, ...] | None = Field(
        None, description="Architectures judged; null takes the spec's own student."
    )
    num_seeds: int = Field(3, ge=1, le=100, description="Fresh students per cell.")
    ks: tuple[Annotated[int, Field(ge=1, le=10_000)], ...] = Field((5, 10, 20, 100), description="Cut-offs of HR@k and NDCG@k.")
    baselines: tuple[Baseline, ...] = Field(
        ("random",),
        description="What the result is compared with, besides full data: real sequences ('random' and 'head', the longest, "
        "as many as synthetic ones; 'random_equal_bytes' and 'head_equal_bytes', as many as take their bytes), or synthetic "
        "data of the same form learned by another method, each as long as the distillation itself.",
    )
    max_steps: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="Longest training on synthetic data; the best step is chosen on validation. null takes 400, and for "
        "soft tokens behind 'sampled_events', whose students learn for longer, 32 for each sequence, at least 1600.",
    )
    num_validations: int = Field(
        40, ge=1, le=1000, description="Looks at validation cases per training, on every side; the best one is kept."
    )
    patience: int = Field(8, ge=1, description="Looks without a better one before a training on synthetic data stops.")
    max_validation_cases: int | None = Field(
        2000, ge=1, description="Validation cases looked at, a fixed random subset; null takes all. The test is always whole."
    )
    lr_factors: tuple[Annotated[float, Field(gt=0.0, le=100.0)], ...] = Field(
        (0.5, 1.0, 2.0),
        min_length=1,
        description="Multiples of each side's learning rate tried with its first seed; validation chooses one for the rest.",
    )
    hard_draws: int = Field(4, ge=1, le=100, description="Hard sequences drawn per synthetic sequence for side `hard`.")
    hard_variants: tuple[HardVariant, ...] = Field(
        (1,),
        description="Further sides of hard sequences: `hard_1` for one draw of each synthetic sequence, and so on; "
        "`hard_argmax` for 'argmax', the likeliest event of every position.",
    )
    noise_levels: tuple[NoiseLevel, ...] = Field(
        (),
        description="Shares of training events replaced by random ones, for example 0.1: sides `full_data_noise_10` and "
        "`hard_noise_10`, whose students train on disturbed real and hard sequences. Distilling noisy data is another job.",
    )
    repeats_allowed: bool | None = Field(
        None,
        description="Whether events of the history stay candidates; null decides from how often real targets repeat.",
    )

    @model_validator(mode="after")
    def _names_differ(self) -> EvaluationConfig:
        for field in ("students", "baselines", "hard_variants", "noise_levels"):
            named = list(getattr(self, field) or ())
            twice = sorted({str(name) for name in named if named.count(name) > 1})
            if twice:
                raise ValueError(f"{field} names {', '.join(twice)} more than once; name each once")
        return self


class DistillationSpec(SpecModel):
    """Everything a distillation job is determined by, besides the data."""

    preset: PresetName = Field("standard", description="Preset the other fields started from.")
    student: StudentConfig = StudentConfig()
    synthetic: SyntheticConfig = SyntheticConfig()
    inner: InnerConfig = InnerConfig()
    outer: OuterConfig = OuterConfig()
    meta_gradient: MetaGradientConfig = MetaGradientConfig()
    teacher: TeacherConfig = TeacherConfig()
    hard_sequences: HardSequencesConfig = HardSequencesConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    baseline: BaselineConfig = BaselineConfig()
    precision: Literal["float32", "float64"] = Field("float32", description="Floating-point format of the distillation.")
    seed: int = Field(0, ge=0, lt=2**31, description="Seed of every random choice; same seed, same bits on a CPU.")

    @model_validator(mode="after")
    def _parts_fit_together(self) -> DistillationSpec:
        length = self.synthetic.sequence_length
        if length is not None and length > self.student.max_length:
            raise ValueError(
                f"synthetic.sequence_length={length} is above student.max_length="
                f"{self.student.max_length}; shorten the sequences or raise max_length"
            )
        batch_size = self.inner.batch_size
        if batch_size is not None and batch_size > self.synthetic.num_sequences:
            raise ValueError(
                f"inner.batch_size={batch_size} is above synthetic.num_sequences={self.synthetic.num_sequences}; "
                "lower it or use null"
            )
        return self

    @property
    def needs_teacher(self) -> bool:
        """Whether anything of a teacher enters the distillation, or a baseline of it."""
        rule = self.hard_sequences.rule
        return self.synthetic.init != "random" or self.needs_trajectories or (rule is not None and rule[1] > 0.0)

    @property
    def needs_trajectories(self) -> bool:
        """Whether more of a teacher is used than its best parameters."""
        return self.outer.start_params != "random" or "trajectory_matching" in self.evaluation.baselines


@dataclass(frozen=True)
class DataSummary:
    """What a spec is checked against before a job starts: the size of a validated data set.

    ``max_training_length`` is what the longest training sequence (of a text: all training lines) has once validation and test
    are taken away; None where it cannot be known of a data set that an earlier release validated.
    """

    task: Task
    num_sequences: int
    num_events: int
    vocab_size: int
    max_sequence_length: int
    max_training_length: int | None = None

    @property
    def mean_history(self) -> float:
        """Events of a sequence in the mean; infinite for a text, which is one stream."""
        return inf if self.task == "language_modeling" else self.num_events / max(1, self.num_sequences)

    @property
    def max_synthetic_length(self) -> int:
        """Events that a synthetic sequence may have at most: what there is to learn from in one piece."""
        if self.max_training_length is not None:
            return self.max_training_length
        # A text is one stream cut into blocks.
        return self.num_events if self.task == "language_modeling" else self.max_sequence_length
