"""The tables on the terminal: everything is there, and nothing is cut, at any width."""

import io
import re

import pytest
from rich.console import Console

from jaxtherapy.evaluation.results import Estimate, MetricInfo
from jaxtherapy.reporting import tables, terminal
from jaxtherapy.reporting.formats import short
from tests.evaluation.small_evaluation import estimate, small_evaluation

METRICS = (
    MetricInfo("dropout", "dropout", "share of therapies", "lower", "Wilson"),
    MetricInfo("bond", "final bond", "0 to 1", "higher", "bootstrap"),
)


@pytest.fixture
def evaluation():
    told = small_evaluation("a study with a long name")
    told.metrics += METRICS
    for row in told.outcomes:
        row.metrics |= {"dropout": estimate(0.345), "bond": estimate(0.678)}
    told.differences[-4].difference = Estimate(-0.4, -0.45, -0.35, 0.02)
    return told


def printed(evaluation, width):
    file = io.StringIO()
    terminal.print_evaluation(evaluation, Console(file=file, width=width))
    return file.getvalue()


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_nothing_is_cut_or_wider_than_the_terminal(evaluation, width):
    text = printed(evaluation, width)
    assert max(map(len, text.splitlines())) <= width
    assert text.count("[") == text.count("]") > 30
    for name in ("a study with a long name/1", "a study with a long name/2", "complementary"):
        shown = short(name, max(12, width // 3))
        assert re.search(rf"^│ {re.escape(shown)} +│", text, flags=re.MULTILINE), name
    assert "60.0% [55.0, 65.0]" in text and "34.5% [29.5, 39.5]" in text  # success, dropout
    assert "0.678 [0.628, 0.728]" in text  # bond
    assert "+20.0pp [15.0, 25.0]*" in text
    for word in ("dropout", "bond", "Δ success", "twin"):
        assert word in text


def test_a_wide_terminal_has_one_table_and_a_narrow_one_several(evaluation):
    table = tables.overall_with_differences(evaluation, terminal._SHOWN, terminal._COMPARED)
    wide, narrow = (terminal.fitted(table, width) for width in (250, 80))
    assert len(wide) == 1 and len(narrow) > 1
    for each in narrow:
        assert str(each.columns[0].header) == "therapist"
    headers = [column.header for each in narrow for column in each.columns[1:]]
    assert headers == [column.header for column in wide[0].columns[1:]]
    assert narrow[0].title and narrow[-1].caption and not narrow[-1].title


def test_what_is_untested_is_a_dash(evaluation):
    for course in evaluation.courses:
        for shape in course.shapes:
            shape.p_high_low_high = None
    text = printed(evaluation, 120)
    assert "no (p" not in text and re.search(r"enacted │ +– │", text)


def test_few_seeds_are_told(evaluation):
    assert "No interval with fewer than five seeds" in " ".join(printed(evaluation, 400).split())


def test_a_table_without_rows_and_a_blank_name_can_be_printed(evaluation):
    evaluation.seeds = []
    evaluation.therapists[0].label = " "
    for course in evaluation.courses:
        course.shapes = []
    assert "resampled" in printed(evaluation, 120)
