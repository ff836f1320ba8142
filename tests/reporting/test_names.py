"""Names that are hostile: to spreadsheets, to terminals and to encodings."""

import csv
import io
import json
import warnings
from xml.etree import ElementTree

import pytest
from rich.console import Console

from jaxtherapy.evaluation.reading import read_evaluation
from jaxtherapy.reporting import csv_files, report, terminal
from jaxtherapy.reporting.formats import printable
from tests.evaluation.small_evaluation import small_evaluation

CONTROLS = "a\x1b[2Jb\x00c\x85d\ud800e\u202ef\tg\nh\ufffe"
ESCAPED = r"a\x1b[2Jb\x00c\x85d\ud800e\u202ef\tg\nh\ufffe"


def renamed(name):
    """An evaluation that uses a name wherever a user may choose one."""
    told = small_evaluation(name)
    for part in (told.therapists, told.groups):
        for each in part:
            if each.id == "complementary":
                each.id = each.label = name
    for row in [*told.therapists, *told.outcomes, *told.differences, *told.seeds, *told.courses,
                *told.episodes]:  # fmt: skip
        for field in ("therapist", "reference", "group"):
            if getattr(row, field, None) == "complementary":
                setattr(row, field, name)
    for group in told.groups:
        group.therapists = [name if each == "complementary" else each for each in group.therapists]
    told.settings["reference"] = name
    told.cells[0].label = told.cells[0].matrix = name
    return told


def cells_of(content):
    return [cell for row in csv.reader(io.StringIO(content.decode())) for cell in row]


def csv_contents(told):
    return [csv_files.to_csv(told), csv_files.seeds_csv(told), csv_files.shapes_csv(told)]


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("+1+cmd", "'+1+cmd"),
        ("-x", "'-x"),
        ("@SUM(1)", "'@SUM(1)"),
        ("\t=1+1", r"\t=1+1"),
        ("\r=1+1", r"\r=1+1"),
        ("＝1+1", "'＝1+1"),
        ("a;=1+1", "a;'=1+1"),  # where semicolons are what separates
        ("a=1", "a=1"),
        ("x-y+z@w", "x-y+z@w"),
    ],
)
def test_no_name_is_a_formula_to_a_spreadsheet(name, written):
    for content in csv_contents(renamed(name)):
        cells = cells_of(content)
        assert written in cells
        for cell in cells:
            assert not cell.startswith(("=", "+", "@", "\t", "\r", "＝"))
            assert not cell.startswith("-") or all(map(float, cell.split()))


def test_numbers_of_csv_files_stay_numbers():
    told = small_evaluation("plain")
    told.seeds[0].by_seed = [-0.5, -0.25]
    rows = list(csv.DictReader(io.StringIO(csv_files.to_csv(told).decode())))
    values = [row["difference"] for row in rows if row["difference"].startswith("-")]
    assert values and all(float(value) < 0 for value in values)
    assert "-0.5 -0.25" in cells_of(csv_files.seeds_csv(told))


def test_control_characters_are_escaped_wherever_they_are_shown(tmp_path):
    told = renamed(CONTROLS)
    csv_files.write(told, tmp_path)
    assert read_evaluation(tmp_path / "evaluation.json").name == CONTROLS.replace(
        "\ud800", r"\ud800"
    )
    lines = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        written = report.write_report(tmp_path, tell=lines.append)
    assert not lines and len(written) > 20
    for path in written:
        if path.suffix == ".svg":
            ElementTree.parse(path)
    page = written[0].read_text(encoding="utf-8")
    assert f"<h1>Evaluation of {ESCAPED}</h1>" in page
    data = page.split('id="episodes">')[1].split("</script>")[0]
    assert json.loads(data)["labels"][ESCAPED] == ESCAPED
    texts = [page, *(content.decode() for content in csv_contents(told))]
    file = io.StringIO()
    terminal.print_evaluation(told, Console(file=file, width=300))
    for text in [*texts, file.getvalue()]:
        assert r"a\x1b[2Jb" in text
        assert not {"\x1b", "\x00", "\x85", "\ud800", "\u202e", "\ufffe"} & set(text)


def test_what_can_be_shown_stays():
    for name in ("日本 שלום 👩\u200d🚀 \u2028", "a\N{NO-BREAK SPACE}b"):
        assert printable(name) == name
    assert printable({"a\n": [("\x07", 1.5, None)]}) == {r"a\n": [(r"\x07", 1.5, None)]}
