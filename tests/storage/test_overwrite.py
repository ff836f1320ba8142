"""``--overwrite`` removes what an experiment's own record names, after a look at all of it."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from jaxtherapy.config import dump_config, load_config
from jaxtherapy.errors import RunError
from jaxtherapy.storage import overwrite
from jaxtherapy.storage.run_files import RunFiles
from tests.training import tiny


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(folder, capsys, *flags, **changes):
    """The line that a run ends in, which has changed nothing."""
    before = contents(folder)
    assert tiny.train(folder, *flags, **changes) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    kept = {path: data for path, data in contents(folder).items() if path.name[0] != "."}
    assert kept == {path: data for path, data in before.items() if path.name[0] != "."} | {
        folder / "tiny.yaml": (folder / "tiny.yaml").read_bytes()
    }
    return error


def test_what_a_record_names_goes_and_nothing_else(tmp_path):
    config = load_config(
        None, {"output_dir": str(tmp_path), "log_dir": str(tmp_path), "n_seeds": 2, "seed": 3}
    )
    files = RunFiles.of(config)
    files.create()
    ours = ["seed_3/policy_best.pth", "seed_4/checkpoint_5.pth", "started_from.txt"]
    ours += ["seed_3/policy_final.pth", "therapy_ppo_seed3_progress.csv", "therapy_ppo_summary.csv"]
    ours += ["seed_4/later_than_5/checkpoint_9.pth", "checkpoints/seeds_3_3/5/about/metadata"]
    ours += ["checkpoints/7/state/x", "checkpoints/7/about/metadata", "wandb_id.txt"]
    ours += ["tensorboard/therapy_ppo_seed3/events.out.tfevents.1.here"]
    theirs = ["notes.txt", "seed_3/plot.png", "weights.pth", "policy_mine.pth", "seed_x/a.txt"]
    theirs += ["seed_3/checkpoint_5_mine.pth", "seed_3/checkpoint_x.pth"]
    theirs += ["seed_3/policy_of_mine.pth", "seed_best/policy_best.pth", "seed_best/x.pth"]
    theirs += ["tensorboard/therapy_ppo_seed5/events.out.tfevents.1.here"]
    theirs += ["seed_7/policy_best.pth", "policy_best.pth"]  # seeds that it has not
    theirs += ["checkpoints/epoch_1.ckpt", "checkpoints/tensorboard/5/x"]
    # Of other experiments that log to the same folder.
    theirs += ["therapy_ppo_seedling_progress.csv", "therapy_ppo_seed_progress.csv"]
    theirs += ["therapy_ppo_seed3_b_progress.csv", "a_therapy_ppo_seed3_progress.csv"]
    theirs += ["therapy_ppo_seed3_x_seed4_progress.csv", "therapy_ppo2_progress.csv"]
    theirs += ["therapy_ppo_seed5_progress.csv", "therapy_ppo_progress.csv"]
    for name in ours + theirs:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    files.config.write_text(dump_config(config))
    files.run.write_text(json.dumps({"versions": {"jaxtherapy": "0.1"}}))
    overwrite.plan(files).carry_out()
    left = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert left == set(theirs)
    assert not (tmp_path / "seed_4").exists() and not (tmp_path / "checkpoints/7").exists()


def test_overwrite_says_what_it_removes(undisturbed, folder, capsys):
    shutil.copytree(undisturbed, folder, dirs_exist_ok=True)
    assert tiny.train(folder, "--overwrite") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "--overwrite removes the experiment in models/tiny: 6 .pth files, 4 Orbax" in out
    assert "logs/tiny/tiny_progress.csv" in out
    assert tiny.results(folder) == tiny.results(undisturbed)


def test_nothing_to_overwrite_is_nothing_to_tell(folder, capsys):
    assert tiny.train(folder, "--overwrite", "--total-timesteps", "16") == 0
    assert "removes" not in capsys.readouterr().out


# --- other experiments' logs --------------------------------------------------------------------


def test_a_log_of_another_experiment_is_never_replaced(folder, capsys):
    """``a`` with seed 5 as one of several has the log of an experiment called ``a_seed5``."""
    logs = ["--log-dir", "logs", "--total-timesteps", "16"]
    assert tiny.train(folder, "--experiment-name", "a_seed5", *logs) == 0
    two = ["--experiment-name", "a", "--n-seeds", "2", "--seed", "4", *logs]
    capsys.readouterr()
    error = refused(folder, capsys, *two)
    assert "logs/a_seed5_progress.csv" in error and "--overwrite" not in error
    error = refused(folder, capsys, *two, "--overwrite")
    assert "logs/a_seed5_progress.csv is nothing that an experiment in models/a says" in error


def test_overwriting_leaves_a_log_whose_name_looks_like_its_own(folder):
    logs = ["--log-dir", "logs", "--total-timesteps", "16"]
    assert tiny.train(folder, "--experiment-name", "b_seed5", *logs) == 0
    before = contents(folder)
    assert tiny.train(folder, "--experiment-name", "b", *logs) == 0
    assert tiny.train(folder, "--experiment-name", "b", *logs, "--overwrite") == 0
    after = contents(folder)
    assert all(after[path] == data for path, data in before.items() if "_seed5" in str(path))
    assert (folder / "logs/b_seed5_progress.csv").exists()


@pytest.mark.parametrize("overwriting", [[], ["--overwrite"]])
@pytest.mark.parametrize("seeds", [[], ["--n-seeds", "2"]], ids=["one seed", "two seeds"])
def test_the_logs_of_an_experiment_that_moved_away_stay(
    undisturbed, folder, capsys, overwriting, seeds
):
    shutil.copytree(undisturbed, folder, dirs_exist_ok=True)
    (folder / "models").rename(folder / "moved")
    error = refused(folder, capsys, *overwriting, *seeds)
    assert "logs/tiny/tiny_progress." in error and "models/tiny holds" not in error


# --- what other programs left -------------------------------------------------------------------


def foreign(folder: Path) -> Path:
    output = folder / "models/tiny"
    for name in ("checkpoints/epoch_1/model.bin", "checkpoints/12/model.bin"):
        (output / name).parent.mkdir(parents=True)
        (output / name).write_text("weeks of work")
    (output / "config.yaml").write_text(yaml.safe_dump({"seed": 3, "learning_rate": 1e-3}))
    (output / "run.json").write_text('{"run": "of another program"}')
    return output


def test_a_foreign_folder_is_left_alone(folder, capsys):
    output = foreign(folder)
    error = refused(folder, capsys)
    assert "models/tiny/" in error and "--overwrite" not in error and "--resume" not in error
    assert "models/tiny/" in refused(folder, capsys, "--overwrite")
    for name in ("config.yaml", "run.json"):
        (output / name).unlink()
    assert "checkpoints/12" in refused(folder, capsys, "--overwrite")
    shutil.rmtree(output / "checkpoints/12")
    assert tiny.train(folder, "--total-timesteps", "16") == 0  # nothing is in the way
    assert (output / "checkpoints/epoch_1/model.bin").read_text() == "weeks of work"


def test_of_our_own_folder_only_our_own_goes(undisturbed, folder):
    shutil.copytree(undisturbed, folder, dirs_exist_ok=True)
    theirs = folder / "models/tiny/checkpoints/epoch_1/model.bin"
    theirs.parent.mkdir()
    theirs.write_text("theirs")
    assert tiny.train(folder, "--overwrite") == 0
    assert theirs.read_text() == "theirs"
    assert tiny.results(folder) == tiny.results(undisturbed)


# --- half-way -----------------------------------------------------------------------------------


def test_checkpoints_on_another_disk_are_emptied_and_the_link_stays(undisturbed, folder):
    shutil.copytree(undisturbed, folder, dirs_exist_ok=True)
    link = folder / "models/tiny/checkpoints"
    link.rename(folder / "large disk")
    link.symlink_to(folder / "large disk")
    assert tiny.train(folder, "--overwrite") == 0
    assert link.is_symlink() and (folder / "large disk/400/about").is_dir()
    assert tiny.results(folder) == tiny.results(undisturbed)


def test_what_can_not_be_removed_is_seen_before_anything_is(undisturbed, folder, capsys):
    shutil.copytree(undisturbed, folder, dirs_exist_ok=True)
    step = folder / "models/tiny/checkpoints/336"
    step.rename(folder / "elsewhere")
    step.symlink_to(folder / "elsewhere")
    assert "checkpoints/336" in refused(folder, capsys, "--overwrite")
    step.unlink()
    link = folder / "models/tiny/checkpoints"
    shutil.rmtree(link)
    link.symlink_to(folder / "unmounted")
    assert "models/tiny/checkpoints" in refused(folder, capsys, "--overwrite")


def test_a_failure_half_way_says_what_is_gone(undisturbed, folder, monkeypatch):
    shutil.copytree(undisturbed, folder, dirs_exist_ok=True)
    files = RunFiles.of(load_config(folder / "models/tiny/config.yaml"))
    removal = overwrite.plan(files)

    def full(path, **options):
        raise PermissionError(1, "Operation not permitted", str(path))

    monkeypatch.setattr(shutil, "rmtree", full)
    with pytest.raises(RunError) as error:
        removal.carry_out()
    assert "can't remove models/tiny/checkpoints/112: Operation not permitted" in str(error.value)
    assert "policy_final.pth of the earlier experiment is gone" in str(error.value)
    assert "intact" in str(error.value) and "\n" not in str(error.value)
    assert files.config.exists() and files.csv(42).exists()
