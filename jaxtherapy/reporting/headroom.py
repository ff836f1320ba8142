"""What there is to gain: trained therapists beside those who know more, with the same clients."""

from jaxtherapy.client.baselines import FIXED_MAP
from jaxtherapy.evaluation.results import ALL_CELLS, Evaluation, TherapistInfo
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
    planner, overall = evaluation.planner, evaluation.overall
    knows = {each.id: _knows(each) for each in evaluation.therapists}
    tried = [each.id for each in evaluation.therapists if each.kind != "baseline"]
    tried = [name for name in tried if not knows[name]]
    scale = [name for name in knows if knows[name]]
    searched = any(each.answers for each in evaluation.therapists)
    if not scale or not (tried or planner or searched):
        return None
    success = evaluation.metrics_by_id["success"]
    headings = ["therapist", "knows", "success"]
    rows = {
        name: [evaluation.labels[name], knows[name], interval(overall[name]["success"], success)]
        for name in [*tried, *scale]
    }
    note = ""
    if planner:
        few = {r.therapist: r.metrics["success"] for r in planner.outcomes if r.cell == ALL_CELLS}
        headings.append("with the planner's clients")
        rows[planner.therapist] = [planner.therapist, _KNOWS["planner"], ""]
        for name, row in rows.items():
            row.append(interval(few[name], success))
        note = (
            f"The planner treated the first {planner.episodes:,} clients of each cell, "
            f"in {planner.seconds:.0f} s."
        )
    caption = "headroom: what knowledge and strategy are worth here"
    return Table(caption, headings, list(rows.values()), note)


def _knows(therapist: TherapistInfo) -> str:
    is_map = therapist.answers or therapist.id.startswith(FIXED_MAP)
    return _KNOWS["complementary"] if is_map else _KNOWS.get(therapist.id, "")
