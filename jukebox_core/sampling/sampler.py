"""From logits to ids: temperature, filters, and the draw by one given number per row.

Rows are songs of different jobs, so every setting is a tensor with one number per row, and nothing
here asks the device for a value.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from jukebox_core.song import SamplingParams


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSampling:
    """`SamplingParams` of every row of a batch.

    temperature  float64 [B]
    top_k        int64 [B]    0 keeps every id
    top_p        float64 [B]  0.0 (or 1.0) keeps every id

    The flags spare a sort when no row filters; they are plain booleans, known without the device.
    """

    temperature: Tensor
    top_k: Tensor
    top_p: Tensor
    any_top_k: bool
    any_top_p: bool

    @classmethod
    def from_params(
        cls, params: Sequence[SamplingParams], device: torch.device | str | None = None
    ) -> "RowSampling":
        """One row for each of `params`."""
        return cls(
            temperature=torch.tensor(
                [row.temperature for row in params], dtype=torch.float64, device=device
            ),
            top_k=torch.tensor([row.top_k for row in params], dtype=torch.int64, device=device),
            top_p=torch.tensor([row.top_p for row in params], dtype=torch.float64, device=device),
            any_top_k=any(row.top_k > 0 for row in params),
            any_top_p=any(0.0 < row.top_p < 1.0 for row in params),
        )


def draw(logits: Tensor, uniforms: Tensor, rows: RowSampling) -> Tensor:
    """One id per row: the first whose cumulative probability exceeds the row's number.

    Probabilities are those after temperature and filters, summed in id order. An id of probability
    0 is never drawn, also where rounding leaves the sum below the number.

    Args:
        logits: float [B, V], finite or -inf, with one finite value in each row at least.
        uniforms: float64 [B] in [0, 1).
        rows: settings of the B rows.

    Returns:
        int64 [B]
    """
    probabilities = filter_logits(_tempered(logits, rows), rows).softmax(dim=-1)
    cumulative = probabilities.cumsum(dim=-1)
    if cumulative.device.type == "cpu":
        return _search(cumulative, uniforms.unsqueeze(-1).contiguous())
    return compare(probabilities, cumulative, uniforms.unsqueeze(-1))


def compare(probabilities: Tensor, cumulative: Tensor, uniforms: Tensor) -> Tensor:
    """The first id whose sum exceeds the number, or else the last one that adds to the sum.

    For sums [B, V] in any order of summation and numbers [B, 1]; what a GPU does.
    """
    # Ids that must not be drawn get a sum that exceeds nothing: on a GPU a parallel sum may
    # wobble by a rounding error between two equal sums.
    cumulative = cumulative.masked_fill(probabilities == 0.0, -1.0)
    total = cumulative.amax(dim=-1, keepdim=True)
    reached = (cumulative > uniforms) | (cumulative == total)
    return reached.to(torch.uint8).argmax(dim=-1)


def _search(cumulative: Tensor, uniforms: Tensor) -> Tensor:
    """The first id whose sum exceeds the number, or else the last one that adds to the sum.

    For sums [B, V] that never fall, which the CPU makes one after the other; an id of probability 0
    repeats the sum before it, so it is never the first. Less than half the time of comparing all.
    """
    exceeds = torch.searchsorted(cumulative, uniforms, right=True)
    last = torch.searchsorted(cumulative, cumulative[:, -1:].contiguous())
    return torch.minimum(exceeds, last).squeeze(-1)


def filter_logits(logits: Tensor, rows: RowSampling) -> Tensor:
    """Set to -inf what top-k and then top-p leave out; both may be in force for a row.

    Top-k keeps every id that ties with the k-th. Top-p walks from the likeliest id down (the lower
    id first where two tie) and leaves out all that come after the sum has exceeded p, as the
    original's `transformer/ops.py` does; the likeliest always stays.

    Args:
        logits: float [B, V], divided by the temperature already.
        rows: settings of the B rows.

    Returns:
        float [B, V]
    """
    if not (rows.any_top_k or rows.any_top_p):
        return logits
    descending, order = torch.sort(logits, dim=-1, descending=True, stable=True)
    removed = torch.zeros_like(descending, dtype=torch.bool)
    if rows.any_top_k:
        removed = _below_top_k(descending, rows.top_k)
    if rows.any_top_p:
        removed = removed | _beyond_top_p(descending.masked_fill(removed, -torch.inf), rows.top_p)
    return logits.masked_fill(torch.zeros_like(removed).scatter(-1, order, removed), -torch.inf)


def _tempered(logits: Tensor, rows: RowSampling) -> Tensor:
    """Logits over temperature, float64 [B, V], with 0 as the largest of each row.

    Subtracted first: a very low temperature then gives -inf, not the difference of two infinities.
    """
    logits = logits.double()
    return (logits - logits.amax(dim=-1, keepdim=True)) / rows.temperature.unsqueeze(-1)


def _below_top_k(descending: Tensor, top_k: Tensor) -> Tensor:
    num_ids = descending.shape[-1]
    kept = top_k.clamp(max=num_ids).masked_fill(top_k <= 0, num_ids)
    return descending < descending.gather(-1, kept.unsqueeze(-1) - 1)


def _beyond_top_p(descending: Tensor, top_p: Tensor) -> Tensor:
    filtering = (top_p > 0.0) & (top_p < 1.0)
    limit = top_p.masked_fill(~filtering, 2.0).unsqueeze(-1)
    cumulative = descending.double().softmax(dim=-1).cumsum(dim=-1)
    before = torch.nn.functional.pad(cumulative[:, :-1], (1, 0))
    return before > limit
