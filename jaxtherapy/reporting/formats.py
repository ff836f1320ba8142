"""How names, numbers and tests are written, on the page and on the terminal."""

import dataclasses
import math
import re
from typing import Any, TypeVar

from jaxtherapy.evaluation.results import Estimate, MetricInfo

UNKNOWN = "–"
_NOT_SHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")

T = TypeVar("T")


def printable(value: T) -> T:
    """Any value, its texts with control characters, and what is no UTF-8, written as escapes."""
    made: Any = value
    if isinstance(value, float | int | None):
        pass  # nearly all of an evaluation: soonest done
    elif isinstance(value, str):
        made = _NOT_SHOWN.sub(lambda match: match[0].encode("unicode_escape").decode(), value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
        made = dataclasses.replace(value, **printable(fields))
    elif isinstance(value, dict):
        made = {printable(key): printable(entry) for key, entry in value.items()}
    elif isinstance(value, list | tuple):
        made = type(value)(map(printable, value))
    return made


def short(label: str, most: int = 28) -> str:
    """A label that leaves room for the chart: names differ at their ends, so the middle goes."""
    if len(label) <= most:
        return label
    tail = (most - 1) // 2
    return f"{label[: most - 1 - tail]}…{label[len(label) - tail :]}"


def text(value: Any) -> str:
    """Anything that has no format of its own."""
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Estimate):
        return interval(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def count(value: int) -> str:
    """``12,345``."""
    return f"{value:,}"


def level(confidence: float) -> str:
    """``95%``, ``99.5%``: of intervals, never rounded to another one."""
    return f"{100 * confidence:.10g}%"


def number(value: float | None, metric: MetricInfo | None = None) -> str:
    """A metric's value without its unit; without a metric, three decimals."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    share = metric is not None and metric.is_share
    few = share or (metric is not None and metric.unit in ("sessions", "points"))
    return f"{value * (100 if share else 1):.{1 if few else 3}f}".replace("-", "−")


def interval(
    estimate: Estimate | None,
    metric: MetricInfo | None = None,
    difference: bool = False,
    ends: bool = True,
) -> str:
    """``52.0 % [50.1, 54.3]``; a difference has its sign, and percentage points for shares."""
    shown = UNKNOWN if estimate is None else number(estimate.estimate, metric)
    if estimate is None or shown == UNKNOWN:
        return UNKNOWN
    if difference and not shown.startswith("−"):
        shown = f"+{shown}"
    if metric is not None and metric.is_share:
        shown += "\N{NO-BREAK SPACE}pp" if difference else "\N{NO-BREAK SPACE}%"
    low, high = (number(end, metric) for end in (estimate.low, estimate.high))
    return shown if not ends or UNKNOWN in (low, high) else f"{shown} [{low}, {high}]"


def p_value(p: float | None) -> str:
    """``0.012``, ``< 0.0001``, or a dash where there is no test."""
    if p is None:
        return UNKNOWN
    return "< 0.0001" if p < 0.0001 else f"{p:.2g}"


def p_equals(p: float | None) -> str:
    """``p = 0.012``, ``p < 0.0001``."""
    shown = p_value(p)
    return f"p {shown}" if shown.startswith("<") else f"p = {shown}"
