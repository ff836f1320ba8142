"""What there is to gain: trained therapists beside those who know more, with the same clients."""

from jaxtherapy.client.baselines import FIXED_MAP
from jaxtherapy.evaluation.results import ALL_CELLS, Estimate, Evaluation
from jaxtherapy.reporting.formats import interval
from jaxtherapy.reporting.tables import Table

_KNOWS = {
    "complementary": "the act",
    "myopic": "the client",
    "best_cell": "the client",
    "planner": "the client, and simulates",
}


def headroom(evaluation: Evaluation) -> Table | None:
    """Success of trained and given therapists and of their yardsticks; None without either."""
    planner = evaluation.planner
    rows = {each.id: each for each in evaluation.therapists}
    scale = [name for name in rows if _knows(evaluation, name)]
    tried = [name for name in rows if name not in scale and rows[name].kind != "baseline"]
    if not scale or not (tried or planner or any(rows[name].answers for name in scale)):
        return None
    success = evaluation.metrics_by_id["success"]

    def show(estimate: Estimate | None) -> str:
        return interval(estimate, success)

    headings = ["therapist", "knows", "success"]
    overall = {name: show(metrics["success"]) for name, metrics in evaluation.overall.items()}
    shown = [*tried, *scale]
    table = [
        [evaluation.labels[name], _knows(evaluation, name) or "", overall[name]] for name in shown
    ]
    note = ""
    if planner:
        few = {r.therapist: r.metrics["success"] for r in planner.outcomes if r.cell == ALL_CELLS}
        headings.append("with the planner's clients")
        for name, row in zip(shown, table, strict=True):
            row.append(show(few[name]))
        table.append([planner.therapist, _KNOWS["planner"], "", show(few[planner.therapist])])
        note = (
            f"The planner treated the first {planner.episodes:,} clients of each cell, "
            f"in {planner.seconds:.0f} s."
        )
    return Table("headroom: what knowledge and strategy are worth here", headings, table, note)


def _knows(evaluation: Evaluation, name: str) -> str | None:
    if name.startswith(FIXED_MAP) or any(
        each.id == name and each.answers for each in evaluation.therapists
    ):
        return _KNOWS["complementary"]
    return _KNOWS.get(name)
