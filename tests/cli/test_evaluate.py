"""The command, from the shell's point of view: files written, tables printed, mistakes named."""

import csv
import dataclasses
import json
import re
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest
from pyarrow import parquet

from jaxtherapy.cli.asking import client_config
from jaxtherapy.cli.evaluate import SHARED, build_parser, main
from jaxtherapy.cli.evaluation import make_cells, make_panel, make_request, notes
from jaxtherapy.cli.launch import Ended
from jaxtherapy.cli.progress import ProgressLines
from jaxtherapy.client.baselines import BASELINES, map_name
from jaxtherapy.client.octants import COMPLEMENT, OCTANTS
from jaxtherapy.config import TrainingConfig
from jaxtherapy.envs.planner import Planner
from jaxtherapy.evaluation import results
from jaxtherapy.evaluation.candidates import Panel
from jaxtherapy.evaluation.evaluation import Request, across_seeds
from jaxtherapy.evaluation.grid import Candidate
from jaxtherapy.evaluation.reading import read_evaluation
from jaxtherapy.evaluation.results import TherapistInfo
from jaxtherapy.evaluation.statistics import Intervals
from jaxtherapy.reporting import drawing, selection
from jaxtherapy.reporting.report import write_report
from tests.conftest import DATA
from tests.evaluation.experiments import write_experiment

POLICY = DATA / "tianshou_policy.pth"
THERAPISTS = ["study/seed_1", "study/seed_2", "tianshou_policy", "complementary", "random"]


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """Two seeds of an experiment, a policy that PyTorch trained, and two baselines, 4 cells."""
    folder = tmp_path_factory.mktemp("evaluation")
    study = write_experiment(
        folder / "study", seeds=(1, 2), patterns=("cold_stuck", "cold_warm"), max_sessions=14
    )
    arguments = [str(study), str(POLICY), "--baselines", "random", "--thresholds", "0.3", "0.6"]
    sizes = ["--episodes", "60", "--course-episodes", "80", "--bootstrap-samples", "100"]
    sizes.append("--no-report")
    sizes += ["--data", str(folder / "data")]
    assert main([*arguments, *sizes, "--output-dir", str(folder / "{name}-report")]) == 0
    return folder / "study-report"


@pytest.fixture(scope="module")
def told(evaluated):
    return json.loads((evaluated / "evaluation.json").read_text())


def test_the_data_are_the_therapies_of_the_evaluation(evaluated, told):
    folder = evaluated.parent / "data"
    therapies = parquet.read_table(folder / "therapies.parquet").to_pandas()
    sessions = parquet.read_table(folder / "sessions.parquet").to_pandas()
    assert therapies["therapy"].tolist() == list(range(1, 5 * 4 * 60 + 1))
    groups = therapies.groupby(["therapist", "cell"], observed=True)
    means = groups[["success", "dropout", "sessions", "reward", "final_rs", "final_bond"]].mean()
    for row in told["outcomes"]:
        if row["cell"] != "all":
            ours = means.loc[row["therapist"], row["cell"]].rename({"final_bond": "bond"})
            for metric, value in ours.items():
                assert row["metrics"][metric]["estimate"] == pytest.approx(value, rel=1e-4)
    last = sessions.groupby("therapy").tail(1).reset_index()
    assert last["session"].tolist() == therapies["sessions"].tolist()
    np.testing.assert_allclose(last["rs"], therapies["final_rs"], rtol=1e-6)
    probability = sessions[[f"p_{octant}" for octant in OCTANTS]].to_numpy()
    np.testing.assert_allclose(probability.sum(1), 1, atol=1e-5)
    codes = np.array([OCTANTS.index(octant) for octant in sessions["client_octant"]])
    taken = np.take_along_axis(probability, codes[:, None], 1).mean()
    assert taken == pytest.approx((probability**2).sum(1).mean(), abs=0.01)  # drawn from them
    assert (sessions["client_angle"] == (90 - 45 * codes) % 360).all()
    shares = sessions.groupby("therapy")["complementary"].mean().to_numpy()
    np.testing.assert_allclose(shares, therapies["share_complementary"], rtol=1e-6)
    assert set(therapies["threshold"].astype(float).round(3)) == {0.3, 0.6}
    assert set(therapies["pattern"]) == {"cold_stuck", "cold_warm"}


