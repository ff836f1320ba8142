"""Results resume, know when they are stale, and are what the document says."""

import dataclasses
import json
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from jaxtherapy.client.baselines import BASELINES
from jaxtherapy.errors import RunError
from jaxtherapy.evaluation.evaluation import compare_therapists
from jaxtherapy.storage import files, run_info
from results import command, tables
from results import measure as measuring
from results.rows import CELLS, ROWS, Baseline, Planned, Row, Trained
from results.store import Record, Store, packed, state

CLIENTS = {"patterns": ["cold_stuck"], "threshold": 0.6, "max_sessions": 30}
ROW = Row("some/place/complementary", CLIENTS, Baseline("complementary"), 1, therapies=60)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def record_of(row, share=0.5, **more):
    success = np.arange(row.therapies) < share * row.therapies
    return Record(row.definition(), row.therapies, packed(success), **more)


def measured(row, begun=None):
    return list(measuring.measure(row, begun))


# --- measuring ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole():
    return measured(ROW)[-1]


def test_a_row_is_what_an_evaluation_finds(whole):
    told = compare_therapists(
        ["complementary"], measuring.jt.client_params(ROW.client_settings()), 60
    )
    metrics = told.overall["complementary"]
    assert whole.successes.mean() == pytest.approx(metrics["success"].estimate)
    assert 0 < whole.successes.sum() < 60
    assert whole.totals["sessions"] / 60 == pytest.approx(metrics["sessions"].estimate)
    assert whole.totals["reward"] / 60 == pytest.approx(metrics["reward"].estimate, rel=1e-4)
    assert whole.totals["dropouts"] / 60 == pytest.approx(metrics["dropout"].estimate)


def test_a_row_that_was_begun_goes_on_with_the_clients_that_are_missing(whole):
    row = dataclasses.replace(ROW, therapies=23)
    begun = measured(row)[-1]
    assert state(ROW, begun) == "begun"
    gone_on = measured(ROW, begun)[-1]
    assert gone_on.success == whole.success
    assert gone_on.totals == pytest.approx(whole.totals)
    assert gone_on.seconds > begun.seconds


def test_a_planner_is_written_chunk_by_chunk(monkeypatch, whole):
    monkeypatch.setattr(measuring, "CHUNK", 25)
    stand_in = SimpleNamespace(therapist=lambda: BASELINES["complementary"])
    monkeypatch.setattr(measuring.jt, "Planner", lambda **settings: stand_in)
    records = measured(dataclasses.replace(ROW, source=Planned()))
    assert [each.therapies for each in records] == [25, 50, 60]
    assert records[-1].success == whole.success


class Training:
    """Stands for a trainer: takes a moment, and leaves what one leaves."""

    begun: ClassVar[list] = []
    status = "finished"

    def __init__(self, config):
        self.config, self.folder = config, config.output_path

    def run(self):
        if run_info.read(self.folder / "run.json").get("status") != "finished":
            self.folder.mkdir(exist_ok=True)
            run_info.write(self.folder / "run.json", {"status": self.status})
            self.begun.append(self.config)
            time.sleep(0.2)
        return self

    def weights(self, which):
        return which


@pytest.fixture
def training(monkeypatch, tmp_path):
    monkeypatch.setattr(Training, "begun", [])
    monkeypatch.setattr(measuring, "RUNS", tmp_path)
    monkeypatch.setattr(measuring.jt, "Trainer", Training)
    return Training


def test_a_training_is_kept_and_its_seconds_are_counted_once(training):
    first, again = (measuring.train(_trained({"gamma": 0.5})) for _ in range(2))
    assert first.training_seconds == again.training_seconds > 0
    assert first.weights == "best"
    (config,) = training.begun
    assert (config.seed, config.gamma, config.resume) == (3, 0.5, "auto")
    measuring.train(_trained({"gamma": 0.6}))
    assert training.begun[1].output_path != config.output_path


def test_an_interrupted_training_ends_the_command_and_its_seconds_add_up(training, monkeypatch):
    monkeypatch.setattr(training, "status", "interrupted")
    with pytest.raises(KeyboardInterrupt):
        measuring.train(_trained({}))
    monkeypatch.setattr(training, "status", "finished")
    assert measuring.train(_trained({})).training_seconds >= 0.4


