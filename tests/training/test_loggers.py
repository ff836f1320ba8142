"""Who is told of a training: dashboards, clusters, notebooks, whoever reads its log meanwhile."""

import csv
import importlib
import io
import json
import sys
import threading
import types

import pytest
from rich.console import Console

from jaxtherapy.config import load_config
from jaxtherapy.storage.progress_log import COLUMNS, ProgressLog
from jaxtherapy.storage.run_files import RunFiles
from jaxtherapy.training.loggers import LOGGERS, Row, Run
from tests.training import tiny

STEPS = [80, 160, 240, 320, 400]
PACKAGE = "jaxtherapy.training.loggers"


def evaluation(step, seeds=(42,)):
    row = Row(
        dict.fromkeys(COLUMNS, 0.5) | {"step": step, "test_sessions_to_success": float("nan")}
    )
    row.by_seed, row.is_best, row.time_left = {seed: dict(row) for seed in seeds}, True, 1.0
    row["learning_rate"] = 0.25
    return row


@pytest.fixture
def of_run(folder):
    def make(**changes):
        config = load_config(None, tiny.TINY | changes)
        return Run(config, None, Console(file=io.StringIO()), lambda job: job())

    return make


# --- TensorBoard ----------------------------------------------------------------------------


def written(folder, what=lambda event, value: event.step):
    """{tag: steps} of all event files as they are: nothing that was taken back is left out."""
    loader = importlib.import_module("tensorboard.backend.event_processing.event_file_loader")
    found = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for event in loader.EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                found.setdefault(value.tag, []).append(what(event, value))
    return found


def test_a_resumed_run_doubles_no_step_in_tensorboard(undisturbed, folder):
    tensorboard = importlib.import_module(f"{PACKAGE}.tensorboard")
    tiny.cut_off_at_224(undisturbed, folder)
    events = folder / "logs/tiny/tensorboard/tiny"
    stale = [dict(evaluation(step)) for step in (80, 160, 240, 999)]
    tensorboard.Events.create(events, {"gamma": 0.9}, stale)
    assert written(events)["charts/SPS"] == [80, 160, 240, 999]
    assert tiny.train(folder, "--resume", "--loggers", "tensorboard") == 0
    found = written(events)
    for tag in ("charts/SPS", "eval/episodic_return", "losses/policy_loss", "charts/learning_rate"):
        assert found[tag] == STEPS
    assert found["hyperparameters/text_summary"] == [0]
    assert "_hparams_/session_start_info" in found
    assert tiny.results(folder) == tiny.results(undisturbed)


def test_each_seed_has_its_events_and_what_is_no_number_is_left_out(of_run, folder):
    LOGGERS["tensorboard"](of_run(n_seeds=2)).log(80, evaluation(80, seeds=(42, 43)))
    for seed in (42, 43):
        found = written(folder / f"logs/tiny/tensorboard/tiny_seed{seed}")
        assert found["eval/success_rate"] == [80] and "eval/sessions_to_success" not in found


