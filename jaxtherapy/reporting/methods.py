"""Effect sizes, and paragraphs on methods and results that can be pasted into a paper."""

import math

from scipy import stats

from jaxtherapy.evaluation.results import DifferenceRow, Estimate, Evaluation
from jaxtherapy.reporting.formats import count, interval, level, p_equals, p_value
from jaxtherapy.reporting.tables import Table

Effects = tuple[Estimate, Estimate]
"""Odds ratio and Cohen's h."""


def effects_of(ours: Estimate, theirs: Estimate, gap: Estimate, confidence: float) -> Effects:
    """Odds ratio and Cohen's (1988) h of two rates of the same clients, by the delta method.

    The standard error of the paired difference tells the rates' covariance, which enters both
    intervals. Where a rate is 0 or 1 there is no odds ratio, and h has no interval.
    """
    p, q = ours.estimate, theirs.estimate
    if p is None or q is None:
        return Estimate(None, None, None), Estimate(None, None, None)
    h = 2 * math.asin(math.sqrt(p)) - 2 * math.asin(math.sqrt(q))
    if not (0 < p < 1 and 0 < q < 1):
        return Estimate(None, None, None), Estimate(h, None, None)
    log_odds = math.log(p / (1 - p)) - math.log(q / (1 - q))
    slopes = 1 / (p * (1 - p)), 1 / (q * (1 - q))
    errors = ours.se, theirs.se, gap.se
    ratio = _with_ends(log_odds, slopes, errors, confidence)
    ends = (ratio.estimate, ratio.low, ratio.high)
    odds = Estimate(*(None if end is None else math.exp(end) for end in ends))
    arcs = math.sqrt(slopes[0]), math.sqrt(slopes[1])
    return odds, _with_ends(h, arcs, errors, confidence)


def _with_ends(
    value: float,
    slopes: tuple[float, float],
    errors: tuple[float | None, float | None, float | None],
    confidence: float,
) -> Estimate:
    """A difference of two functions of paired rates, whose slopes are given."""
    ours, theirs, gap = errors
    if ours is None or theirs is None or gap is None:
        return Estimate(value, None, None)
    covariance = (ours**2 + theirs**2 - gap**2) / 2
    variance = (slopes[0] * ours) ** 2 + (slopes[1] * theirs) ** 2
    variance -= 2 * slopes[0] * slopes[1] * covariance
    error = math.sqrt(max(variance, 0.0))
    half = float(stats.norm.isf((1 - confidence) / 2)) * error
    return Estimate(value, value - half, value + half, error)


def _compared(evaluation: Evaluation) -> list[tuple[DifferenceRow, Effects]]:
    """The difference in success of every therapist to the reference, over all cells."""
    success = {name: metrics["success"] for name, metrics in evaluation.overall.items()}
    theirs = success.get(evaluation.settings["reference"])
    if theirs is None:
        return []
    confidence = evaluation.settings["confidence"]
    gaps = evaluation.overall_differences("success").values()
    return [
        (row, effects_of(success[row.therapist], theirs, row.difference, confidence))
        for row in gaps
    ]


def effect_sizes(evaluation: Evaluation) -> Table:
    """Effects on success, against the reference."""
    success = evaluation.metrics_by_id["success"]
    reference = evaluation.labels.get(evaluation.settings["reference"], "")
    return Table(
        f"Effects on success against {reference}, with "
        f"{level(evaluation.settings['confidence'])} intervals",
        ["therapist", "paired difference", "odds ratio", "Cohen’s h", "p (Holm)"],
        [
            [
                evaluation.labels[row.therapist],
                interval(row.difference, success, True),
                interval(odds),
                interval(h),
                p_value(row.p_holm),
            ]
            for row, (odds, h) in _compared(evaluation)
        ],
    )


def paragraphs(evaluation: Evaluation) -> list[str]:
    """Methods and results; none where nobody is compared."""
    if not evaluation.differences:
        return []
    return [_methods(evaluation), _statistics(evaluation), _results(evaluation)]


def _methods(evaluation: Evaluation) -> str:
    settings, run, n_cells = evaluation.settings, evaluation.run, len(evaluation.cells)
    names = {"jaxtherapy": "jaxtherapy", "jax": "JAX"}
    versions = [f"{names.get(n, n)} {version}" for n, version in run.get("versions", {}).items()]
    commit = [f"commit {run['commit']}"] if run.get("commit") else []
    labels = evaluation.labels
    reference = labels.get(settings["reference"], settings["reference"])
    others = [label for name, label in labels.items() if name != settings["reference"]]
    total = len(labels) * max(n_cells, 1) * settings["episodes"]
    seed = f"; random seed {settings['seed']}" if "seed" in settings else ""
    return (
        f"We simulated therapies with {', '.join([*versions, *commit]) or 'jaxtherapy'}. "
        f"{_listed(others)} {'was' if len(others) == 1 else 'were'} compared with {reference}. "
        f"Every therapist treated the same {count(settings['episodes'])} clients"
        f"{'' if n_cells <= 1 else f' of each of {n_cells} kinds'} "
        f"({count(total)} therapies in all{seed}), with at most {settings.get('max_sessions')} "
        "sessions each; a therapy succeeds when the client’s relationship satisfaction reaches its "
        "threshold. Clients had the same random numbers with every therapist, so comparisons "
        "are paired by client."
    )


def _listed(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _statistics(evaluation: Evaluation) -> str:
    settings, several = evaluation.settings, len(evaluation.cells) > 1
    resamples = settings.get("bootstrap_samples")
    n = f" ({count(resamples)} resamples)" if resamples else ""
    rates = "percentile bootstrap intervals over clients" if several else "Wilson score intervals"
    test = (
        "Student’s t-tests of clients’ differences, averaged over kinds of clients"
        if several
        else "exact McNemar tests"
    )
    compared = len(_compared(evaluation))
    holm = f", corrected by Holm’s method over {compared} therapists" if compared > 1 else ""
    return (
        f"Intervals have {level(settings['confidence'])} nominal coverage. Rates of success have "
        f"{rates}; paired differences have percentile bootstrap intervals over clients{n}. Odds "
        "ratios and Cohen’s h have intervals by the delta method, with the covariance of paired "
        f"clients. Differences in success were tested by {test}, two-sided{holm}, at "
        f"α = {1 - settings['confidence']:.2g}."
    )


def _results(evaluation: Evaluation) -> str:
    success, overall = evaluation.metrics_by_id["success"], evaluation.overall
    labels, reference = evaluation.labels, evaluation.settings["reference"]
    theirs = interval(overall[reference]["success"], success)
    told = [f"{labels[reference]} succeeded with {theirs} of clients."]
    for row, (odds, h) in _compared(evaluation):
        ours = interval(overall[row.therapist]["success"], success)
        corrected = "" if row.p_holm is None else f", {p_equals(row.p_holm)}"
        told.append(
            f"{labels[row.therapist]} succeeded with {ours}: paired difference "
            f"{interval(row.difference, success, True)}, odds ratio {interval(odds)}, "
            f"h = {interval(h)}{corrected}."
        )
    return " ".join(told)
