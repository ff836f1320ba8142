"""The report: one safe file, with everything in it, the same every time."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from jaxtherapy.cli.report import main
from jaxtherapy.errors import RunError
from jaxtherapy.evaluation.course import course_of, decode
from jaxtherapy.evaluation.outcomes import NOT_HELD, Record
from jaxtherapy.evaluation.reading import read_evaluation
from jaxtherapy.evaluation.results import Estimate
from jaxtherapy.evaluation.statistics import Intervals
from jaxtherapy.reporting import csv_files, drawing, figures, report, selection, tables
from jaxtherapy.reporting.drawing import PAGE_COLORS, panel_svg, paper_files
from jaxtherapy.reporting.figures import course as course_figures
from jaxtherapy.reporting.formats import short
from jaxtherapy.reporting.learning_curves import learning_curves
from jaxtherapy.reporting.page import to_html
from jaxtherapy.reporting.verdicts import verdict
from jaxtherapy.storage.progress_log import COLUMNS
from tests.evaluation.small_evaluation import HOSTILE, small_evaluation
from tests.reporting.drawn import drawn

PICTURES = ("learning_curves", "comparison", "differences", "cells", "seeds", "course")


def write_log(path, rewards=(1.0, 2.0, 3.0)):
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        [reward if "reward" in name else 100 * (place + 1) if name == "step" else 0.5
         for name in COLUMNS]
        for place, reward in enumerate(rewards)
    ]  # fmt: skip
    lines = [",".join(COLUMNS), *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An evaluation, its training's logs, and the report that the command made of them."""
    folder = tmp_path_factory.mktemp("report")
    evaluation = small_evaluation()
    for therapist in evaluation.therapists[:2]:
        therapist.experiment = str(folder / "models" / "study")
        log = folder / "logs" / "study" / f"study_seed{therapist.seed}_progress.csv"
        write_log(log, (1.0, therapist.seed, 3.0))
    evaluation.therapists[0].log = str(folder / "logs" / "study" / "study_seed1_progress.csv")
    csv_files.write(evaluation, folder)
    assert main([str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def told(folder):
    return read_evaluation(folder / "evaluation.json")


@pytest.fixture(scope="module")
def page(folder):
    return (folder / "report.html").read_text(encoding="utf-8")


class Page(HTMLParser):
    """Tags with their attributes, and text by the tag it is in."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text, self.inside = [], {}, []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "input", "img", "br"):
            self.inside.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.inside.pop() == tag, f"{tag} closes nothing"

    def handle_data(self, data):
        key = self.inside[-1] if self.inside else ""
        self.text[key] = self.text.get(key, "") + data


@pytest.fixture(scope="module")
def parsed(page):
    return Page(page)


def test_it_is_one_small_file_that_asks_for_nothing(page, parsed):
    assert 50_000 < len(page.encode()) < 5_000_000
    for tag, attributes in parsed.tags:
        for name in ("src", "href", "action", "data", "poster", "srcset", "xlink:href"):
            value = attributes.get(name) or "#"
            assert value.startswith(("#", "data:")), f"<{tag} {name}={value!r}>"
        assert tag not in ("img", "iframe", "object", "embed", "base")
    assert not re.search(r"@import|url\((?!#)", page)
    urls = set(re.findall(r"https?://[^\s\"'<>)]+", page))
    assert urls <= {"http://www.w3.org/2000/svg"}  # a name, never asked for
    policies = [a["content"] for t, a in parsed.tags if a.get("http-equiv")]
    assert policies and policies[0].startswith("default-src 'none'")


def test_every_tag_is_closed(parsed):
    assert not parsed.inside


def test_it_is_made_for_phones_and_for_everyone(page, parsed):
    assert ("html", {"lang": "en"}) in parsed.tags
    viewport = [a["content"] for t, a in parsed.tags if a.get("name") == "viewport"]
    assert viewport == ["width=device-width, initial-scale=1"]
    assert "prefers-color-scheme: dark" in page
    levels = [int(tag[1]) for tag, _ in parsed.tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels)), "a heading is skipped"
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    anchors = {a["href"][1:] for t, a in parsed.tags if t == "a"}
    assert anchors and anchors <= set(ids)


DATA_COLOR = re.compile(r"var\(--(blue|orange|green|purple|amber|sky)\)")


def data_marks(drawing):
    """How often a drawing uses the colours of data; axes are ink and grey."""
    return len(DATA_COLOR.findall(drawing))


def luminance(color):
    parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [x / 12.92 if x <= 0.03928 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    """WCAG 2's ratio, 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_colours_can_be_told_from_the_page_in_light_and_dark(page):
    schemes = [
        dict(re.findall(r"--(\w+): (#\w{6});", block))
        for block in re.findall(r":root \{(.*?)\}", page, flags=re.DOTALL)
    ]
    assert len(schemes) == 2
    light = {name: schemes[0][name].lower() for name in PAGE_COLORS}
    assert light == {name: color.lower() for name, color in PAGE_COLORS.items()}
    for scheme in schemes:
        for name in PAGE_COLORS:
            for ground in ("paper", "card"):
                assert contrast(scheme[name], scheme[ground]) >= 3, (name, ground)
        assert contrast(scheme["soft"], scheme["paper"]) >= 4.5
        assert contrast("#15171a", scheme["orange"]) >= 4.5  # the T of the player
        assert contrast(scheme["paper"], scheme["blue"]) >= 4.5  # and its C
    assert "text.on-therapist { fill: #15171a; }" in page


def test_figures_for_papers_say_what_they_show(folder, told):
    pictures = figures.pictures(told, report.find_logs(told))
    for picture in pictures[:3]:
        with Image.open(folder / "figures" / f"{picture.name}.png") as png:
            assert png.text["Title"] == picture.title
            described = png.text["Description"]
        assert picture.caption in described
        assert all(panel.alt in described for panel in picture.panels)
        root = ElementTree.parse(folder / "figures" / f"{picture.name}.svg").getroot()
        assert root.find("{http://www.w3.org/2000/svg}title").text == picture.title
        element = next(each for each in root.iter() if each.tag.endswith("}description"))
        assert element.text == described


def test_unknown_values_of_a_log_are_not_told():
    evaluation = small_evaluation("plain")
    nan = float("nan")
    table = {"step": [1.0, 2.0, 3.0], "train_reward_mean": [nan, 1.0, 2.0]}
    table |= {"test_reward_mean": [nan] * 3, "test_success_rate": [0.0, 0.5, nan]}
    picture = learning_curves(evaluation, {"study/seed_1": table})
    alts = " ".join(panel.alt for panel in picture.panels)
    assert "nan" not in alts
    assert "training from 1.00 to 2.00; test unknown" in alts
    assert "success from 0.00 to 0.50" in alts


def test_long_names_lose_their_middle_and_stay_apart():
    names = [f"a_very_long_experiment_name_indeed/seed_{seed}" for seed in (10, 11)]
    assert short(names[0]) == names[0][:14] + "…" + names[0][-13:]
    for most in (12, 13, 28):
        shortened = {short(name, most) for name in names}
        assert len(shortened) == 2 and {len(each) for each in shortened} == {most}
    assert short("short") == "short"


def texts_of(figure):
    """Labels, legends and the ticks within the limits."""
    for axes in figure.axes:
        yield from axes.texts
        for axis in (axes.xaxis, axes.yaxis) if axes.axison else ():
            yield axis.label
            low, high = sorted(axis.get_view_interval())
            ticks = zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=True)
            yield from (label for at, label in ticks if low <= at <= high)
        if axes.get_legend():
            yield from axes.get_legend().get_texts()


def test_no_text_of_a_figure_is_cut_off(told):
    """Nor with names as long as they come."""
    therapists, groups = (
        [replace(each, label="name " * 10 + each.id) for each in part]
        for part in (told.therapists, told.groups)
    )
    long = replace(told, therapists=therapists, groups=groups)
    for evaluation in (told, long):
        for picture in figures.pictures(evaluation, report.find_logs(evaluation)):
            for panel in picture.panels:
                with drawing.own_style():
                    figure = Figure(figsize=panel.size, layout="constrained")
                    panel.draw(figure.subplots())
                    figure.draw_without_rendering()
                    figure.draw_without_rendering()
                for text in filter(Text.get_text, texts_of(figure)):
                    box = text.get_window_extent()
                    inside = box.x0 >= -1 and box.x1 <= figure.bbox.x1 + 1
                    assert inside, (panel.title, text.get_text())


def test_every_figure_is_drawn_and_told(folder, told, page, parsed):
    pictures = figures.pictures(told, report.find_logs(told))
    assert [picture.name for picture in pictures][:6] == list(PICTURES)
    assert len(pictures) == 6 + 2 * 3  # course, trajectories and responses of two groups
    shown = [a["aria-label"] for t, a in parsed.tags if a.get("role") == "img" and t == "div"]
    alts = [panel.alt for picture in pictures for panel in picture.panels]
    assert sorted(shown) == sorted(alts) and all(len(alt) > 40 for alt in alts)
    assert page.count("<svg aria-hidden") == len(alts)
    for svg in re.findall(r"<svg aria-hidden.*?</svg>", page, flags=re.DOTALL):
        assert svg.count("<text") > 5
        assert "#0072b2" not in svg.lower()  # colours are the page's, light or dark
    for panel in (panel for picture in pictures for panel in picture.panels):
        nothing = replace(panel, draw=lambda axes: None)
        full, empty = (data_marks(panel_svg(one, "x")) for one in (panel, nothing))
        assert empty == 0 and full > 0, panel.title
    for picture in pictures:
        png = (folder / "figures" / f"{picture.name}.png").read_bytes()
        svg = (folder / "figures" / f"{picture.name}.svg").read_text()
        assert png.startswith(b"\x89PNG") and len(png) > 10_000
        assert svg.count("<path") > 10 and svg.rstrip().endswith("</svg>")


def test_names_can_not_break_out(page, parsed):
    assert page.count("</script>") == 2 and "<img" not in page
    assert HOSTILE in parsed.text["h1"]
    data = re.search(r'id="episodes">(.*?)</script>', page, flags=re.DOTALL)[1]
    assert not set("<>&\u2028") & set(data)
    assert json.loads(data)["labels"]["study/seed_1"] == f"{HOSTILE}/1"


def test_numbers_are_those_of_the_json(told, page):
    text = page.replace("\N{NO-BREAK SPACE}", " ")
    row = next(r for r in told.outcomes if r.therapist == "random" and r.cell == "all")
    assert row.metrics["success"].estimate == 0.1
    assert "10.0 % [5.0, 15.0]" in text
    assert "−40.0 pp [−45.0, −35.0] (0.02)" in text  # not significant, so no star
    assert "+20.0 pp [15.0, 25.0]* (0.02)" in text


def test_who_succeeds_with_whom_is_told_of_one_seed_of_a_group(page):
    assert page.count("what tells the groups apart") == 2 * 2  # the median seed, and random
    for told in (
        "only complementary",
        "gain of the best answer &gt; 0.250",
        "60.0\N{NO-BREAK SPACE}%",
    ):
        assert told in page, told


def test_positive_and_negative_complementarity_are_told_apart(told):
    rows = tables.positive_and_negative(told).rows
    assert [row[0].rpartition(": ")[2] for row in rows[:2]] == ["positive, all", "negative, all"]
    assert rows[0][2:] == ["0.800 [0.750, 0.850]", "0.600 [0.550, 0.650]", *rows[0][4:]]


def test_the_verdict_is_in_words(told):
    shape = told.courses[0].shapes[0]
    assert "high–low–high as Tracey describes it (p = 0.002)" in verdict(shape, "x", 0.05)
    no = replace(shape, high_low_high=False, p_high_low_high=0.4)
    said = "not shown that both ends lie above the middle (p = 0.4)"
    assert said in verdict(no, "x", 0.05)
    down = replace(no, curvature=replace(shape.curvature, estimate=-0.3))
    below = Estimate(-0.2, -0.3, -0.1, 0.02)
    hill = replace(down, first_minus_middle=below, last_minus_middle=below)
    assert "bends the other way, an inverted U" in verdict(hill, "x", 0.05)
    for end, other in (("first", "last"), ("last", "first")):
        # Thirds of 61, 74, 80 %, or of 80, 74, 61 %; and a second end that may lie either way.
        for top in (0.3, 0.01):
            above = Estimate(0.06 if top > 0.1 else -0.06, -0.1, top, 0.1)
            ends = {f"{end}_minus_middle": below, f"{other}_minus_middle": above}
            text = verdict(replace(hill, **ends), "x", 0.05)
            assert "inverted U" not in text and "bends downwards (a rise that levels off" in text
    flat = replace(no, p_curvature=0.3)
    assert "no high–low–high course is shown" in verdict(flat, "x", 0.05)
    assert "too few" in verdict(replace(shape, p_high_low_high=None), "x", 0.05)


def test_the_verdict_needs_more_than_a_stationary_control_shows(told):
    shape = told.courses[0].shapes[0]
    text = verdict(shape, "x", 0.05)
    assert "more so than that of a twin who never changes (p = 0.003)" in text
    for p, said in ((0.2, "p = 0.2"), (None, "no pairs")):
        beyond = replace(shape.beyond_twin, p=p)
        text = verdict(replace(shape, high_low_high=False, beyond_twin=beyond), "x", 0.05)
        assert f"not shown to do so more than for a twin who never changes ({said})" in text
        assert "as Tracey describes" not in text


def test_late_points_of_a_single_long_therapy_are_not_drawn(told):
    """Twenty therapies of 10 sessions, and one of 40: its window holds 10 acts, but one therapy."""
    held = np.arange(40) < np.where(np.arange(21) > 0, 10, 40)[:, None]
    acts = np.where(held, 64 * 2 + 8 * 2 + 2, NOT_HELD).astype(np.int16)
    acts[0, 10:] = 64 * 2 + 8 * 6 + 6  # alone, and far from the complement
    record = Record(acts.T[:, None], np.full((40, 1, 21), 0.5))
    therapies = decode(record, np.full((1, 21), 0.5), np.ones((1, 21), bool))
    therapies.rs[0, 10:] = 0.1
    course = course_of("complementary", therapies, Intervals(0.95, 100, 0))
    of_one = course_figures.course_of_one(told, course, 1)
    by_session = next(panel for panel in of_one.panels if panel.title == "session by session")
    assert "enacted: 100 % at first, 100 % midway, 100 % at the end" in by_session.alt
    lines = drawn(by_session).lines
    assert len(lines) == 2
    for line in lines:
        assert np.isfinite(line.get_ydata()).sum() == 10
    trajectories = course_figures.trajectories(told, course, 1)
    rs = next(panel for panel in trajectories.panels if panel.title == "RS, session by session")
    assert "0.50 at the end" in rs.alt
    curve = course.by_session["all"].distance["enacted"]["any"]
    line = course_figures.Line("x", curve, "black", "-", share=False)
    assert line.in_words == "x: 0.00 at first, 0.00 midway, 0.00 at the end"


def test_selection_is_said_where_it_matters(told, page, parsed):
    text = re.sub(r"\s+", " ", page)
    assert text.count("therapies stop at success, so how they end is selected") == 2
    assert (
        parsed.text["figcaption"].count("a falling line need not be any client getting worse") == 2
    )
    assert parsed.text["figcaption"].count("pooled, so long therapies weigh more") == 2
    assert "last 10 sessions up to" in parsed.text["figcaption"]
    assert "sliding window" not in page
    assert "p (all beyond twin)" in parsed.text["th"]


def test_of_a_group_the_median_seed_is_followed(told):
    assert selection.followed(told) == ["study/seed_1", "complementary"]


def test_the_same_evaluation_makes_the_same_report(folder, told, page):
    pictures = {each.name: each for each in figures.pictures(told, report.find_logs(told))}
    for name in ("learning_curves", "seeds"):
        for place, panel in enumerate(pictures[name].panels):
            assert panel_svg(panel, f"{name}-{place}") in page
    for kind, contents in paper_files(pictures["differences"]).items():
        assert (folder / "figures" / f"differences.{kind}").read_bytes() == contents


def test_a_bare_evaluation_has_a_report_too(tmp_path):
    evaluation = small_evaluation("plain")
    bare = replace(evaluation, courses=[], episodes=[], seeds=[], improvement=[], differences=[])
    bare.cells, bare.outcomes = bare.cells[:1], [o for o in bare.outcomes if o.cell == "all"]
    csv_files.write(bare, tmp_path)
    written = report.write_report(tmp_path / "evaluation.json", tmp_path / "elsewhere")
    assert [path.name for path in written] == ["report.html", "comparison.png", "comparison.svg"]
    page = written[0].read_text()
    assert 'id="player"' not in page and "Course of therapy" not in page


def test_drawing_again_removes_the_figures_that_no_longer_belong(tmp_path, monkeypatch):
    monkeypatch.setattr(drawing, "paper_files", lambda picture: {"svg": b"<svg/>"})
    monkeypatch.setattr("jaxtherapy.reporting.page.panel_svg", lambda panel, salt: "")
    csv_files.write(small_evaluation("plain"), tmp_path)
    names = [path.name for path in report.write_report(tmp_path)[1:]]
    assert len(names) > 6 and all(figures.FILE_NAMES.fullmatch(name) for name in names)
    stale = ["course_7_gone.png", "learning_curves.png", "responses_2_x_y.svg"]
    mine = ["comparison_for_talk.png", "course_notes.svg", "course_1_.txt", "my.png", "cells.pdf"]
    for name in stale + mine:
        (tmp_path / "figures" / name).write_text("x")
    bare = replace(small_evaluation("plain"), courses=[], seeds=[])
    csv_files.write(bare, tmp_path)
    written = [path.name for path in report.write_report(tmp_path)[1:]]
    assert set(written) < set(names)
    left = {path.name for path in (tmp_path / "figures").iterdir()}
    assert left == {*written, *mine}


def test_a_home_folder_is_understood(tmp_path, monkeypatch, capsys):
    """Also where no shell has replaced it, as in ``--output-dir=~/paper``."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main(["~/nothing"]) == 2
    assert str(tmp_path / "nothing") in capsys.readouterr().err


def test_mistakes_are_one_line(tmp_path, capsys):
    other = tmp_path / "evaluation.json"
    for arrange, said in (
        (lambda: None, "can't be read"),
        (lambda: other.write_text("{"), "is no JSON"),
        (lambda: other.write_text('{"schema": "x"}'), "its schema is 'x'"),
        (
            lambda: other.write_text('{"schema": "jaxtherapy.evaluation/1"}'),
            "is of another version (jaxtherapy.evaluation/1, not jaxtherapy.evaluation/3)",
        ),
        (lambda: other.write_text("[]"), "its schema is None"),
        (lambda: other.write_bytes(b"\xff\xfe"), "not UTF-8"),
    ):
        arrange()
        assert main([str(tmp_path)]) == 2
        out, err = capsys.readouterr()
        assert not out and said in err and err.count("\n") == 1
    for blank in ("", " "):
        assert main([str(tmp_path), "--output-dir", blank]) == 2
        assert f"--output-dir is {blank!r}" in capsys.readouterr().err
    assert main([]) == 2 and "see --help" in capsys.readouterr().err


def test_a_figure_that_fails_costs_a_line(tmp_path, monkeypatch):
    evaluation = small_evaluation("plain")
    bare = replace(evaluation, courses=[], episodes=[], seeds=[], improvement=[])
    csv_files.write(bare, tmp_path)

    def fails(axes):
        raise ValueError("no such font")

    make = figures.outcomes.comparison

    def comparison(evaluation):
        picture = make(evaluation)
        panels = [replace(picture.panels[0], draw=fails), *picture.panels[1:]]
        return replace(picture, panels=tuple(panels))

    monkeypatch.setattr(figures.outcomes, "comparison", comparison)
    lines = []
    written = report.write_report(tmp_path, tell=lines.append)
    assert lines == ["comparison can't be drawn (ValueError: no such font)"]
    names = {path.name for path in written}
    assert "comparison.png" not in names and "differences.png" in names
    text = written[0].read_text()
    assert "success can&#39;t be drawn (ValueError: no such font)" in text
    assert text.count("<svg aria-hidden") > 3


# --- whose files they are -------------------------------------------------------------------


OURS = ("evaluation.json", "evaluation.csv", "evaluation_seeds.csv", "evaluation_shapes.csv")


@pytest.mark.parametrize("name", [*OURS, "report.html", "figures/comparison.png"])
def test_a_users_own_file_is_neither_replaced_nor_removed(tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    with pytest.raises(RunError) as error:
        report.check_folder_is_ours(tmp_path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    assert path.read_text() == "mine"


def test_a_report_refuses_before_it_draws(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("jaxtherapy.reporting.figures.pictures", None)
    csv_files.write(small_evaluation("plain"), tmp_path / "a")
    paper = tmp_path / "paper"
    (paper / "figures").mkdir(parents=True)
    (paper / "figures" / "seeds.svg").write_text("mine")
    assert main([str(tmp_path / "a"), "--output-dir", str(paper)]) == 2
    out, err = capsys.readouterr()
    assert "seeds.svg would be replaced" in err and err.count("\n") == 1 and not out
    (tmp_path / "a" / "report.html").write_text("mine")  # beside an evaluation of ours
    assert main([str(tmp_path / "a")]) == 2
    assert "report.html would be replaced" in capsys.readouterr().err


def test_what_an_evaluation_vouches_for_is_replaced(tmp_path, folder):
    (tmp_path / "evaluation.json").write_text('{"schema": "jaxtherapy.evaluation/1", damaged')
    for name in (*OURS[1:], "figures/seeds.svg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("older")
    report.check_folder_is_ours(tmp_path)
    (tmp_path / "report.html").write_bytes((folder / "report.html").read_bytes())
    report.check_folder_is_ours(tmp_path)
    for name in OURS:
        (tmp_path / name).unlink()
    report.check_folder_is_ours(tmp_path)  # a report of ours, drawn elsewhere before
    report.remove_report(tmp_path)
    assert not list(tmp_path.glob("**/*.*"))


def test_another_confidence_is_not_rounded():
    evaluation = small_evaluation("plain")
    evaluation.settings["confidence"] = 0.995
    pictures = figures.pictures(evaluation, {})
    page = to_html(evaluation, [])
    assert "99.5% intervals" in pictures[0].caption and "99.5% intervals" in page
    assert "100% intervals" not in page
