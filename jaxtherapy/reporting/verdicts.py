"""What an evaluation found, in sentences."""

from collections.abc import Sequence

from jaxtherapy.evaluation.results import DifferenceRow, Estimate, Evaluation, Shape
from jaxtherapy.reporting.formats import interval, p_equals
from jaxtherapy.reporting.selection import followed

DOWNWARDS = "downwards (a rise that levels off, or a fall that steepens)"


def summary(evaluation: Evaluation) -> list[str]:
    """A sentence for each therapist that was trained or given, then those about the shape."""
    trained = [each.id for each in evaluation.therapists if each.kind != "baseline"]
    told = trained or list(evaluation.overall)
    overall, gaps = evaluation.overall, evaluation.overall_differences("success")
    lines = [_success(evaluation, n, overall[n]["success"], gaps.get(n)) for n in told if overall]
    return lines + about_shape(evaluation, [n for n in followed(evaluation) if n in told])


def _success(
    evaluation: Evaluation, name: str, success: Estimate, gap: DifferenceRow | None
) -> str:
    metric, labels = evaluation.metrics_by_id["success"], evaluation.labels
    line = f"{labels[name]} succeeds with {interval(success, metric)} of clients"
    if gap is None:
        return f"{line}."
    reference = evaluation.settings["reference"]
    return (
        f"{line}; minus {labels.get(reference, reference)}: "
        f"{interval(gap.difference, metric, True)}, {'a' if gap.significant else 'no'} "
        f"significant difference ({p_equals(gap.p_holm)} after Holm’s correction)."
    )


def about_shape(evaluation: Evaluation, shown: Sequence[str]) -> list[str]:
    """What the test of the shape says of these therapists."""
    return [
        verdict(shape, evaluation.labels[name], 1 - evaluation.settings["confidence"])
        for name in shown
        for shape in evaluation.courses_by_therapist[name].shapes
        if shape.outcome == "all" and shape.measure == "complementarity"
    ]


def verdict(shape: Shape, name: str, alpha: float) -> str:
    """What the test of Tracey's (1993) high–low–high says at level ``alpha``."""
    if shape.p_high_low_high is None:
        return f"{name}: too few long therapies for the test of the high–low–high course."
    course = " – ".join(f"{100 * (third.estimate or 0):.0f} %" for third in shape.thirds)
    acts = "enacted" if shape.acts == "enacted" else "as heard by the client"
    return (
        f"{name}, {acts}: complementarity {course} in the first, middle and last third of "
        f"{shape.episodes:,} therapies; {_found(shape, shape.p_high_low_high, alpha)}."
    )


def _found(shape: Shape, p_shape: float, alpha: float) -> str:
    p, control = p_equals(p_shape), shape.beyond_twin
    beyond = "no pairs" if control is None or control.p is None else p_equals(control.p)
    if shape.high_low_high:
        more = f", more so than that of a twin who never changes ({beyond})" if control else ""
        return f"the course is high–low–high as Tracey describes it ({p}){more}"
    if p_shape < alpha:
        return (
            f"both ends lie above the middle ({p}), but not shown to do so more than for a twin "
            f"who never changes ({beyond}), so no high–low–high course is shown"
        )
    if shape.p_curvature is None or shape.p_curvature >= alpha:
        return f"no high–low–high course is shown ({p})"
    if (shape.curvature.estimate or 0) < 0:
        ends = shape.first_minus_middle.high, shape.last_minus_middle.high
        inverted = all(high is not None and high < 0 for high in ends)
        bends = "the other way, an inverted U" if inverted else DOWNWARDS
        return f"not high–low–high ({p}); the course bends {bends}"
    return f"curved upwards, but it is not shown that both ends lie above the middle ({p})"
