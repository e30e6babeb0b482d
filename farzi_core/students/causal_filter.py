"""Causal convolution of every channel with a kernel of its own, as long as the sequence.

Written as one product with a lower triangular Toeplitz matrix per channel where that is faster than Fourier transforms, which
take over for long sequences. Both are twice differentiable in both orders; convolution layers are too, but take several times
as long.

Shape letters: B batch, L length, H hidden.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  torch's own idiom

# One CPU core, H = 64: second-order products are faster with transforms from about 150 on; the matrices also take memory.
LONGEST_TOEPLITZ = 128


def filter_causally(inputs: Tensor, kernel: Tensor) -> Tensor:
    """Return y_t = sum of kernel_j * inputs_{t-j} over lags j from 0 to t.

    Args:
        inputs: (B, L, H).
        kernel: (at least L, H), by lag; further lags are not used.

    Returns:
        (B, L, H).

    Cost: B H L^2 up to a length of 128, B H L log L above it.
    """
    length = inputs.shape[1]
    by_product = length <= LONGEST_TOEPLITZ
    return filter_by_product(inputs, kernel) if by_product else filter_by_transform(inputs, kernel)


def filter_by_product(inputs: Tensor, kernel: Tensor) -> Tensor:
    """Compute :func:`filter_causally` with Toeplitz matrices."""
    length, width = inputs.shape[1:]
    lags = F.pad(kernel[:length].T, (0, length))  # (H, 2 L): lags 0 to L - 1, then zeros
    # Written one after the other and read in rows that are one shorter, copies move right by one from row to row.
    copies = lags.unsqueeze(1).expand(width, length, 2 * length).reshape(width, -1)
    skewed = copies[:, : length * (2 * length - 1)].view(width, length, -1)
    matrices = skewed[:, :, :length]  # (H, L, L): row s, column t is kernel[t - s], or 0 where t < s
    return torch.bmm(inputs.permute(2, 0, 1), matrices).permute(1, 2, 0)


def filter_by_transform(inputs: Tensor, kernel: Tensor) -> Tensor:
    """Compute :func:`filter_causally` with Fourier transforms of twice the length, so that nothing wraps around."""
    length = inputs.shape[1]
    spectrum = torch.fft.rfft(inputs.transpose(1, 2).contiguous(), 2 * length)  # (B, H, L + 1)
    spectrum = spectrum * torch.fft.rfft(kernel[:length].T.contiguous(), 2 * length)
    filtered: Tensor = torch.fft.irfft(spectrum, 2 * length)[..., :length]
    return filtered.transpose(1, 2)
