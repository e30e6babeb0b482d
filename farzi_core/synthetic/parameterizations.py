"""The parameterisations by the name that the spec and the published header give them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from farzi_core.errors import ArtifactError
from farzi_core.soft_tokens import EVENT_TENSORS
from farzi_core.synthetic.base import LOG_TEMPERATURE, Synthetic
from farzi_core.synthetic.factorized import FactorizedSynthetic
from farzi_core.synthetic.free import FreeSynthetic
from farzi_core.synthetic.tucker import TuckerSynthetic

PARAMETERIZATIONS: dict[str, type[Synthetic]] = {
    kind.parameterization: kind for kind in (FactorizedSynthetic, TuckerSynthetic, FreeSynthetic)
}


def restore_synthetic(parameterization: str, tensors: Mapping[str, Tensor], temperature: float) -> Synthetic:
    """Return synthetic data from its tensors.

    Args:
        parameterization: a name of ``PARAMETERIZATIONS``.
        tensors: as :meth:`Synthetic.tensors` and :meth:`Synthetic.event_tensors` named them; what there may be or not is
            ``log_temperature`` and the tensors of event ids, of any integer dtype.
        temperature: of the softmax where it was not trained.

    Raises:
        ArtifactError: the parameterisation is unknown, or a tensor is missing.
    """
    if parameterization not in PARAMETERIZATIONS:
        raise ArtifactError(
            f"parameterization {parameterization!r} is not known; this version reads {', '.join(PARAMETERIZATIONS)}; "
            "install a newer farzi"
        )
    kind = PARAMETERIZATIONS[parameterization]
    missing = sorted(set(kind.tensor_names) - set(tensors))
    if missing:
        raise ArtifactError(f"{parameterization!r} synthetic data lack {', '.join(missing)}; download the file again")
    own = {name: tensors[name] for name in kind.tensor_names}
    events: dict[str, Any] = {name: tensors[name].long() for name in EVENT_TENSORS if name in tensors}
    return kind(**own, temperature=temperature, log_temperature=tensors.get(LOG_TEMPERATURE), **events)
