"""The command as users run it: files, formats, errors, resumption."""

import csv
import json
import os
import shutil
import signal
import threading
import time

import numpy as np
import pytest

from jaxtherapy import torch_weights
from jaxtherapy.config import load_config
from jaxtherapy.training.progress_log import COLUMNS
from tests.training import tiny

CONTRACT_COLUMNS = [
    "epoch",
    "step",
    "train_reward_mean",
    "train_reward_std",
    "train_length_mean",
    "test_reward_mean",
    "test_reward_std",
    "test_length_mean",
    "duration",
]


def test_one_seed_leaves_exactly_the_contracts_files(undisturbed):
    output = undisturbed / "models" / "tiny"
    names = sorted(path.name for path in output.iterdir())
    assert names == sorted(
        [
            ".lock",
            "checkpoint_112.pth",
            "checkpoint_224.pth",
            "checkpoint_336.pth",
            "checkpoint_400.pth",
            "checkpoints",
            "config.yaml",
            "policy_best.pth",
            "policy_final.pth",
            "run.json",
        ]
    )
    steps = sorted(int(path.name) for path in (output / "checkpoints").iterdir())
    assert steps == [112, 224, 336, 400]
    logs = sorted(path.name for path in (undisturbed / "logs" / "tiny").iterdir())
    assert logs == [".tiny.lock", "tiny_progress.csv", "tiny_progress.png"]


def test_csv_has_a_row_per_evaluation_and_one_at_the_end(undisturbed):
    path = undisturbed / "logs/tiny/tiny_progress.csv"
    with open(path, newline="") as file:
        header, *rows = list(csv.reader(file))
    assert header[:9] == CONTRACT_COLUMNS
    assert header == list(COLUMNS)
    assert [int(row[1]) for row in rows] == [80, 160, 240, 320, 400]
    assert [int(row[0]) for row in rows] == [5, 10, 15, 20, 25]
    durations = [float(row[8]) for row in rows]
    assert durations == sorted(durations)
    assert all(len(row) == len(COLUMNS) for row in rows)


def test_config_yaml_is_the_complete_configuration(undisturbed):
    config = load_config(undisturbed / "models/tiny/config.yaml")
    assert config == load_config(None, tiny.TINY | {"device": "cpu"})


def test_run_json_tells_what_ran(undisturbed):
    info = json.loads((undisturbed / "models/tiny/run.json").read_text())
    assert info["status"] == "finished"
    assert info["steps"] == 400
    assert info["versions"]["jax"]
    assert info["device"]["platform"] == "cpu"
    assert "--device cpu" in info["command"]
    # embeddings, two hidden layers of 8, a head; actor and critic
    trunk = 8 * 16 + 9 * 8 + 417 * 8 + 8 + 8 * 8 + 8
    assert info["parameters"] == {"actor": trunk + 8 * 8 + 8, "critic": trunk + 8 + 1}
    assert np.shape(info["comparison"]["success_rate"]) == (4,)


def test_picture_is_a_png_with_something_on_it(undisturbed):
    import matplotlib.image

    pixels = matplotlib.image.imread(undisturbed / "logs/tiny/tiny_progress.png")
    assert pixels.shape[0] > 300 and pixels.shape[1] > 300
    assert np.std(pixels[..., :3]) > 0.05


def test_final_policy_is_the_last_checkpoints_model(undisturbed):
    output = undisturbed / "models/tiny"
    final = torch_weights.load(output / "policy_final.pth")
    checkpoint = torch_weights.load(output / "checkpoint_400.pth")
    assert checkpoint["epoch"] == 25
    assert checkpoint["env_step"] == 400
    assert checkpoint["gradient_step"] == 25 * 2 * 2
    assert list(final) == list(checkpoint["model"])
    for name, array in final.items():
        np.testing.assert_array_equal(array, checkpoint["model"][name])


def test_same_seed_same_results(undisturbed, folder):
    assert tiny.train(folder) == 0
    assert tiny.results(folder) == tiny.results(undisturbed)


def test_another_seed_other_results(undisturbed, folder):
    assert tiny.train(folder, "--seed", "7") == 0
    assert tiny.results(folder)["final"] != tiny.results(undisturbed)["final"]


def test_an_experiment_is_never_overwritten_silently(undisturbed, folder, capsys):
    shutil.copytree(undisturbed, folder, dirs_exist_ok=True)
    assert tiny.train(folder) == 2
    error = capsys.readouterr().err
    assert "--resume-from" in error and "--overwrite" in error
    assert error.count("\n") == 1
    assert tiny.results(folder) == tiny.results(undisturbed)


def test_overwrite_starts_anew(undisturbed, folder):
    shutil.copytree(undisturbed, folder, dirs_exist_ok=True)
    stray = folder / "models/tiny/checkpoint_999.pth"
    stray.write_bytes(b"from another run")
    notes = folder / "models/tiny/notes.txt"
    notes.write_text("the user's own")
    assert tiny.train(folder, "--overwrite") == 0
    assert tiny.results(folder) == tiny.results(undisturbed)
    assert not stray.exists()
    assert notes.exists()