def test_the_learning_rate_is_the_one_in_force(folder):
    config = load_config(None, tiny.TINY | {"learning_rate": {"linear": [1.0, 0.0]}})
    files = RunFiles.of(config)
    files.create()
    log = ProgressLog(files.csv(42))
    log.create()
    for step in (80, 160, 240):
        log.append(evaluation(step) | {"epoch": step // 16})
    run = Run(config, files, Console(file=io.StringIO()), lambda job: job())
    logger = LOGGERS["tensorboard"](run)
    for step in (240, 320):
        logger.log(step, evaluation(step))
    found = written(files.events(42), lambda _, value: sum(value.tensor.float_val))
    assert found["charts/learning_rate"] == pytest.approx([0.8, 0.6, 0.25, 0.25])


@pytest.mark.parametrize(
    ("name", "lacks", "told"),
    [
        ("tensorboard", "tensorboardX", "pip install 'jaxtherapy[tensorboard]'"),
        ("wandb", "wandb", "pip install 'jaxtherapy[wandb]'"),
    ],
)
def test_a_missing_extra_is_told_before_anything_begins(
    folder, monkeypatch, capsys, name, lacks, told
):
    monkeypatch.setitem(sys.modules, lacks, None)
    monkeypatch.delitem(sys.modules, f"{PACKAGE}.{name}", raising=False)
    assert tiny.train(folder, "--loggers", name) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"error: the logger {name} needs {lacks}: {told}\n")
    assert [path.name for path in folder.iterdir()] == ["tiny.yaml"]


# --- Weights & Biases -----------------------------------------------------------------------


class Wandb(types.ModuleType):
    """Stands in for the package: an account is needed for more."""

    Error = type("Error", (Exception,), {})

    def __init__(self):
        super().__init__("wandb")
        self.runs = []

    def init(self, **options):
        told = types.SimpleNamespace(options=options, rows=[], summary={}, finished=0)
        told.log = lambda row, step: told.rows.append((step, row))
        told.finish = lambda: setattr(told, "finished", told.finished + 1)
        self.runs.append(told)
        return told


@pytest.fixture
def wandb(monkeypatch):
    stand_in = Wandb()
    monkeypatch.setitem(sys.modules, "wandb", stand_in)
    monkeypatch.delitem(sys.modules, f"{PACKAGE}.wandb", raising=False)
    yield stand_in
    sys.modules.pop(f"{PACKAGE}.wandb", None)


def test_a_group_of_seeds_is_a_run_at_wandb(wandb, of_run):
    logger = LOGGERS["wandb"](of_run(n_seeds=4, seeds_at_once=2))
    for seeds in ((42, 43), (44, 45)):
        for step in (80, 160):
            logger.log(step, evaluation(step, seeds))
    logger.close()
    one, other = wandb.runs
    assert [step for step, _ in one.rows] == [step for step, _ in other.rows] == [80, 160]
    assert one.rows[0][1]["losses/policy_loss"] == 0.5 and one.finished == other.finished == 1
    assert one.options["config"]["threshold"] == 0.6 and one.options["resume"] == "allow"
    assert one.options["id"] != other.options["id"] and not one.options["settings"]["silent"]
    LOGGERS["wandb"](of_run(quiet=True))
    assert wandb.runs[-1].options["settings"]["silent"]


def test_an_experiment_keeps_its_run_at_wandb(wandb, folder):
    assert tiny.train(folder, loggers=["wandb"], total_timesteps=80) == 0
    assert tiny.train(folder, "--resume", loggers=["wandb"], total_timesteps=96) == 0
    one, other = wandb.runs
    assert one.options["id"] == other.options["id"]
    assert [step for step, _ in one.rows] == [80] and [step for step, _ in other.rows] == [96]
    assert "final/random" in one.summary
    kept = folder / "models/tiny/wandb_id.txt"
    assert tiny.train(folder, "--overwrite", loggers=["wandb"], total_timesteps=80) == 0
    assert wandb.runs[2].options["id"] != one.options["id"]
    assert wandb.runs[2].options["id"] == f"{kept.read_text().strip()}-42"
    assert tiny.train(folder, "--overwrite", total_timesteps=80) == 0
    assert not kept.exists()


# --- what is printed ------------------------------------------------------------------------


def test_for_clusters_everything_is_json_errors_too(folder, capsys):
    assert tiny.train(folder, "--log-format", "json", "--total-timesteps", "80") == 0
    out, err = capsys.readouterr()
    told = [json.loads(line, parse_constant=pytest.fail) for line in out.splitlines()]
    events = [each["event"] for each in told]
    assert events[0] == "message" and events[-1] == "end" and err == ""
    (row,) = (each for each in told if each["event"] == "evaluation")
    assert {*COLUMNS} <= {*row} and row["step"] == 80
    assert told[-1]["status"] == "finished" and told[-1]["comparison"]["success_rate"]
    assert tiny.train(folder, "--log-format=json") == 2
    out, err = capsys.readouterr()
    assert json.loads(out)["event"] == "error"
    assert err == f"error: {json.loads(out)['message']}\n"


def test_the_log_can_be_read_while_a_quiet_training_runs(folder, capsys):
    path, done, seen = folder / "logs/tiny/tiny_progress.csv", threading.Event(), set()

    def read():
        while not done.is_set():
            if path.exists():
                with open(path, newline="") as file:
                    rows = list(csv.DictReader(file))
                seen.add(len(rows))
                assert all(None not in row.values() and None not in row for row in rows)
                assert [int(float(row["step"])) for row in rows] == STEPS[: len(rows)]
        seen.add("read to the end")

    thread = threading.Thread(target=read)
    thread.start()
    try:
        assert tiny.train(folder, "--quiet") == 0
    finally:
        done.set()
        thread.join()
    assert {"read to the end", 0} < seen
    assert capsys.readouterr() == ("", "")


def test_a_curve_grows_in_a_notebook(of_run, monkeypatch):
    notebook = importlib.import_module(f"{PACKAGE}.notebook")
    shown = []

    def display(picture, display_id):
        shown.append(picture)
        return types.SimpleNamespace(update=shown.append)

    monkeypatch.setattr(notebook.display, "display", display)
    monkeypatch.setattr(notebook, "curves_as_png", lambda rows, title: bytes([len(rows[42])]))
    logger = notebook.NotebookLogger(of_run())
    logger.log(80, evaluation(80))
    logger.log(160, evaluation(160))  # too soon for another picture
    logger.end(None)
    logger.end(None)
    assert [each.data for each in shown] == [b"\1", b"\2"]
