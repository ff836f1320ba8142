"""What is told of how far it is, where the parts are those of runs."""

from types import SimpleNamespace

import pytest

from jaxtherapy.cli.progress import ProgressLines
from jaxtherapy.cli.sweep import _Shown


def test_parts_of_runs_add_up_to_whole_ones():
    lines = []
    progress = ProgressLines(4, 1, lines.append, "runs")
    for _ in range(10):
        progress.advance(0.1)  # which add up to a little less than 1
    progress.advance(0.3)
    assert lines[0].startswith(" 10%  0 of 4 runs")
    assert " 1 of 4 runs" in lines[-1]


def test_a_sweep_moves_while_runs_are_under_way_and_never_back():
    told = []
    bar = SimpleNamespace(advance=lambda runs, note: told.append((runs, note)))
    sweep = SimpleNamespace(axes=[SimpleNamespace(name="threshold")], train=True)
    kind = SimpleNamespace(therapists=["complementary", "trained"])
    shown = _Shown(sweep, kind, bar)
    rows = [
        {"therapist": name, "difference": gap, "threshold": 0.7}
        for name, gap in (("complementary", None), ("trained", 0.1))
    ]
    shown.under_way(0.5)
    shown.measured(rows)
    shown.under_way(0.2)
    shown.under_way(0.1)  # one of a group stands still
    assert [runs for runs, _ in told] == pytest.approx([0.5, 0.5, 0.2, 0.0])
    assert "runs/h" in told[0][1] and "best" not in told[0][1]
    assert told[1][1].endswith("runs/h  best so far: trained +10.0 pp at threshold 0.7")
