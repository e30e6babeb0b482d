"""The synthetic data an outer loop starts from, as the spec asks, in any parameterisation: near real data, or noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch.nn import functional as F  # noqa: N812  torch's own idiom

from farzi_core.distillation.sampled_start import start_from_samples
from farzi_core.distillation.setting import Setting
from farzi_core.distillation.teachers import TeacherTrajectory
from farzi_core.errors import ConfigError
from farzi_core.seeding import derive_generator
from farzi_core.students import Params
from farzi_core.synthetic.base import Synthetic
from farzi_core.synthetic.factorized import FactorizedSynthetic, start_from_noise, start_from_predictions, start_from_real
from farzi_core.synthetic.free import free_from_noise, free_scores_of
from farzi_core.synthetic.tucker import Ranks, default_ranks, fit_tucker, tucker_from_noise


def make_start(setting: Setting, teachers: Sequence[TeacherTrajectory]) -> Synthetic:
    """Return the synthetic data an outer loop starts from, as ``synthetic`` of the spec asks.

    Near data, each parameterisation starts as close to the factorised start as it can: ``tucker`` at a truncated
    higher-order SVD of its scores, ``free`` at the scores themselves.

    Raises:
        ConfigError: a start near real data has no teacher, or the teacher tells no events apart.
    """
    wanted = setting.spec.synthetic
    start = _from_noise(setting) if wanted.init == "random" else _from_teacher(setting, teachers)
    start = start.to(setting.device)
    return start.with_learned_temperature() if wanted.learn_temperature else start


def _from_noise(setting: Setting) -> Synthetic:
    wanted = setting.spec.synthetic
    size = (wanted.num_sequences, wanted.length, setting.vocab_size)
    generator = derive_generator(setting.spec.seed, "start")
    if wanted.parameterization == "free":
        return free_from_noise(*size, temperature=wanted.temperature, generator=generator, dtype=setting.dtype)
    if wanted.parameterization == "tucker":
        return tucker_from_noise(
            *size, ranks=_ranks(setting), temperature=wanted.temperature, generator=generator, dtype=setting.dtype
        )
    return start_from_noise(
        *size, latent_dim=wanted.latent_dim, temperature=wanted.temperature, generator=generator, dtype=setting.dtype
    )


def _from_teacher(setting: Setting, teachers: Sequence[TeacherTrajectory]) -> Synthetic:
    wanted = setting.spec.synthetic
    if not teachers:
        raise ConfigError(
            f"synthetic.init {wanted.init!r} needs a teacher, and none was given; train one", pointer="/synthetic/init"
        )
    width = _ranks(setting)[2] if wanted.parameterization == "tucker" else wanted.latent_dim
    if wanted.inputs == "sampled_events":
        start = start_from_samples(setting, [teacher.best_params for teacher in teachers], width)
    else:
        start = _factorized_from_teacher(setting, teachers[0].best_params, width)
    return replace(_in_form_of(setting, start), input_events=start.input_events)


def _in_form_of(setting: Setting, start: FactorizedSynthetic) -> Synthetic:
    wanted = setting.spec.synthetic
    if wanted.parameterization == "free":
        return free_scores_of(start)
    return fit_tucker(start, _ranks(setting)) if wanted.parameterization == "tucker" else start


def _factorized_from_teacher(setting: Setting, teacher: Params, width: int) -> FactorizedSynthetic:
    wanted, student = setting.spec.synthetic, setting.student
    generator = derive_generator(setting.spec.seed, "start")
    sequences = setting.real.pick_whole(wanted.num_sequences, wanted.length, generator).to(setting.device)
    table = student.event_table(teacher)
    if wanted.init == "real":
        return start_from_real(table, sequences, latent_dim=width, temperature=wanted.temperature, generator=generator)
    after = student.encode(teacher, student.embed_events(teacher, sequences))
    before = F.pad(after, (0, 0, 1, 0))[:, :-1]
    return start_from_predictions(
        table, before, sequences, latent_dim=width, temperature=wanted.temperature, generator=generator
    )


def _ranks(setting: Setting) -> Ranks:
    wanted = setting.spec.synthetic
    return wanted.tucker_ranks or default_ranks(wanted.num_sequences, wanted.length, wanted.latent_dim)
