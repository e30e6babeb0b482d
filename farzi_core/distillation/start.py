"""The synthetic data an outer loop starts from, as the spec asks: near real data, or noise; in any parameterisation."""

from __future__ import annotations

from collections.abc import Sequence

from farzi_core.distillation.setting import Setting
from farzi_core.distillation.teachers import TeacherTrajectory
from farzi_core.errors import ConfigError
from farzi_core.seeding import derive_generator
from farzi_core.synthetic.base import Synthetic
from farzi_core.synthetic.factorized import start_from_noise, start_from_real


def make_start(setting: Setting, teachers: Sequence[TeacherTrajectory]) -> Synthetic:
    """Return the synthetic data an outer loop starts from, as ``synthetic.init`` asks."""
    spec = setting.spec
    synthetic = spec.synthetic
    generator = derive_generator(spec.seed, "start")
    if synthetic.init == "random":
        start = start_from_noise(
            synthetic.num_sequences,
            synthetic.sequence_length,
            setting.vocab_size,
            latent_dim=synthetic.latent_dim,
            temperature=synthetic.temperature,
            generator=generator,
            dtype=setting.dtype,
        )
        return start.with_tensors({name: tensor.to(setting.device) for name, tensor in start.tensors().items()})
    if not teachers:
        raise ConfigError("synthetic.init 'real' needs a teacher, and none was given; train one", pointer="/synthetic/init")
    sequences = setting.real.pick_whole(synthetic.num_sequences, synthetic.sequence_length, generator)
    return start_from_real(
        setting.student.event_table(teachers[0].best_params),
        sequences.to(setting.device),
        latent_dim=synthetic.latent_dim,
        temperature=synthetic.temperature,
        generator=generator,
    )
