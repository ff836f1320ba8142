"""What reports and tables call things, and how they put numbers and tests into words."""

from typing import Any

import numpy as np

from jaxtherapy.evaluation.results import ALL_CELLS

Json = dict[str, Any]

MYOPIC_NOTE = "myopic knows the client's utilities and memory, which no therapist sees"

MOST_FOLLOWED = 8
"""Therapists whose course, trajectories and response maps are drawn."""

SEEDS_NOTE = (
    "No interval with fewer than five seeds; with few seeds intervals of interquartile means are "
    "too narrow: what is called 95 % is about 88 % with five and 93 % with eight."
)


def labels(evaluation: Json) -> dict[str, str]:
    """What readers call each therapist."""
    return {each["id"]: each["label"] for each in evaluation["therapists"]}


def short(label: str, most: int = 28) -> str:
    """A label that leaves room for the chart: names differ at their ends, so the middle goes."""
    if len(label) <= most:
        return label
    tail = (most - 1) // 2
    return f"{label[: most - 1 - tail]}…{label[len(label) - tail :]}"


def median_seeds(evaluation: Json) -> list[str]:
    """Of each group the seed with the median reward; the reference is always among them."""
    rewards = {
        row["therapist"]: row["metrics"]["reward"]["estimate"]
        for row in evaluation["outcomes"]
        if row["cell"] == ALL_CELLS
    }
    chosen = []
    for group in evaluation["groups"]:
        seeds = sorted(
            group["therapists"],
            key=lambda name: -np.inf if rewards.get(name) is None else rewards[name],
        )
        chosen.append(seeds[(len(seeds) - 1) // 2])
    reference = evaluation["settings"]["reference"]
    first = chosen[:MOST_FOLLOWED]
    if reference in chosen and reference not in first:
        first[-1] = reference
    return first


def followed(evaluation: Json) -> list[str]:
    """Therapists whose course is shown."""
    known = {course["therapist"] for course in evaluation["courses"]}
    return [name for name in median_seeds(evaluation) if name in known]


def is_share(metric: Json) -> bool:
    """Whether a metric is shown in per cent."""
    return str(metric["unit"]).startswith("share of therapies")


def number(value: float | None, metric: Json | None = None) -> str:
    """A metric's value for readers, without its unit; without a metric, three decimals."""
    if value is None or not np.isfinite(value):
        return "–"
    share = metric is not None and is_share(metric)
    few = share or (metric is not None and metric["unit"] in ("sessions", "points"))
    return f"{value * (100 if share else 1):.{1 if few else 3}f}".replace("-", "−")


def interval(estimate: Json | None, metric: Json | None = None, difference: bool = False) -> str:
    """``52.0 % [50.1, 54.3]``; a difference has its sign, and percentage points for shares."""
    if estimate is None or estimate["estimate"] is None:
        return "–"
    text = number(estimate["estimate"], metric)
    if difference and not text.startswith(("−", "–")):
        text = f"+{text}"
    if metric is not None and is_share(metric):
        text += "\N{NO-BREAK SPACE}pp" if difference else "\N{NO-BREAK SPACE}%"
    if estimate["low"] is None or estimate["high"] is None:
        return text
    return f"{text} [{number(estimate['low'], metric)}, {number(estimate['high'], metric)}]"


def p_value(p: float | None) -> str:
    """``0.012``, ``< 0.0001``, or a dash where there is no test."""
    if p is None:
        return "–"
    return "< 0.0001" if p < 0.0001 else f"{p:.2g}"


def p_equals(p: float | None) -> str:
    """``p = 0.012``, ``p < 0.0001``."""
    text = p_value(p)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


# --- the shape test -------------------------------------------------------------------------

DOWNWARDS = "downwards (a rise that levels off, or a fall that steepens)"


def verdict(evaluation: Json, shape: Json, name: str) -> str:
    """What the test of Tracey's (1993) high–low–high says, as a sentence."""
    if shape["p_high_low_high"] is None:
        return f"{name}: too few long therapies for the test of the high–low–high course."
    level = 1 - evaluation["settings"]["confidence"]
    thirds = [f"{100 * (third['estimate'] or 0):.0f} %" for third in shape["thirds"]]
    acts = "enacted" if shape["acts"] == "enacted" else "as heard by the client"
    course = f"{thirds[0]} – {thirds[1]} – {thirds[2]}"
    p = p_equals(shape["p_high_low_high"])
    curvature = shape["curvature"]["estimate"]
    bent = shape["p_curvature"] is not None and shape["p_curvature"] < level
    twin = shape["beyond_twin"]
    beyond = "no pairs" if twin is None or twin["p"] is None else p_equals(twin["p"])
    if shape["high_low_high"]:
        found = f"the course is high–low–high as Tracey describes it ({p})"
        found += f", more so than that of a twin who never changes ({beyond})" if twin else ""
    elif shape["p_high_low_high"] < level:
        found = (
            f"both ends lie above the middle ({p}), but not shown to do so more than for a twin "
            f"who never changes ({beyond}), so no high–low–high course is shown"
        )
    elif bent and curvature < 0:
        ends = shape["first_minus_middle"], shape["last_minus_middle"]
        inverted = all(end["high"] is not None and end["high"] < 0 for end in ends)
        bends = "the other way, an inverted U" if inverted else DOWNWARDS
        found = f"not high–low–high ({p}); the course bends {bends}"
    elif bent:
        found = f"curved upwards, but it is not shown that both ends lie above the middle ({p})"
    else:
        found = f"no high–low–high course is shown ({p})"
    return (
        f"{name}, {acts}: complementarity {course} in the first, middle and last third of "
        f"{shape['episodes']:,} therapies; {found}."
    )