def test_the_episodes_are_rows_of_the_data(evaluated, told):
    sessions = parquet.read_table(evaluated.parent / "data/sessions.parquet").to_pandas()
    for episode in told["episodes"][:3]:
        keys = [sessions[name] == episode[name] for name in ("therapist", "cell", "client")]
        rows = sessions[np.all(keys, axis=0)]
        for who in ("client", "therapist", "heard"):
            names = [OCTANTS[act] for act in episode[f"{who}_act"]]
            assert rows[f"{who}_octant"].tolist() == names
        np.testing.assert_allclose(rows["rs"], episode["rs"], atol=1e-4)


@pytest.mark.parametrize("given", ["study.csv", "study.xlsx", "", "taken"])
def test_data_go_to_a_folder_that_is_free(tmp_path, capsys, given):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/sessions.csv").write_text("mine")
    assert main(["--data", given and str(tmp_path / given), "--episodes", "2"]) == 2
    assert "error: " in (told := capsys.readouterr().err) and told.count("\n") == 1
    assert (tmp_path / "taken/sessions.csv").read_text() == "mine"


def test_the_json_follows_its_schema(told):
    assert told["schema"] == results.SCHEMA
    assert set(told) == {field.name for field in dataclasses.fields(results.Evaluation)}
    assert [each["id"] for each in told["therapists"]] == THERAPISTS
    assert told["settings"]["max_sessions"] == 14  # the experiment's own
    assert [cell["id"] for cell in told["cells"]] == [
        f"{pattern}/frequency_amplifier/{threshold}/0.5/random"
        for threshold in ("0.3", "0.6")
        for pattern in ("cold_stuck", "cold_warm")
    ]
    assert len(told["outcomes"]) == 5 * 5 and len(told["differences"]) == 4 * 5 * 8
    for row in told["outcomes"]:
        assert row["episodes"] == (240 if row["cell"] == "all" else 60)
        success = row["metrics"]["success"]
        assert success["estimate"] == pytest.approx(row["successes"] / row["episodes"])
        assert 0 <= success["low"] <= success["estimate"] <= success["high"] <= 1


def test_a_report_can_be_made_of_it(evaluated, tmp_path, monkeypatch):
    monkeypatch.setattr(selection, "MOST_FOLLOWED", 1)  # the others would be drawn alike
    monkeypatch.setattr(drawing, "paper_files", lambda picture: {})  # tested elsewhere
    page = write_report(evaluated, tmp_path)[0].read_text()
    for name in ("comparison", "differences", "cells", "seeds", "course", "course_1_complementary"):
        assert f'id="figure-{name}"' in page


def test_easier_clients_are_easier(told):
    success = {
        (row["therapist"], row["cell"]): row["metrics"]["success"]["estimate"]
        for row in told["outcomes"]
    }
    for therapist in THERAPISTS:
        cell = "cold_stuck/frequency_amplifier/{}/0.5/random"
        assert success[therapist, cell.format("0.3")] >= success[therapist, cell.format("0.6")]


def test_seeds_are_summarised(told):
    rows = {(row["group"], row["metric"]): row for row in told["seeds"]}
    study = rows["study", "success"]
    assert study["n_seeds"] == 2 and 0 <= study["iqm"]["estimate"] <= 1
    assert study["iqm"]["low"] is study["iqm"]["high"] is study["mean"]["low"] is None  # too few
    assert rows["random", "reward"]["iqm"]["low"] is None
    pairs = {(row["group"], row["over"]) for row in told["improvement"]}
    assert ("study", "complementary") in pairs and ("random", "study") not in pairs


