"""``python -m jaxtherapy.sweep``, from a file to a report."""

import csv
import shutil
from types import SimpleNamespace

import pytest
import yaml

from jaxtherapy.cli.report import main as draw
from jaxtherapy.cli.sweep import _Shown, main
from jaxtherapy.studies.runner import run_sweep

SMALL = {
    "name": "small",
    "settings": {"patterns": ["cold_warm"], "max_sessions": 13, "entropy": 0.2},
    "vary": {"threshold": [0.4, 0.55], "mechanism": ["frequency_amplifier", "bond_only"]},
    "therapists": ["complementary", "random"],
    "fit_map": 169,
    "clients": 9,
    "seeds": 2,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder in which a sweep was made."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "small.yaml").write_text(yaml.safe_dump(SMALL))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["--config", "small.yaml"]) == 0
    return folder


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    """A copy of it, as the current directory."""
    shutil.copytree(made, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


def table(folder):
    """Rows without what is another every time."""
    with open(folder / "sweeps/small/runs.csv") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        del row["seconds"], row["search_seconds"]
    return sorted(rows, key=lambda row: (row["seed"], int(row["point"]), row["therapist"]))


def test_there_is_a_row_for_each_point_seed_and_therapist(made):
    rows = table(made)
    keys = {(row["point"], row["seed"], row["therapist"]) for row in rows}
    assert len(rows) == len(keys) == 4 * 2 * 3
    assert {row["therapist"] for row in rows} == {"complementary", "random", "fixed_map"}
    assert {row["mechanism"] for row in rows} == {*SMALL["vary"]["mechanism"]}
    assert all(row["clients"] == "9" for row in rows)
    maps = {row["map"] for row in rows if row["therapist"] == "fixed_map"}
    assert all(name.startswith("fixed_map:") for name in maps)
    assert {row["map"] for row in rows if row["therapist"] != "fixed_map"} == {""}


def test_the_report_shows_maps_curves_and_tables(made):
    folder = made / "sweeps/small"
    html = (folder / "report.html").read_text()
    for part in ("Success of random minus complementary", "Along each axis", "Ranking of points"):
        assert part in html
    # One pair of axes for each of two, and curves of success and differences along two axes.
    assert html.count("<svg") == 2 + 2 * 2
    assert (folder / "figures/difference_fixed_map.png").stat().st_size > 1000


def test_a_sweep_that_is_there_is_refused_and_another_is_not_resumed(here, capsys):
    assert main(["--config", "small.yaml"]) == 2
    assert "continue it with --resume, replace it with --overwrite" in capsys.readouterr().err
    (here / "small.yaml").write_text(yaml.safe_dump(SMALL | {"clients": 10}))
    assert main(["--config", "small.yaml", "--resume"]) == 2
    assert "has another clients" in capsys.readouterr().err
    assert main(["--config", "small.yaml", "--resume", "--output-dir", "none"]) == 2
    assert "no sweep in none" in capsys.readouterr().err


def test_overwriting_removes_what_is_ours_alone(here, monkeypatch):
    folder = here / "sweeps/small"
    (folder / "notes.txt").write_text("mine")
    (folder / "figures/curves_mine.txt").write_text("mine")
    (folder / "figures/curves_old.svg").write_text("of an earlier one")
    monkeypatch.setattr("jaxtherapy.studies.runner.run_sweep", lambda *arguments: None)
    monkeypatch.setattr("jaxtherapy.studies.report.write_report", lambda *arguments: folder)
    assert main(["--config", "small.yaml", "--overwrite"]) == 0
    left = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    ours = {"config.yaml", "run.json", "runs.csv", "runs.parquet"}
    assert left - {".lock"} == ours | {"notes.txt", "figures/curves_mine.txt"}
    assert len((folder / "runs.csv").read_text().splitlines()) == 1


def test_files_of_others_are_never_replaced(here, capsys):
    (here / "sweeps/small/run.json").write_text("{}")
    for flag in ([], ["--overwrite"]):
        assert main(["--config", "small.yaml", *flag]) == 2
        assert "no sweep in sweeps/small says it wrote it" in capsys.readouterr().err


def test_an_interruption_keeps_what_is_done_and_says_how_to_go_on(here, capsys, monkeypatch):
    expected = table(here)

    def interrupted(sweep, kind, table, advance, under_way):
        def stop(rows):
            raise KeyboardInterrupt

        run_sweep(sweep, kind, table, stop)

    monkeypatch.setattr("jaxtherapy.studies.runner.run_sweep", interrupted)
    assert main(["--config", "small.yaml", "--overwrite"]) == 130
    told = capsys.readouterr().err
    assert "go on with: python -m jaxtherapy.sweep --config small.yaml --resume" in told
    assert 0 < len(table(here)) < len(expected)
    monkeypatch.undo()
    monkeypatch.chdir(here)
    assert main(["--config", "small.yaml", "--resume"]) == 0
    assert table(here) == expected


def test_a_dry_run_tells_and_writes_nothing(here, capsys):
    shutil.rmtree(here / "sweeps")
    (here / "small.yaml").write_text(yaml.safe_dump(SMALL | {"fit_map": None, "seeds": 1}))
    assert main(["--config", "small.yaml", "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "in 2 programs" in told and "program 2: 2 runs" in told and "memory" in told
    assert not (here / "sweeps").exists()


def test_the_report_is_drawn_again_also_of_runs_so_far(here, capsys):
    folder = here / "sweeps/small"
    (folder / "report.html").unlink()
    assert draw(["sweeps/small"]) == 0
    assert "so far" not in (folder / "report.html").read_text()
    lines = (folder / "runs.csv").read_bytes().splitlines(keepends=True)
    (folder / "runs.csv").write_bytes(b"".join(lines[:7]) + b"0,4")  # under way
    assert draw(["sweeps/small"]) == 0
    assert "so far 2 of 8 runs" in (folder / "report.html").read_text()
    assert (folder / "runs.csv").read_bytes().endswith(b"\n0,4")
    (folder / "runs.csv").write_bytes(lines[0])
    assert draw(["sweeps/small"]) == 2
    assert "no run of sweeps/small is done yet" in capsys.readouterr().err


def test_whoever_interrupts_the_drawing_is_told_how_to_draw(here, capsys, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("jaxtherapy.studies.report.write_report", interrupted)
    assert main(["--config", "small.yaml", "--resume"]) == 130
    assert (
        "draw the report with python -m jaxtherapy.report sweeps/small" in capsys.readouterr().err
    )


def test_a_map_that_is_none_is_refused_in_a_line(here, capsys):
    (here / "small.yaml").write_text(yaml.safe_dump(SMALL | {"therapists": ["fixed_map:D"]}))
    assert main(["--config", "small.yaml", "--dry-run"]) == 2
    assert "'fixed_map:D' is no baseline" in capsys.readouterr().err


@pytest.mark.parametrize(("train", "best"), [(True, "trained +10.0"), (False, "fixed_map +30.0")])
def test_the_best_so_far_of_trainings_is_a_trained_one(train, best):
    told = []
    sweep = SimpleNamespace(axes=[SimpleNamespace(name="gamma")], train=train)
    kind = SimpleNamespace(therapists=["complementary", "trained", "fixed_map"])
    progress = SimpleNamespace(advance=lambda done, text: told.append(text))
    differences = {"complementary": None, "trained": 0.1, "fixed_map": 0.3}
    rows = [
        {"therapist": name, "difference": each, "gamma": 0.9} for name, each in differences.items()
    ]
    _Shown(sweep, kind, progress).measured(rows)
    assert f"best so far: {best} pp at gamma 0.9" in told[-1]
