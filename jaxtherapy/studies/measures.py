"""What a run's row says of a therapist, from sums over clients: they add up chunk by chunk."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import stats

from jaxtherapy.evaluation.candidates import Panel
from jaxtherapy.evaluation.grid import Design, Programs, play_some
from jaxtherapy.evaluation.outcomes import Outcomes
from jaxtherapy.evaluation.statistics import wilson_interval

CONFIDENCE = 0.95

MEASURED = (
    *("clients", "success", "success_low", "success_high", "dropout", "sessions"),
    *("sessions_to_success", "reward", "final_rs"),
    *("difference", "difference_low", "difference_high"),
)
"""Columns: shares and means over clients; differences are in success, to the reference, paired."""

SUMS = (
    *("clients", "success", "dropout", "sessions", "to_success", "reward", "final_rs"),
    *("won", "lost"),
)
"""Over clients; sessions to success are those of successes, won and lost the clients with whom
the therapist alone, or the reference alone, succeeds."""


def outcomes_of(
    panel: Panel,
    design: Design,
    cell: Int[np.ndarray, " n"],
    client: Int[np.ndarray, " n"],
    outcome: str,
) -> list[Float[np.ndarray, " n"]]:
    """An outcome of the panel's first two therapists with these clients, in their order."""
    shown = panel.candidates[:2]
    with Programs(design, shown) as programs:
        played = [play_some(programs, each, cell, client).outcomes for each in shown]
    return [np.asarray(each.metric(outcome), float) for each in played]


def of_clients(
    outcomes: Outcomes, reference: Bool[np.ndarray, " n"]
) -> Float[np.ndarray, "n sums"]:
    """``SUMS`` of each client; ``reference``: with whom of them the reference succeeds."""
    success = np.asarray(outcomes.success)
    parts = (
        np.ones(success.shape),
        success,
        outcomes.dropout,
        outcomes.sessions,
        outcomes.sessions_to_success * success,
        outcomes.reward,
        outcomes.rs,
        success & ~reference,
        reference & ~success,
    )
    return np.stack([np.asarray(part, np.float64) for part in parts], -1)


def measured(sums: Float[np.ndarray, " sums"], is_reference: bool) -> dict[str, Any]:
    """One therapist's ``MEASURED``, of ``SUMS`` over its clients."""
    total = dict(zip(SUMS, map(float, sums), strict=True))
    n, success = int(total["clients"]), total["success"]
    low, high = wilson_interval(np.asarray(success), n, CONFIDENCE)
    values: dict[str, Any] = {name: each / n for name, each in total.items() if name in MEASURED}
    values |= {"clients": n, "success_low": float(low), "success_high": float(high)}
    values["sessions_to_success"] = total["to_success"] / success if success else None
    if not is_reference:
        ends = paired_interval(total["won"], total["lost"], n, CONFIDENCE)
        values["difference"] = (total["won"] - total["lost"]) / n
        values["difference_low"], values["difference_high"] = map(float, ends)
    return values


def paired_interval(
    won: float | Float[np.ndarray, "*shape"],
    lost: float | Float[np.ndarray, "*shape"],
    n: int,
    confidence: float,
) -> tuple[Any, Any]:
    """Of a difference of paired rates: Wald's with half a case more in each of the four cells
    (Agresti & Min 2005), which does not collapse where nobody differs."""
    z, n_more = stats.norm.isf((1 - confidence) / 2), n + 2
    more, less = won + 0.5, lost + 0.5
    gap = (more - less) / n_more
    half = z * np.sqrt(more + less - (more - less) ** 2 / n_more) / n_more
    estimate = (won - lost) / n
    return (
        np.clip(gap - half, -1, estimate),
        np.clip(gap + half, estimate, 1),
    )
