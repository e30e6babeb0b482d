"""Exact meta-gradients through Adam, usable on their own with any twice differentiable losses.

``compute_meta_gradient`` is the heart of it. Derivation: ``docs/design/reverse-adam.md``.
"""

from farzi_core.metagrad.adam import (
    AdamAdjoint,
    AdamConfig,
    AdamState,
    adam_step,
    adam_step_reverse,
    init_adjoint,
    init_state,
)
from farzi_core.metagrad.engine import compute_meta_gradient
from farzi_core.metagrad.guards import NotDifferentiableError
from farzi_core.metagrad.hvp import PRODUCTS, InnerLoss, Product
from farzi_core.metagrad.methods import METHODS, Method, WindowPosition
from farzi_core.metagrad.reference import OuterLoss, unrolled_meta_gradient
from farzi_core.metagrad.result import MetaGradient
from farzi_core.metagrad.smoothness import Metasmoothness, measure_metasmoothness

__all__ = [
    "METHODS",
    "PRODUCTS",
    "AdamAdjoint",
    "AdamConfig",
    "AdamState",
    "InnerLoss",
    "MetaGradient",
    "Metasmoothness",
    "Method",
    "NotDifferentiableError",
    "OuterLoss",
    "Product",
    "WindowPosition",
    "adam_step",
    "adam_step_reverse",
    "compute_meta_gradient",
    "init_adjoint",
    "init_state",
    "measure_metasmoothness",
    "unrolled_meta_gradient",
]