def _trained(changes):
    return Trained("configs/first_steps.yaml", 3, changes)


# --- the store ------------------------------------------------------------------------------


def test_a_row_is_read_as_it_was_written(store):
    record = record_of(ROW, totals={"reward": 1.5}, about={"map": "ü"})
    store.write(ROW, record)
    other = dataclasses.replace(ROW, id="some/place/other")
    store.write(other, record_of(other))
    assert store.records()[ROW.id] == record
    assert store.records()[ROW.id].successes.sum() == 30
    assert [*store.records()] == ["some/place/complementary", "some/place/other"]


def test_an_interrupted_write_leaves_the_file_valid(store, monkeypatch):
    store.write(ROW, record_of(ROW))

    def interrupted(*paths):
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.write(ROW, record_of(ROW, 0.9))
    assert json.loads((store.folder / "some.json").read_text())
    assert store.records() == {ROW.id: record_of(ROW)}


DAMAGED = ['{"some/place', "[]", '{"some/place": {"odd": 1}}', '{"some/place": 3}', "<<<<<<< HEAD"]


@pytest.mark.parametrize("contents", DAMAGED)
def test_a_damaged_file_is_named(store, contents):
    (store.folder / "some.json").write_text(contents)
    with pytest.raises(RunError, match=r"some\.json is damaged .*; mend it, or move it away"):
        store.records()
    with pytest.raises(RunError, match="json is damaged"):
        store.write(ROW, record_of(ROW))
    assert (store.folder / "some.json").read_text() == contents


CHANGED = {
    "clients": {"clients": {**CLIENTS, "threshold": 0.7}},
    "default of a client": {"clients": {**CLIENTS, "smoothing": 0.2}},
    "therapist": {"source": Baseline("random")},
    "training": {"source": _trained({"gamma": 0.5})},
}


@pytest.mark.parametrize("change", CHANGED.values(), ids=CHANGED)
def test_a_changed_definition_is_stale(change):
    assert state(ROW, record_of(ROW)) == "done"
    assert state(dataclasses.replace(ROW, **change), record_of(ROW)) == "stale"


def test_what_is_said_otherwise_is_no_change():
    """A default is a default, said or not."""
    same = dataclasses.replace(ROW, clients={**CLIENTS, "smoothing": 0.1}, seconds=5)
    assert state(same, record_of(ROW)) == "done"
    moved = dataclasses.replace(ROW, source=_trained({"output_dir": "elsewhere"}))
    assert moved.definition() == dataclasses.replace(ROW, source=_trained({})).definition()


def test_more_therapies_of_the_same_are_added():
    assert state(dataclasses.replace(ROW, therapies=100), record_of(ROW)) == "begun"


# --- the command ----------------------------------------------------------------------------


@pytest.fixture
def rows(monkeypatch, store):
    """Two rows, of which one is done; the names of those that are measured."""
    other = dataclasses.replace(ROW, id="some/place/random", source=Baseline("random"))
    monkeypatch.setattr(command, "ROWS", {row.id: row for row in (ROW, other)})
    monkeypatch.setattr(command, "Store", lambda: store)
    monkeypatch.setattr(command.tables, "write", lambda records: False)
    store.write(ROW, record_of(ROW))
    told = []

    def measure(row, begun):
        told.append(row.id)
        yield record_of(row)

    monkeypatch.setattr(command, "measure", measure)
    return told


def test_what_is_done_is_skipped(rows, store):
    assert command.main([]) == 0
    assert rows == ["some/place/random"]
    assert command.main([]) == 0
    assert rows == ["some/place/random"]


def test_what_is_stale_is_measured_again(rows, store):
    stale = dataclasses.replace(record_of(ROW), definition="another")
    store.write(ROW, stale)
    command.main(["--only", "some/place/complementary"])
    assert rows == [ROW.id]
    assert store.records()[ROW.id] == record_of(ROW)