def test_intervals_over_seeds_need_five_on_every_side_that_has_several():
    sizes = {"five": 5, "six": 6, "two": 2, "alone": 1, "baseline": 1}
    infos = [
        TherapistInfo(f"{name}{seed}", name, "baseline" if name == "baseline" else "policy", name)
        for name, size in sizes.items()
        for seed in range(size)
    ]
    panel = Panel([Candidate(info, None) for info in infos], None)
    generator = np.random.default_rng(0)
    scores = {
        metric: {each.id: generator.random(3) for each in infos}
        for metric in ("success", "reward", "final_rs")
    }
    request = Request("x", cells_of()[:3], (), (1, 1, 1), intervals=Intervals(n_samples=200))
    seeds, improvement = across_seeds(request, panel, scores)
    for row in seeds:
        assert (row.iqm.low is not None) == (row.n_seeds >= 5)
        assert (row.mean.high is not None) == (row.n_seeds >= 5)
    told = {(row.group, row.over): row.probability.low is not None for row in improvement}
    for group, size in sizes.items():
        for over, other in sizes.items():
            if (group, over) in told:
                several = [n for n in (size, other) if n > 1]
                assert told[group, over] == (bool(several) and min(several) >= 5), (group, over)
    assert len(told) == 4 * 4


def test_the_course_and_the_episodes(told):
    assert [course["therapist"] for course in told["courses"]] == THERAPISTS
    for course in told["courses"]:
        assert course["episodes"]["all"] == 60
        assert len(course["by_session"]["all"]["rs"]["mean"]) == 15
        assert len(course["shapes"]) == 24
    complementary = told["courses"][3]["by_session"]["all"]["complementarity"]
    assert set(complementary["enacted"]["any"]["value"]) <= {1.0, None}
    shared = [episode for episode in told["episodes"] if episode["reason"] == "shared"]
    assert len(shared) == 10
    assert len({(e["cell"], e["client"], e["client_act"][0]) for e in shared}) == 2
    for episode in told["episodes"]:
        lists = ("client_act", "therapist_act", "heard_act", "rs", "bond")
        assert {len(episode[name]) for name in lists} == {episode["sessions"]}
        assert (episode["outcome"] == "success") == (episode["rs"][-1] >= episode["threshold"])