# --- resumption -----------------------------------------------------------------------------


def interrupt_after(marker, number):
    """Sends this process a signal as soon as ``marker`` exists."""

    def wait():
        deadline = time.monotonic() + 120
        while not marker.exists() and time.monotonic() < deadline:
            time.sleep(0.001)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_exits_cleanly_and_resume_equals_never_stopped(
    undisturbed, folder, capsys, number
):
    thread = interrupt_after(folder / "models/tiny/checkpoint_112.pth", number)
    assert tiny.train(folder) == 0
    thread.join()
    out = capsys.readouterr().out
    info = json.loads((folder / "models/tiny/run.json").read_text())
    assert info["status"] == "interrupted"
    assert info["steps"] < 400
    assert "--resume-from models/tiny" in out
    assert tiny.train(folder, "--resume") == 0
    assert tiny.results(folder) == tiny.results(undisturbed)


@pytest.mark.parametrize("source", ["checkpoint_224.pth", "."])
def test_resuming_from_a_file_or_folder_equals_never_stopped(undisturbed, folder, source):
    shutil.copytree(undisturbed, folder, dirs_exist_ok=True)
    output = folder / "models/tiny"
    for step in (336, 400):  # as if the run had been killed after step 224
        shutil.rmtree(output / "checkpoints" / str(step))
        (output / f"checkpoint_{step}.pth").unlink()
    (output / "policy_final.pth").unlink()
    assert tiny.train(folder, "--resume-from", str(output / source)) == 0
    assert tiny.results(folder) == tiny.results(undisturbed)


def test_an_earlier_checkpoint_is_not_resumed_over_later_ones_silently(undisturbed, folder, capsys):
    shutil.copytree(undisturbed, folder, dirs_exist_ok=True)
    assert tiny.train(folder, "--resume-from", "models/tiny/checkpoint_224.pth") == 2
    assert "--overwrite" in capsys.readouterr().err
    flags = ["--resume-from", "models/tiny/checkpoint_224.pth", "--overwrite"]
    assert tiny.train(folder, *flags) == 0
    assert tiny.results(folder) == tiny.results(undisturbed)


def test_branching_off_into_another_experiment(undisturbed, folder):
    shutil.copytree(undisturbed, folder, dirs_exist_ok=True)
    flags = ["--resume-from", "models/tiny/checkpoint_224.pth", "--experiment-name", "branch"]
    assert tiny.train(folder, *flags) == 0
    branch = tiny.results(folder, "branch")
    assert branch["final"] == tiny.results(undisturbed)["final"]
    assert branch["log"] == tiny.results(undisturbed)["log"][2:]
    assert tiny.results(folder) == tiny.results(undisturbed)


def test_a_finished_run_can_be_extended(undisturbed, folder, capsys):
    shutil.copytree(undisturbed, folder, dirs_exist_ok=True)
    assert tiny.train(folder, "--resume") == 0
    assert "--total-timesteps" in capsys.readouterr().out
    assert tiny.train(folder, "--resume-from", "models/tiny", "--total-timesteps", "480") == 0
    rows = tiny.rows_without_timings(folder / "logs/tiny/tiny_progress.csv")
    assert [int(row["step"]) for row in rows] == [80, 160, 240, 320, 400, 480]
    longer = folder / "longer"
    longer.mkdir()
    flags = ["--total-timesteps", "480", "--output-dir", str(longer), "--log-dir", str(longer)]
    assert tiny.train(folder, *flags) == 0
    assert (longer / "policy_final.pth").read_bytes() == (
        folder / "models/tiny/policy_final.pth"
    ).read_bytes()


@pytest.mark.parametrize(
    "flags",
    [
        ["--hidden-size", "16"],
        ["--mechanism", "bond_only"],
        ["--seed", "1"],
        ["--n-envs", "4"],
        ["--shared-trunk"],
    ],
)
def test_what_cannot_change_is_refused_with_the_reason(undisturbed, folder, capsys, flags):
    shutil.copytree(undisturbed, folder, dirs_exist_ok=True)
    assert tiny.train(folder, "--resume", *flags) == 2
    error = capsys.readouterr().err
    assert flags[0][2:].replace("-", "_") in error and "stored state depends on it" in error
    assert tiny.results(folder) == tiny.results(undisturbed)


def test_a_pth_without_its_twin_restores_what_it_holds_and_says_so(undisturbed, folder, capsys):
    source = undisturbed / "models/tiny/checkpoint_224.pth"
    shutil.copy(source, folder / "alone.pth")
    assert tiny.train(folder, "--resume-from", "alone.pth", "--total-timesteps", "240") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "random keys" in out and "could not be restored" in out
    trained = torch_weights.load(folder / "models/tiny/checkpoint_240.pth")
    assert trained["env_step"] == 240
    assert trained["epoch"] == 15
    assert trained["gradient_step"] == 14 * 4 + 4