def test_tables_of_stale_rows_say_so(rows, store, capsys):
    store.write(ROW, dataclasses.replace(record_of(ROW), definition="another"))
    assert command.main(["--table"]) == 0
    assert f"1 rows of the tables are stale, {ROW.id} the first" in capsys.readouterr().out


def test_what_is_asked_for_wrongly_is_one_line(rows, store, capsys):
    assert command.main(["--only", "nothing"]) == 2
    (store.folder / "some.json").write_text("")
    assert command.main(["--list"]) == 2
    assert [line[:7] for line in capsys.readouterr().err.splitlines()] == ["error: "] * 2


def test_an_interruption_keeps_what_was_measured(rows, store, monkeypatch, capsys):
    def measure(row, begun):
        yield dataclasses.replace(record_of(row), therapies=8)
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "measure", measure)
    assert command.main([]) == 130
    assert store.records()["some/place/random"].therapies == 8
    assert "goes on from here" in capsys.readouterr().err


def test_the_list_says_what_there_is(rows, capsys):
    assert command.main(["--list"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in told[:2]] == ["done", "missing"]
    assert not rows


def test_a_reader_may_leave():
    listing = f"{sys.executable} -m results --list | head -n 1"
    ended = subprocess.run(listing, shell=True, capture_output=True, text=True, timeout=120)
    assert ended.stdout.endswith("\n") and not ended.stderr


def test_the_planner_has_to_be_asked_for():
    every = command.chosen(command.parser().parse_args([]))
    asked = command.chosen(command.parser().parse_args(["--planner", "--only", "cells"]))
    assert not any(isinstance(row.source, Planned) for row in every)
    assert sum(isinstance(row.source, Planned) for row in asked) == len(CELLS)


# --- the tables -----------------------------------------------------------------------------


def test_the_document_is_made_from_the_data():
    text = tables.DOCUMENT.read_text(encoding="utf-8")
    assert tables.rendered(text, Store().records()) == text, "run `make results ARGS=--table`"


def test_every_table_is_in_the_document():
    found = [name for _, name, _ in tables.BLOCK.findall(tables.DOCUMENT.read_text())]
    assert sorted(found) == sorted(tables.TABLES)


def test_tables_can_be_made_of_nothing():
    assert all(make({}).startswith("| ") for make in tables.TABLES.values())


@pytest.mark.parametrize("place", ["strategic/0.9", "rl_vs_complementary"])
def test_tables_show_every_therapist_and_seed_that_is_there(place):
    rows = [row for row in ROWS.values() if row.id.startswith(f"{place}/") and not row.course]
    records = {row.id: Record("", 8, packed(np.ones(8, bool)), _totals()) for row in rows}
    table = place.replace("/", " ")
    told = tables.TABLES[table](records)
    assert {row.name.rpartition("/")[2] for row in rows} == {
        line.split(" | ")[0].removeprefix("| ") for line in told.splitlines()[2:]
    }
    assert ("8 × 5 seeds" in told) == (place == "strategic/0.9")


def _totals():
    return {"dropouts": 0, "sessions": 8, "sessions_of_successes": 8, "reward": 1}


def test_the_median_seed_is_the_middle_one():
    seeds = [record_of(ROW, share) for share in (0.1, 0.2, 0.9)]
    assert tables.median(seeds) is seeds[1]
    assert tables.success(seeds) == "**20.0%** (10.0% to 90.0%)"


def test_the_interval_of_a_difference_holds_it_as_often_as_it_says():
    """1,000 samples of 400 pairs, of which 0.3 differ: at least 930 hold the true 0.1."""
    key = np.random.default_rng(0)
    kind = key.choice(4, (1_000, 400), p=[0.2, 0.1, 0.4, 0.3])
    gaps = [tables.gap((each == 0) | (each == 2), (each == 1) | (each == 2)) for each in kind]
    assert 930 <= sum(gap.low <= 0.1 <= gap.high for gap in gaps) <= 970


def test_a_difference_is_over_the_clients_of_both():
    ours, theirs = np.array([True, True]), np.array([False, True, True, True])
    assert tables.gap(ours, theirs).estimate == 0.5
