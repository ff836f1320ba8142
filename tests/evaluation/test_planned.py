"""The planner in an evaluation: the same clients, few of them, and everyone beside it."""

import json
from dataclasses import replace

import jax.numpy as jnp
import pytest

from jaxtherapy.client.octants import COMPLEMENT
from jaxtherapy.client.params import ClientParams
from jaxtherapy.envs.planner import Planner
from jaxtherapy.errors import RunError
from jaxtherapy.evaluation.candidates import panel_of
from jaxtherapy.evaluation.cells import given_cells
from jaxtherapy.evaluation.evaluation import Request, evaluate_panel
from jaxtherapy.evaluation.planned import plan_therapies
from jaxtherapy.evaluation.reading import read_evaluation
from jaxtherapy.evaluation.statistics import Intervals
from jaxtherapy.reporting import csv_files
from jaxtherapy.reporting.headroom import headroom

N_CLIENTS = 6


def only_complementary(dyad):
    """A library without a choice."""
    return jnp.asarray(COMPLEMENT)[None]


@pytest.fixture(scope="module")
def evaluation():
    """Complementarity, and a planner that can only do the same, with fewer clients."""
    kinds = {
        name: ClientParams(threshold=x, max_sessions=12) for name, x in (("a", 0.6), ("b", 0.7))
    }
    cells, clients = given_cells(kinds)
    request = Request(
        "x",
        cells,
        clients,
        (1, 1),
        episodes=20,
        course_episodes=0,
        intervals=Intervals(n_samples=100),
    )
    planner = Planner(library=only_complementary, interval=4, simulations=1, seed=7)
    seconds, held = [], []
    planned = plan_therapies(request, planner, N_CLIENTS, seconds.append, held.append)
    assert seconds and seconds[0] > 0
    assert sum(held) == 2 * N_CLIENTS
    panel = panel_of({"complementary": "complementary", "mine": "random"})
    return evaluate_panel(request, panel, {}, planned=planned)


def test_the_planner_treats_the_first_clients(evaluation):
    told = evaluation.planner
    assert (told.therapist, told.episodes) == ("planner", N_CLIENTS)
    assert (told.interval, told.simulations, told.seed) == (4, 1, 7)
    ours = {r.cell: r.metrics for r in told.outcomes if r.therapist == "planner"}
    theirs = {r.cell: r.metrics for r in told.outcomes if r.therapist == "complementary"}
    assert set(ours) == {"a", "b", "all"}
    assert csv_files.plain(ours) == csv_files.plain(theirs), "the same with the same clients"
    assert all(row.episodes in (N_CLIENTS, 2 * N_CLIENTS) for row in told.outcomes)


def test_everyone_is_compared_with_it(evaluation):
    rows = evaluation.planner.differences
    assert {row.reference for row in rows} == {"planner"}
    assert {row.therapist for row in rows} == {"complementary", "mine"}
    success = [r for r in rows if r.therapist == "complementary" and r.metric == "success"]
    assert all(row.difference.estimate == 0 for row in success)
    assert {row.therapist for row in evaluation.outcomes} == {"complementary", "mine"}


def test_it_survives_its_file(evaluation, tmp_path):
    csv_files.write(evaluation, tmp_path)
    read = read_evaluation(tmp_path / "evaluation.json")
    assert csv_files.to_json(read) == csv_files.to_json(evaluation)


def read_again(evaluation, folder, change):
    """The evaluation from a file that was changed."""
    content = csv_files.plain(evaluation)
    change(content)
    (folder / "evaluation.json").write_text(json.dumps(content))
    return read_evaluation(folder / "evaluation.json")


def test_files_from_before_there_was_a_planner_are_read(evaluation, tmp_path):
    def older(content):
        del content["planner"]
        for each in content["therapists"]:
            del each["answers"]

    assert read_again(evaluation, tmp_path, older).planner is None


def test_damage_is_told(evaluation, tmp_path):
    def without_rows(content):
        planner = content["planner"]
        rows = planner["outcomes"]
        planner["outcomes"] = [r for r in rows if r["therapist"] != "complementary"]

    def without_seconds(content):
        del content["planner"]["seconds"]

    with pytest.raises(RunError, match="planner lacks 'complementary'"):
        read_again(evaluation, tmp_path, without_rows)
    with pytest.raises(RunError, match="seconds"):
        read_again(evaluation, tmp_path, without_seconds)


def test_the_headroom_is_a_table(evaluation):
    """Those who were trained or given, then yardsticks, then the planner."""
    table = headroom(evaluation)
    assert [row[:2] for row in table.rows] == [
        ["mine", ""],
        ["complementary", "the act"],
        ["planner", "the client, and simulates"],
    ]
    assert table.texts[-1][2] == "" != table.texts[-1][3]
    assert f"first {N_CLIENTS} clients" in table.note


def test_without_the_planner_there_is_headroom_beside_a_tried_therapist(evaluation):
    alone = replace(evaluation, planner=None)
    table = headroom(alone)
    assert table.headings == ["therapist", "knows", "success"] and not table.note
    baselines = [replace(each, kind="baseline") for each in alone.therapists]
    assert headroom(replace(alone, therapists=baselines)) is None
    baselines[1] = replace(baselines[1], answers="fixed_map:S,WS,W,WD,D,CD,C,CS")
    told = headroom(replace(alone, therapists=baselines))
    assert [row[:2] for row in told.rows][1] == ["mine", "the act"]
