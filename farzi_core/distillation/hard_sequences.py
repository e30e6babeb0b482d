"""Choosing how hard sequences are drawn, and drawing those that need teachers while there are some.

A rule is three exponents (a, b, c): an event is drawn in proportion to  soft_token^a x prediction^b x (expected / drawn)^c.
The prediction is the teachers' mean after the events drawn before it, the last factor what ``coverage.py`` says. (1, 0, 0) is
the soft tokens alone, each position on its own, and needs nobody. Where a and b sum to more than 1, draws are nearer to the
mode, where a student learns more from few sequences (Kim and Rush 2016, arXiv 1606.07947). Which rule is best differs from data
to data, so fresh students try them and validation chooses; where none is clearly better, the soft tokens alone, which need no
teacher.

Shape letters: S synthetic sequences, L length, V vocabulary, P prepared draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from farzi_core.comparison_plan import HARD, hard_batch_size, max_training_steps
from farzi_core.distillation.checkpoint import Checkpoint
from farzi_core.distillation.coverage import Coverage
from farzi_core.distillation.descent import Distilled
from farzi_core.distillation.mean_prediction import MeanPrediction, sample_sequences
from farzi_core.distillation.setting import Setting
from farzi_core.distillation.teachers import TeacherTrajectory
from farzi_core.errors import ArtifactError
from farzi_core.evaluation.metrics import LOWER_IS_BETTER, is_better
from farzi_core.evaluation.training import HardData, StudentTraining, TrainingPlan
from farzi_core.hard_rules import CLEARLY_BETTER, SOFT_TOKENS_ALONE, Rule, list_rules
from farzi_core.seeding import derive_generator, derive_seed
from farzi_core.synthetic.hard import draw_hard_sequences

# Numbers of one block of predictions.
_BLOCK_NUMBERS = 2**22


class HardSequences:
    """The trials of rules, then the draws of the one that is chosen; advanced step by step.

    Args:
        setting: data and student.
        teachers: trained, as many as the spec asks for.
        distilled: what is drawn from.

    Attributes:
        validations: of the rules that were tried, in order.
    """

    def __init__(self, setting: Setting, teachers: Sequence[TeacherTrajectory], distilled: Distilled) -> None:
        self._setting, self._distilled = setting, distilled
        self._mean = MeanPrediction(setting, [teacher.best_params for teacher in teachers]) if teachers else None
        self._rules = list_rules(setting.spec)
        self._current: StudentTraining | None = None
        self._prepared: list[Tensor] = []
        self.validations: dict[Rule, float] = {}

    @property
    def finished(self) -> bool:
        return self.all_tried and len(self._prepared) == self.num_prepared

    @property
    def rule(self) -> Rule:
        """The rule that validation chose, or the only one there is; the soft tokens alone unless another is clearly better."""
        assert self.all_tried, "a rule is chosen once all were tried"
        best = self._rules[0]
        for rule in self._rules[1:]:
            if is_better(self.validations[rule], self.validations[best], self._setting.metric):
                best = rule
        return best if self._is_clearly_best(best) else SOFT_TOKENS_ALONE

    def _is_clearly_best(self, rule: Rule) -> bool:
        """Whether a rule is better than the soft tokens alone by more than students differ."""
        metric, alone = self._setting.metric, self.validations.get(SOFT_TOKENS_ALONE)
        if alone is None or rule == SOFT_TOKENS_ALONE:
            return True
        least = alone * (1.0 - CLEARLY_BETTER if metric in LOWER_IS_BETTER else 1.0 + CLEARLY_BETTER)
        return is_better(self.validations[rule], least, metric)

    @property
    def num_prepared(self) -> int:
        """P, draws that are made with teachers; 0 where the soft tokens are enough."""
        return 0 if self.rule == SOFT_TOKENS_ALONE else self._setting.spec.hard_sequences.prepared_draws

    @property
    def result(self) -> Distilled:
        """What was given, with the prepared draws."""
        assert self.finished, "draws are complete once all were made"
        if not self._prepared:
            return self._distilled
        synthetic = replace(self._distilled.synthetic, prepared_draws=torch.stack(self._prepared))
        return replace(self._distilled, synthetic=synthetic)

    def advance(self) -> None:
        """Take one step of a trial's student, or make one draw of every synthetic sequence.

        Raises:
            NumericalError: a loss or the scores are not finite.
        """
        assert not self.finished
        if self.all_tried:
            self._prepared.append(self._draw(self.rule, self._prepared))
            return
        rule = self._rules[len(self.validations)]
        training = self._current or self._begin(rule)
        self._current = training
        training.advance()
        if training.finished:
            assert training.best_value is not None
            self.validations[rule] = training.best_value
            self._current = None

    @property
    def all_tried(self) -> bool:
        """Whether there is nothing left to choose; draws may be missing."""
        return len(self._rules) == 1 or len(self.validations) == len(self._rules)

    def _begin(self, rule: Rule) -> StudentTraining:
        """Return a training like those of the comparison: a text needs hundreds of steps to tell rules apart."""
        setting = self._setting
        draws = setting.spec.evaluation.hard_draws
        if rule == SOFT_TOKENS_ALONE:
            events = draw_hard_sequences(self._distilled.synthetic, draws, derive_seed(setting.spec.seed, "hard_trial"))
        else:
            drawn: list[Tensor] = []
            while len(drawn) < draws:
                drawn.append(self._draw(rule, drawn))
            events = torch.cat(drawn)
        plan = TrainingPlan(
            setting.inner_adam(self._distilled.inner_lr),
            max_training_steps(HARD, setting.spec),
            setting.spec.evaluation.num_validations,
            setting.spec.evaluation.patience,
            setting.metric,
        )
        return StudentTraining(
            setting.student,
            HardData(events.to(setting.device), hard_batch_size(len(events), setting.spec)),
            setting.validation,
            plan,
            seed=setting.spec.seed,
            purpose=(HARD, "trial"),
            dtype=setting.dtype,
            device=setting.device,
        )

    def _draw(self, rule: Rule, earlier: Sequence[Tensor]) -> Tensor:
        """Return the draw of every synthetic sequence that follows earlier ones, by a rule of teachers: int64 (S, L), CPU."""
        assert self._mean is not None, "a rule of teachers needs teachers"
        synthetic, device = self._distilled.synthetic, self._setting.device
        generator = derive_generator(self._setting.spec.seed, HARD, "prepared", len(earlier))
        favoured = rule.token * synthetic.logits().log_softmax(-1) if rule.token else None
        coverage = Coverage(self._mean.first_event, rule.coverage) if rule.coverage else None
        if coverage is not None:
            for events in earlier:
                coverage.count(events.to(device))
        size = max(1, _BLOCK_NUMBERS // synthetic.vocab_size)
        blocks = [
            sample_sequences(
                self._mean,
                min(size, synthetic.num_sequences - start),
                synthetic.sequence_length,
                repeats_allowed=self._setting.repeats_allowed,
                generator=generator,
                sharpness=rule.prediction,
                token_logits=None if favoured is None else favoured[start : start + size],
                coverage=coverage,
            )
            for start in range(0, synthetic.num_sequences, size)
        ]
        return torch.cat(blocks).cpu()

    def checkpoint(self) -> Checkpoint:
        """Return the state between two steps."""
        parts = {} if self._current is None else {"current": self._current.checkpoint()}
        if self._prepared:
            parts["prepared"] = Checkpoint({"draws": torch.stack(self._prepared)}, {})
        return Checkpoint.join(parts, rules=self._rules, validations=list(self.validations.values()))

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a state that :meth:`checkpoint` returned.

        Raises:
            ArtifactError: it was of other rules, as another release has them.
        """
        if [Rule.of(exponents) for exponents in checkpoint.values["rules"]] != list(self._rules):
            raise ArtifactError("the checkpoint has tried other rules of hard sequences than this release; use an older one")
        self.validations = dict(zip(self._rules, checkpoint.values["validations"], strict=False))
        if checkpoint.has_part("prepared"):
            self._prepared = list(checkpoint.part("prepared").tensors["draws"].cpu())
        if checkpoint.has_part("current"):
            self._current = self._begin(self._rules[len(self.validations)])
            self._current.restore(checkpoint.part("current"))
