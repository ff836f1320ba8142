"""The summary of several seeds: CSV, picture and table."""

import csv
import io

import numpy as np
import pytest
from rich.console import Console

from jaxtherapy.storage.progress_log import COLUMNS, ProgressLog
from jaxtherapy.training.seed_summary import (
    SUMMARY_COLUMNS,
    seeds_table,
    write_summary,
)


def rows_of(rewards):
    """{seed: log rows} from {seed: [reward of each evaluation]}; the rest follows from these."""
    return {
        seed: [
            {
                "epoch": i + 1,
                "step": (i + 1) * 102_400,
                "test_reward_mean": float(reward),
                "test_success_rate": (reward + 10) / 300,
                "test_dropout_rate": 0.1 - reward / 3_000,
                "test_length_mean": 90 - reward / 5,
            }
            for i, reward in enumerate(of_seed)
        ]
        for seed, of_seed in rewards.items()
    }


def learning(n_seeds, n_evaluations=20):
    generator = np.random.default_rng(0)
    ramp = np.linspace(0, 200, n_evaluations)
    return rows_of({41 + k: ramp * generator.uniform(0.5, 1.2) for k in range(n_seeds)})


FIVE = {41: [0, 80], 42: [10, 200], 43: [20, 120], 44: [90, 160], 45: [30, 140]}


def text_of(table, **settings):
    stream = io.StringIO()
    Console(file=stream, width=120, **settings).print(table)
    return stream.getvalue()


# --- CSV ------------------------------------------------------------------------------------


def test_the_csv_has_every_statistic_of_every_metric(tmp_path):
    write_summary(rows_of(FIVE), tmp_path / "s.csv")
    with open(tmp_path / "s.csv", newline="") as file:
        reader = csv.DictReader(file)
        first, last = reader
    assert tuple(reader.fieldnames) == SUMMARY_COLUMNS
    assert SUMMARY_COLUMNS[:6] == (
        *("epoch", "step", "n_seeds"),
        *("test_reward_mean", "test_reward_std", "test_reward_median"),
    )
    assert len(SUMMARY_COLUMNS) == 3 + 4 * 6
    assert [(row["epoch"], row["step"], row["n_seeds"]) for row in (first, last)] == [
        ("1", "102400", "5"),
        ("2", "204800", "5"),
    ]
    assert [float(first[f"test_reward_{x}"]) for x in ("mean", "median", "iqm")] == [30, 20, 20]
    assert float(last["test_reward_std"]) == pytest.approx(np.std([80, 200, 120, 160, 140], ddof=1))
    assert float(last["test_success_rate_mean"]) == pytest.approx(0.5)
    assert float(last["test_dropout_rate_iqm"]) == pytest.approx(0.1 - 140 / 3_000)
    assert float(last["test_length_median"]) == 62
    for metric in ("test_reward", "test_success_rate", "test_dropout_rate", "test_length"):
        low, iqm, high = (float(last[f"{metric}_{x}"]) for x in ("iqm_low", "iqm", "iqm_high"))
        assert low < iqm < high


def test_the_same_rows_give_the_same_bytes(tmp_path):
    for name in ("a.csv", "b.csv"):
        write_summary(learning(5), tmp_path / name)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"a.csv", "b.csv"}


def test_a_single_seed_has_no_spread(tmp_path):
    write_summary(rows_of({7: [5]}), tmp_path / "s.csv")
    [row] = csv.DictReader(io.StringIO((tmp_path / "s.csv").read_text()))
    assert (row["n_seeds"], row["test_reward_mean"], row["test_reward_iqm"]) == ("1", "5", "5")
    for statistic in ("std", "iqm_low", "iqm_high"):
        assert row[f"test_reward_{statistic}"] == "nan"


def test_before_the_first_evaluation_there_is_the_header_alone(tmp_path):
    rows = {1: [], 2: []}
    write_summary(rows, tmp_path / "s.csv")
    assert (tmp_path / "s.csv").read_text() == ",".join(SUMMARY_COLUMNS) + "\n"
    assert "best" not in text_of(seeds_table(rows))


def test_logs_that_do_not_match_are_refused(tmp_path):
    for rows in ({}, rows_of({1: [0], 2: [0, 1]})):
        with pytest.raises(ValueError, match="seed"):
            write_summary(rows, tmp_path / "s.csv")


def test_a_log_is_read_back(tmp_path):
    log = ProgressLog(tmp_path / "log.csv")
    log.create()
    assert log.numbers() == []
    row = dict.fromkeys(COLUMNS, 0.5) | {"epoch": 3, "step": 300}
    log.append(row)
    assert log.numbers() == [row]
    with open(log.path, "a") as file:
        file.write("4,4")  # a row being written
    assert log.numbers() == [row]


# --- table ----------------------------------------------------------------------------------


@pytest.mark.parametrize("markup", [True, False])
def test_the_table_names_best_median_and_worst(markup):
    lines = text_of(seeds_table(rows_of(FIVE)), markup=markup).splitlines()
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if "│" in line]
    assert cells[:3] == [
        ["best", "42", "200.0", "70.0%", "3.3%", "50.0"],
        ["median", "45", "140.0", "50.0%", "5.3%", "62.0"],
        ["worst", "41", "80.0", "30.0%", "7.3%", "74.0"],
    ]
    assert cells[3] == ["IQM", "all", "140.0", "50.0%", "5.3%", "62.0"]
    assert cells[4][0] == "[95 % interval]"
    low, high = cells[4][2].strip("[]").split(", ")
    assert 80 <= float(low) < 140 < float(high) <= 200
    assert all(cell.startswith("[") and cell.endswith("]") for cell in cells[4][2:])
    assert "5 seeds" in lines[0]


@pytest.mark.parametrize("n_seeds", [1, 2, 4])
def test_the_table_of_few_seeds_has_no_interval(n_seeds):
    text = text_of(seeds_table(rows_of({seed: [50 + seed] for seed in range(n_seeds)})))
    assert "interval" not in text and "nan" not in text
    assert ("1 seed " if n_seeds == 1 else f"{n_seeds} seeds") in text
