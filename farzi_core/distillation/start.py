"""The synthetic data an outer loop starts from, as the spec asks: near real data, or noise; in any parameterisation."""

from __future__ import annotations

from collections.abc import Sequence

from farzi_core.distillation.setting import Setting
from farzi_core.distillation.teachers import TeacherTrajectory
from farzi_core.errors import ConfigError
from farzi_core.seeding import derive_generator
from farzi_core.synthetic.base import Synthetic
from farzi_core.synthetic.factorized import start_from_noise, start_from_real
from farzi_core.synthetic.free import free_from_noise, free_scores_of
from farzi_core.synthetic.tucker import Ranks, default_ranks, fit_tucker, tucker_from_noise


def make_start(setting: Setting, teachers: Sequence[TeacherTrajectory]) -> Synthetic:
    """Return the synthetic data an outer loop starts from, as ``synthetic`` of the spec asks.

    Near real data, each parameterisation starts as close to the factorised start as it can: ``tucker`` at a truncated
    higher-order SVD of its scores, ``free`` at the scores themselves.

    Raises:
        ConfigError: a start near real data has no teacher, or the teacher tells no events apart.
    """
    wanted = setting.spec.synthetic
    start = _from_noise(setting) if wanted.init == "random" else _from_real(setting, teachers)
    start = start.with_tensors({name: tensor.to(setting.device) for name, tensor in start.tensors().items()})
    return start.with_learned_temperature() if wanted.learn_temperature else start


def _from_noise(setting: Setting) -> Synthetic:
    wanted = setting.spec.synthetic
    size = (wanted.num_sequences, wanted.sequence_length, setting.vocab_size)
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


def _from_real(setting: Setting, teachers: Sequence[TeacherTrajectory]) -> Synthetic:
    if not teachers:
        raise ConfigError("synthetic.init 'real' needs a teacher, and none was given; train one", pointer="/synthetic/init")
    wanted = setting.spec.synthetic
    generator = derive_generator(setting.spec.seed, "start")
    sequences = setting.real.pick_whole(wanted.num_sequences, wanted.sequence_length, generator)
    start = start_from_real(
        setting.student.event_table(teachers[0].best_params),
        sequences.to(setting.device),
        latent_dim=_ranks(setting)[2] if wanted.parameterization == "tucker" else wanted.latent_dim,
        temperature=wanted.temperature,
        generator=generator,
    )
    if wanted.parameterization == "free":
        return free_scores_of(start)
    return fit_tucker(start, _ranks(setting)) if wanted.parameterization == "tucker" else start


def _ranks(setting: Setting) -> Ranks:
    wanted = setting.spec.synthetic
    return wanted.tucker_ranks or default_ranks(wanted.num_sequences, wanted.sequence_length, wanted.latent_dim)
