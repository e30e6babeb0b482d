from __future__ import annotations

import pytest
import torch

from farzi_core.distillation.descent import Distilled
from farzi_core.distillation.setting import Setting, prepare_setting
from farzi_core.distillation.start import make_start
from farzi_core.distillation.teachers import TeacherTrajectory, real_plan
from farzi_core.evaluation.sides import Sides, SideSize
from farzi_core.evaluation.training import RealData, SoftData
from farzi_core.seeding import derive_generator
from farzi_core.students import soft_next_event_loss
from tests.farzi_core.markov import interactions, tiny_spec

BASELINES = ["random", "random_equal_bytes", "head", "head_equal_bytes", "first_order"]
Prepared = tuple[Setting, Distilled, Distilled, Sides]


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    setting = prepare_setting(interactions(), tiny_spec(evaluation={"baselines": BASELINES}))
    params = setting.student.init_params(torch.Generator().manual_seed(0), torch.float32)
    start = make_start(setting, [TeacherTrajectory(params, ())])
    distilled, learned = (
        Distilled(start.with_tensors({name: factor * tensor for name, tensor in start.tensors().items()}), lr)
        for factor, lr in ((1.0, 0.02), (0.5, 0.03))
    )
    return setting, distilled, learned, Sides(setting, distilled, {"first_order": learned})


def test_a_learned_baseline_trains_on_its_own_soft_tokens_at_its_own_rate(prepared: Prepared) -> None:
    setting, distilled, learned, sides = prepared
    data = sides.data("first_order")
    assert isinstance(data, SoftData)
    assert torch.equal(data.probabilities, learned.synthetic.probabilities())
    assert not torch.equal(data.probabilities, distilled.synthetic.probabilities())
    params = setting.student.init_params(torch.Generator().manual_seed(1), torch.float32)
    expected = soft_next_event_loss(setting.student, params, learned.synthetic.probabilities())
    assert torch.equal(data.loss(setting.student, params, derive_generator(0)), expected)
    assert sides.base_lr("first_order") == 0.03
    assert sides.base_lr("distilled") == sides.base_lr("head") == 0.02
    assert sides.plan("first_order", 2.0).adam.lr == pytest.approx(0.06)


@pytest.mark.parametrize("side", ["random_equal_bytes", "head_equal_bytes"])
def test_as_many_bytes_of_real_sequences_train_as_full_data_do(prepared: Prepared, side: str) -> None:
    setting, distilled, _, sides = prepared
    data = sides.data(side)
    assert isinstance(data, RealData)
    size = sides.size(side)
    assert 0 < distilled.synthetic.size_bytes - size.bytes < 4 * 20
    assert sides.plan(side, 0.5) == real_plan(setting, setting.spec.teacher.lr * 0.5)


def test_head_has_fewer_sequences_in_as_many_bytes(prepared: Prepared) -> None:
    sides = prepared[3]
    assert sides.size("head_equal_bytes").sequences < sides.size("random_equal_bytes").sequences


def test_sizes_count_what_is_there(prepared: Prepared) -> None:
    setting, distilled, _, sides = prepared
    assert sides.size("distilled") == sides.size("first_order") == SideSize(3, 24, 4 * (3 * 8 * 8 + 8 * 12))
    assert sides.size("head") == SideSize(3, 24, 96)
    assert sides.size("hard") == SideSize(12, 96, 384)
    full = setting.split.train
    assert sides.size("full_data") == SideSize(full.num_sequences, full.num_events, 4 * full.num_events)
    assert distilled.synthetic.size_bytes == sides.size("distilled").bytes
