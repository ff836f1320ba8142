"""An evaluation on the terminal."""

from rich.console import Console
from rich.table import Table

from jaxtherapy.analysis.results import (
    ALL_CELLS,
    DifferenceRow,
    Estimate,
    Evaluation,
    OutcomeRow,
    Shape,
)

MOST_CELLS = 40
_RATES = ("success", "dropout")


def print_evaluation(evaluation: Evaluation, console: Console) -> None:
    """All tables that have something to say."""
    console.print(overall_table(evaluation))
    if 1 < len(evaluation.cells) <= MOST_CELLS:
        console.print(cells_table(evaluation))
    if any(len(group.therapists) > 1 for group in evaluation.groups):
        console.print(seeds_table(evaluation))
    if evaluation.courses:
        console.print(shape_table(evaluation))


def _text(metric: str, estimate: Estimate | None, spread: bool = True) -> str:
    if estimate is None or estimate.estimate is None or estimate.estimate != estimate.estimate:
        return "–"
    if metric in _RATES:
        value, unit, digits = 100.0, "%", 1
    else:
        value, unit, digits = 1.0, "", 1 if "session" in metric or metric == "reward" else 3
    text = f"{estimate.estimate * value:.{digits}f}{unit}"
    if spread and estimate.low is not None and estimate.high is not None:
        text += f" [{estimate.low * value:.{digits}f}, {estimate.high * value:.{digits}f}]"
    return text.replace("-", "−")


def _difference(row: DifferenceRow | None) -> str:
    if row is None:
        return ""
    text = _text(row.metric, row.difference)
    text = text if text.startswith(("−", "–")) else f"+{text}"
    return f"{text}{'*' if row.significant else ''}"


def overall_table(evaluation: Evaluation) -> Table:
    """Therapists by metrics, averaged over cells."""
    settings = evaluation.settings
    reference, level = settings["reference"], settings["confidence"]
    table = Table(
        title=f"{settings['episodes']:,} clients in each of {len(evaluation.cells)} cell(s), the "
        f"same for every therapist; {level:.0%} intervals",
        caption=f"Δ: minus {reference}, paired; *: p < {1 - level:.2g} after Holm's correction",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("therapist")
    shown = ("success", "dropout", "sessions_to_success", "reward", "final_rs")
    labels = {metric.id: metric.label for metric in evaluation.metrics}
    for metric in shown:
        table.add_column(labels[metric], justify="right")
    table.add_column("Δ success", justify="right")
    table.add_column("Δ reward", justify="right")
    rows = {row.therapist: row for row in evaluation.outcomes if row.cell == ALL_CELLS}
    gaps = {(d.therapist, d.metric): d for d in evaluation.differences if d.cell == ALL_CELLS}
    for therapist in evaluation.therapists:
        row = rows[therapist.id]
        table.add_row(
            therapist.label,
            *(_text(metric, row.metrics[metric], metric != "dropout") for metric in shown),
            *(_difference(gaps.get((therapist.id, metric))) for metric in ("success", "reward")),
        )
    return table


def cells_table(evaluation: Evaluation) -> Table:
    """Success by cell and therapist."""
    table = Table(
        title="success by cell", caption="*: differs from the reference", title_justify="left"
    )
    table.add_column("cell")
    for therapist in evaluation.therapists:
        table.add_column(therapist.label, justify="right")
    rows: dict[tuple[str, str], OutcomeRow] = {
        (row.therapist, row.cell): row for row in evaluation.outcomes
    }
    stars = {
        (d.therapist, d.cell)
        for d in evaluation.differences
        if d.metric == "success" and d.significant
    }
    for cell in evaluation.cells:
        table.add_row(
            cell.label,
            *(
                _text("success", rows[each.id, cell.id].metrics["success"], spread=False)
                + ("*" if (each.id, cell.id) in stars else "")
                for each in evaluation.therapists
            ),
        )
    return table


def seeds_table(evaluation: Evaluation) -> Table:
    """Interquartile means and probabilities of improvement."""
    reference = evaluation.settings["reference"]
    table = Table(title="over seeds (resampled)", title_justify="left")
    for column in ("group", "seeds", "metric", "interquartile mean", f"P(above {reference})"):
        table.add_column(column)
    better = {(r.group, r.metric): r for r in evaluation.improvement if r.over == reference}
    for row in evaluation.seeds:
        if row.n_seeds > 1:
            chance = better.get((row.group, row.metric))
            table.add_row(
                row.group,
                str(row.n_seeds),
                row.metric,
                _text(row.metric, row.iqm),
                _text("", chance.probability if chance else None),
            )
    return table


def shape_table(evaluation: Evaluation) -> Table:
    """Complementarity in the thirds of therapy, and its test."""
    n = evaluation.settings["course_episodes"]
    table = Table(
        title=f"complementarity in the thirds of therapy ({n:,} therapies each)",
        title_justify="left",
    )
    columns = ("therapist", "acts", "first", "middle", "last", "curvature", "p", "high–low–high")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number < 2 else "right")
    for course in evaluation.courses:
        for shape in course.shapes:
            if shape.outcome == "all" and shape.measure == "complementarity":
                table.add_row(course.therapist, shape.acts, *_shape_cells(shape))
    return table


def _shape_cells(shape: Shape) -> list[str]:
    if shape.p_high_low_high is None:
        return ["–"] * 6
    verdict = f"{'yes' if shape.high_low_high else 'no'} (p = {shape.p_high_low_high:.2g})"
    return [
        *(_text("success", third, spread=False) for third in shape.thirds),
        _text("curvature", shape.curvature),
        f"{shape.p_curvature:.2g}",
        verdict,
    ]