def test_the_csv_says_the_same(evaluated, told):
    with open(evaluated / "evaluation.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 5 * 5 * 8
    for row in rows[:50]:
        outcome = next(
            one
            for one in told["outcomes"]
            if (one["therapist"], one["cell"]) == (row["therapist"], row["cell"])
        )
        estimate = outcome["metrics"][row["metric"]]["estimate"]
        assert row["estimate"] == ("" if estimate is None else str(estimate))
    assert {row["reference"] for row in rows if row["therapist"] == "complementary"} == {""}
    assert {row["reference"] for row in rows if row["therapist"] == "random"} == {"complementary"}


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_significance_is_in_the_csv(evaluated, told):
    rows = rows_of(evaluated / "evaluation.csv")
    said = {(row["therapist"], row["cell"], row["metric"]): row["significant"] for row in rows}
    assert {said["complementary", "all", "success"]} == {""}
    for row in told["differences"]:
        assert said[row["therapist"], row["cell"], row["metric"]] == str(row["significant"])


def test_seeds_have_a_csv(evaluated, told):
    rows = rows_of(evaluated / "evaluation_seeds.csv")
    assert len(rows) == 2 * len(told["seeds"]) + len(told["improvement"])
    number = {"": None}
    for row in told["seeds"]:
        for statistic in ("iqm", "mean"):
            ours = next(
                r
                for r in rows
                if (r["group"], r["metric"], r["statistic"])
                == (row["group"], row["metric"], statistic)
            )
            for end in ("estimate", "low", "high"):
                assert number.get(ours[end], ours[end] and float(ours[end])) == row[statistic][end]
            by_seed = row["iqm_by_seed" if statistic == "iqm" else "by_seed"]
            assert [float(each) for each in ours["by_seed"].split()] == by_seed
    chances = {(r["group"], r["over"], r["metric"]): r for r in rows if r["over"]}
    for row in told["improvement"]:
        ours = chances[row["group"], row["over"], row["metric"]]
        assert float(ours["estimate"]) == row["probability"]["estimate"]


def test_shapes_have_a_csv(evaluated, told):
    rows = rows_of(evaluated / "evaluation_shapes.csv")
    shapes = [(course["therapist"], s) for course in told["courses"] for s in course["shapes"]]
    assert len(rows) == len(shapes) == 5 * 24
    for ours, (therapist, shape) in zip(rows, shapes, strict=True):
        assert ours["therapist"] == therapist and ours["outcome"] == shape["outcome"]
        assert ours["high_low_high"] == str(shape["high_low_high"])
        for theirs, name in (
            (shape["curvature"]["low"], "curvature_low"),
            (shape["thirds"][2]["estimate"], "last"),
            (shape["p_high_low_high"], "p_high_low_high"),
            (shape["beyond_twin"]["p"], "p_beyond_twin"),
            (
                shape["beyond_twin"]["last_minus_middle"]["high"],
                "beyond_twin_last_minus_middle_high",
            ),
        ):
            assert ours[name] == ("" if theirs is None else str(theirs))
    assert any(float(row["p_beyond_twin"] or 1) < 1 for row in rows)


def test_it_says_whether_acts_were_sampled(told):
    assert [each["deterministic"] for each in told["therapists"]] == [False] * 3 + [None] * 2


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nowhere"], "nowhere does not exist"),
        (["--patterns", "cold_stuk"], "did you mean cold_stuck"),
        (["--mechanisms", "none"], "mechanism is 'none'"),
        (["--thresholds", "0.5", "1.5"], "threshold is '1.5'"),
        (["--entropies", "x"], "entropy is 'x'"),
        (["--matrices", "nonesuch"], "utility_matrix is 'nonesuch'"),
        (["--matrices", "nowhere.json"], "matrix file nowhere.json can't be read"),
        (["--baselines", "mirorr"], "did you mean mirror"),
        (["--baselines", "fixed_map:S,WS"], "'fixed_map:S,WS' is no baseline; name one of"),
        (["--fit-map", "168"], "--fit-map is '168', must be a whole number from 845"),
        (["--fit-map", "--fit-seed", "x"], "--fit-seed is 'x'"),
        (["--planner", "1"], "--planner is '1'"),
        (["--planner", "--planner-interval", "0"], "--planner-interval is '0'"),
        (["--baselines", "all", "random"], "baselines is 'all random'; all stands alone"),
        (["--baselines", "random", "none"], "none stands alone"),
        (["--episodes", "1"], "--episodes is '1'"),
        (["--episodes", "9000000", "--patterns", "all", "--baselines", "all"], "at most"),
        (["--confidence", "95"], "--confidence is '95'"),
        (["--max-sessions", "0"], "max_sessions is '0'"),
        (["--therapist", "nothing"], "module:function"),
        (["--name", "a/b"], "--name is 'a/b'"),
        (["--name", "a "], "--name is 'a '"),
        (["--name", ""], "--name is ''"),
        (["--output-dir", " "], "--output-dir is ' '"),
        (["--name", "a\x07b"], "--name is 'a\\x07b'"),
        (["--output-dir", "a\x1bb"], "--output-dir is 'a\\x1bb'"),
        (["--matrices", "[" + "[1,2]," * 20_000 + "]"], "has over 100,000 characters"),
        (["--output-dir", ""], "--output-dir is ''"),
        (["--config", ""], "config file '' does not exist"),
        (["--frobnicate"], "unrecognized arguments: --frobnicate"),
        (["--output-dir", "/dev/null/x"], "can't write to /dev/null/x"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(arguments, complaint, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    captured = capsys.readouterr().err
    assert captured.startswith("error: ") and captured.count("\n") == 1
    assert complaint in captured
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("made_before", [(), ("reports",), ("reports/complementary",)])
def test_an_interrupted_evaluation_leaves_nothing_that_it_made(
    made_before, capsys, tmp_path, monkeypatch
):
    def interrupt(*_):
        assert (tmp_path / "reports/complementary").is_dir()
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("jaxtherapy.evaluation.evaluation.evaluate_panel", interrupt)
    for name in made_before:
        (tmp_path / name).mkdir(parents=True)
    before = set(tmp_path.rglob("*"))
    assert main([]) == 130
    assert capsys.readouterr().err == "interrupted; nothing was written\n"
    assert set(tmp_path.rglob("*")) == before


def test_an_interrupted_evaluation_leaves_what_was_there(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("jaxtherapy.evaluation.evaluation.evaluate_panel", interrupt)
    notes = tmp_path / "notes.txt"
    notes.write_text("mine")
    assert main(["--output-dir", str(tmp_path)]) == 130
    assert list(tmp_path.iterdir()) == [notes]


@pytest.mark.parametrize("name", ["report.html", "figures/comparison.png", "evaluation.csv"])
def test_a_users_own_files_are_refused_before_the_work(capsys, tmp_path, monkeypatch, name):
    monkeypatch.setattr("jaxtherapy.cli.evaluation._evaluate", None)
    mine = tmp_path / "paper" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    assert main(["--output-dir", str(tmp_path / "paper")]) == 2
    err = capsys.readouterr().err
    assert f"{mine} would be replaced" in err and err.count("\n") == 1
    assert mine.read_text() == "mine"


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), Ended(signal.SIGTERM)])
def test_interrupted_while_drawing_the_numbers_are_there(capsys, tmp_path, monkeypatch, stop):
    def interrupt(*_, **__):
        raise stop

    monkeypatch.setattr("jaxtherapy.reporting.report.write_report", interrupt)
    sizes = ["--episodes", "2", "--course-episodes", "0", "--bootstrap-samples", "100"]
    arguments = ["--baselines", "none", "--patterns", "cold_stuck", "--max-sessions", "2"]
    code = getattr(stop, "exit_code", 130)
    assert main([*arguments, *sizes, "--output-dir", str(tmp_path / "it")]) == code
    out, err = capsys.readouterr()
    assert err == f"interrupted; draw the report with python -m jaxtherapy.report {tmp_path}/it\n"
    assert {path.suffix for path in (tmp_path / "it").iterdir()} == {".json", ".csv"}
    assert "100%  1 of 1 cells (once per therapist)" in out  # no terminal: lines, no bar


def test_a_map_is_searched_and_the_planner_tried(capsys, tmp_path, monkeypatch):
    """What was found is told, stored, and a baseline by the name that is told."""
    quick = replace(Planner(), library=lambda dyad: jnp.asarray(COMPLEMENT)[None])
    monkeypatch.setattr("jaxtherapy.envs.planner.Planner", partial(replace, quick))
    sizes = ["--episodes", "20", "--course-episodes", "0", "--bootstrap-samples", "100"]
    clients = ["--patterns", "cold_stuck", "--threshold", "0.6", "--max-sessions", "12"]
    asked = ["--fit-map", "1690", "--fit-seed", "4", "--planner", "3", "--planner-interval", "6"]
    folder = tmp_path / "it"
    to = ["--no-report", "--output-dir", str(folder), "--baselines", "none"]
    assert main([*clients, *sizes, *asked, *to]) == 0
    out = capsys.readouterr().out
    assert "searching a fixed map with 10 other clients, at most 1,690 therapies" in out
    found = re.search(r"found (fixed_map:\S+): [\d.]+% of these clients succeed", out)[1]
    assert re.search(r"the planner's 3 therapies will take about \d+ s", out)
    assert "headroom" in out
    told = read_evaluation(folder / "evaluation.json")
    assert [each.id for each in told.therapists] == ["complementary", "fixed_map"]
    assert told.therapists[1].answers == found and found in BASELINES
    fitted = told.settings["fitted_map"]
    assert (fitted["clients"], fitted["seed"]) == (10, 4)
    assert map_name(fitted["answers"]) == found
    assert (told.planner.episodes, told.planner.interval) == (3, 6)


def test_progress_without_a_terminal_is_a_line_per_tenth(monkeypatch):
    clock, told = iter(range(100, 200)), []
    monkeypatch.setattr("jaxtherapy.cli.progress.time.monotonic", lambda: next(clock))
    lines = ProgressLines(3_000, 100, told.append)
    for _ in range(60):
        lines.advance(50)
    assert len(told) == 10
    assert told[0] == " 10%  3 of 30 cells (once per therapist)  0:54 left"
    assert told[-1] == "100%  30 of 30 cells (once per therapist)  0:00 left"


def test_progress_without_a_terminal_is_a_line_every_ten_seconds(monkeypatch):
    clock, told = iter(range(100, 1000, 4)), []
    monkeypatch.setattr("jaxtherapy.cli.progress.time.monotonic", lambda: next(clock))
    lines = ProgressLines(100_000, 100, told.append)
    for _ in range(9):
        lines.advance(50)
    assert len(told) == 2 and told[0].startswith("  0%  2 of 1,000 cells")
    assert told[0].endswith("133:04 left")


def test_a_damaged_policy_is_refused(capsys, tmp_path):
    (tmp_path / "policy.pth").write_bytes(POLICY.read_bytes()[:1000])
    assert main([str(tmp_path / "policy.pth")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def cells_of(*arguments, **config):
    return make_cells(build_parser().parse_args(list(arguments)), TrainingConfig(**config))[0]


def test_cells_are_every_combination(tmp_path):
    rows = [[float(8 * i + j) for j in range(8)] for i in range(8)]
    (tmp_path / "mine.json").write_text(json.dumps(rows))
    cells = cells_of(
        *("--patterns", "all", "--mechanisms", "all", "--thresholds", "0.6", "0.9"),
        *("--matrices", "random", str(tmp_path / "mine.json")),
        entropy=0.25,
    )
    assert len(cells) == 7 * 5 * 2 * 2
    assert len({cell.id for cell in cells}) == len({cell.label for cell in cells}) == len(cells)
    assert {cell.entropy for cell in cells} == {0.25}
    given = [cell for cell in cells if cell.matrix_values]
    assert len(given) == 70 and given[0].matrix_values == rows and given[0].matrix == "given 2"


def noted(*arguments):
    given = build_parser().parse_args([*map(str, arguments), "--baselines", "none"])
    panel = make_panel(given)
    return notes(given, panel, make_request(given, panel))


def test_a_loose_policy_is_told_to_meet_default_clients(tmp_path):
    study = write_experiment(tmp_path / "study")
    (note,) = noted(POLICY)
    assert note.startswith("tianshou_policy: no config.yaml beside the file")
    assert note.endswith("a training's default ones; threshold 0.9")
    assert noted(POLICY, "--threshold", "0.6")[0].endswith("threshold 0.6")
    assert "those of" in noted(study, POLICY)[0]
    assert noted(POLICY, "--config", study / "config.yaml") == noted() == []


def test_experiments_with_other_clients_are_named(tmp_path):
    """Those that differ from the first, whose clients they all meet, and in what."""
    first, other, like = (
        write_experiment(tmp_path / name, threshold=threshold, utility_matrix=matrix)
        for name, threshold, matrix in [
            ("a", 0.6, "random"),
            ("b", 0.8, "average"),
            ("c", 0.6, "random"),
        ]
    )
    assert noted(first, other, like) == [
        f"client settings that no flag gives are those of {first}/config.yaml",
        f"{other} was trained with other threshold, utility_matrix",
    ]
    assert len(noted(first, like)) == 1
    assert noted(first, other, "--config", first / "config.yaml") == []


def test_a_flag_goes_before_a_file_and_a_file_before_the_experiment(tmp_path):
    """A setting that the file leaves out is a training's default, not the experiment's."""
    experiment = write_experiment(tmp_path / "a", max_sessions=14, threshold=0.6, smoothing=0.3)
    mine = tmp_path / "mine.yaml"
    mine.write_text("max_sessions: 20\nthreshold: 0.8\n")

    def told(*arguments):
        given = build_parser().parse_args([*map(str, arguments)])
        config = client_config(given, SHARED, experiment)
        return config.max_sessions, config.threshold, config.smoothing

    assert told() == (14, 0.6, 0.3)
    assert told("--config", mine) == (20, 0.8, TrainingConfig().smoothing)
    assert told("--config", mine, "--max-sessions", 30) == (30, 0.8, TrainingConfig().smoothing)
    assert told("--max-sessions", 30) == (30, 0.6, 0.3)


def test_the_experiments_own_clients_are_the_default():
    cells = cells_of(patterns=("cold_warm", "cold_warm", "conflictual"), threshold=0.8)
    assert [(cell.pattern, cell.threshold) for cell in cells] == [
        ("cold_warm", 0.8),
        ("conflictual", 0.8),
    ]
    assert [cell.label for cell in cells] == ["cold_warm (×2)", "conflictual"]


def test_a_repeated_pattern_weighs_as_often_as_in_training():
    def weights(*arguments, **config):
        return make_cells(build_parser().parse_args(list(arguments)), TrainingConfig(**config))[1]

    mixed = ("cold_stuck", "cold_warm", "cold_stuck", "cold_stuck")
    assert weights(patterns=mixed) == weights("--patterns", *mixed) == (3, 1)
    assert weights("--patterns", "cold_warm", patterns=mixed) == (1,)
    assert set(weights("--patterns", "all", patterns=mixed)) == {1}
    assert "a repeated pattern weighs" in noted("--patterns", *mixed)[0]


def test_cells_that_differ_in_the_seventh_digit_have_ids_of_their_own():
    cells = cells_of("--thresholds", "0.9", "0.9000001", "--patterns", "cold_warm")
    assert [cell.id.split("/")[2] for cell in cells] == ["0.9", "0.9000001"]
    assert [cell.label for cell in cells] == [
        "cold_warm, threshold 0.9",
        "cold_warm, threshold 0.9000001",
    ]


def test_a_huge_matrix_file_is_refused_at_once(tmp_path, capsys):
    with open(tmp_path / "huge.json", "w") as file:
        file.write("[" + "[1, 2, 3, 4, 5, 6, 7, 8],\n" * 2_000_000)
    assert main(["--matrices", str(tmp_path / "huge.json")]) == 2
    assert "huge.json has over 100,000 characters" in capsys.readouterr().err


def test_help_needs_no_jax():
    for command in ("evaluate", "play"):
        code = f"""
import sys
from jaxtherapy.cli.{command} import main
try:
    main(["--help"])
except SystemExit:
    heavy = ("jax", "scipy", "matplotlib", "orbax", "optax", "flax")
    print([name for name in heavy if name in sys.modules])
"""
        told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert told.stdout.endswith("\n[]\n"), told.stdout[-300:] + told.stderr


def test_an_earlier_evaluation_is_replaced_with_its_report(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    few = ["--baselines", "none", "--episodes", "20", "--course-episodes", "0", "--name", "x"]
    folder = tmp_path / "reports/x"
    assert main([*few, "--threshold", "0.6"]) == 0
    assert "replaces" not in capsys.readouterr().out
    assert (folder / "report.html").exists() and list((folder / "figures").glob("*.svg"))
    (folder / "figures/mine.png").touch()
    assert main([*few, "--threshold", "0.7", "--no-report"]) == 0
    assert "replaces the evaluation of 20" in capsys.readouterr().out
    assert not (folder / "report.html").exists()
    assert [path.name for path in (folder / "figures").iterdir()] == ["mine.png"]


def test_a_users_file_is_not_taken_for_the_probe_of_whether_one_can_write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".writable").write_text("mine")
    sizes = ["--episodes", "20", "--course-episodes", "0", "--bootstrap-samples", "100"]
    assert main([str(POLICY), *sizes, "--no-report", "--output-dir", "."]) == 0
    assert (tmp_path / ".writable").read_text() == "mine"