def test_a_policy_restores_weights_alone_and_says_so(undisturbed, folder, capsys):
    shutil.copy(undisturbed / "models/tiny/policy_best.pth", folder / "policy.pth")
    flags = ["--resume-from", "policy.pth", "--total-timesteps", "16", "--learning-rate", "1e-30"]
    assert tiny.train(folder, *flags) == 0
    assert "weights only" in capsys.readouterr().out
    before = torch_weights.load(folder / "policy.pth")
    after = torch_weights.load(folder / "models/tiny/policy_final.pth")
    for name, array in before.items():
        np.testing.assert_allclose(after[name], array, atol=1e-6)


def test_training_continues_from_what_tianshou_trained(folder, capsys):
    from tests.conftest import DATA

    flags = ["--resume-from", str(DATA / "tianshou_checkpoint.pth"), "--total-timesteps", "1040"]
    assert tiny.train(folder, *flags) == 2
    assert "--hidden-size 64" in capsys.readouterr().err
    assert tiny.train(folder, *flags, "--hidden-size", "64") == 0
    golden = torch_weights.load(DATA / "tianshou_checkpoint.pth")
    ours = torch_weights.load(folder / "models/tiny/policy_final.pth")
    assert list(ours) == list(golden["model"])
    trained = torch_weights.load(folder / "models/tiny/checkpoint_1040.pth")
    assert trained["gradient_step"] == golden["gradient_step"] + 4
    moved = [np.abs(ours[name] - golden["model"][name]).max() for name in ours]
    assert 0 < max(moved) < 0.01


@pytest.mark.parametrize("damage", ["truncated", "flipped", "not a zip", "nan"])
def test_a_damaged_file_is_refused_with_one_line(undisturbed, folder, capsys, damage):
    contents = bytearray((undisturbed / "models/tiny/checkpoint_224.pth").read_bytes())
    if damage == "truncated":
        contents = contents[: len(contents) // 2]
    elif damage == "flipped":
        contents[len(contents) // 2] ^= 0xFF
    elif damage == "not a zip":
        contents = bytearray(b"hello")
    else:
        whole = torch_weights.loads(bytes(contents))
        whole["model"]["actor.output_layer.bias"][0] = np.nan
        contents = torch_weights.dumps(whole)
    (folder / "damaged.pth").write_bytes(contents)
    assert tiny.train(folder, "--resume-from", "damaged.pth") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "damaged.pth" in error
    assert not (folder / "models").exists()


# --- trouble --------------------------------------------------------------------------------


def test_divergence_stops_with_the_step_the_cause_and_the_last_good_state(folder, capsys):
    assert tiny.train(folder, "--learning-rate", "10", "--max-grad-norm", "none") == 1
    error = capsys.readouterr().err
    assert "diverged in the update after step" in error and "learning_rate 10" in error
    saved = sorted((folder / "models/tiny").glob("checkpoint_*.pth"))
    assert saved
    for array in torch_weights.load(saved[-1])["model"].values():
        assert np.all(np.isfinite(array))


def test_two_runs_on_one_name_are_refused(undisturbed, folder, capsys):
    import fcntl

    shutil.copytree(undisturbed, folder, dirs_exist_ok=True)
    with open(folder / "models/tiny/.lock") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert tiny.train(folder, "--overwrite") == 2
    assert "another run is writing" in capsys.readouterr().err
    assert tiny.results(folder) == tiny.results(undisturbed)


def test_a_folder_that_vanishes_ends_the_run_with_one_line(folder, capsys):
    marker = folder / "models/tiny/checkpoint_112.pth"

    def vanish():
        while not marker.exists():
            time.sleep(0.001)
        shutil.rmtree(folder / "logs")

    thread = threading.Thread(target=vanish, daemon=True)
    thread.start()
    assert tiny.train(folder, total_timesteps=16 * 1000) == 1
    thread.join()
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "tiny_progress.csv" in error and "--resume" in error


def test_a_flag_that_changes_a_value_of_the_file_is_reported(folder, capsys):
    flags = ["--total-timesteps", "16", "--entropy", "0.5", "--max-sessions", "12"]
    assert tiny.train(folder, *flags) == 0
    out = capsys.readouterr().out
    assert "--total-timesteps 16 replaces total_timesteps: 400" in out
    assert "entropy" not in out.split("compiled")[0]  # not in the file: nothing is replaced
    assert "max_sessions" not in out.split("compiled")[0]  # the same value


def test_an_untrainable_threshold_is_admitted(folder, capsys):
    assert tiny.train(folder, "--threshold", "1", "--total-timesteps", "16") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "hardly ever succeeds" in out and "lower --threshold" in out
