"""The command as users run it: files, formats, errors, resumption."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtherapy.cli.train import main, read_configuration
from jaxtherapy.config import load_config
from jaxtherapy.storage import torch_format as torch_weights
from jaxtherapy.storage.progress_log import COLUMNS
from jaxtherapy.training import group
from jaxtherapy.training.trainer import Trainer
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
            "model_card.md",
            "policy_best.pth",
            "policy_final.pth",
            "run.json",
        ]
    )
    steps = sorted(int(path.name) for path in (output / "checkpoints").iterdir())
    assert steps == [112, 224, 336, 400]
    logs = sorted(path.name for path in (undisturbed / "logs" / "tiny").iterdir())
    assert logs == [".tiny.lock", ".tiny.owner", "tiny_progress.csv", "tiny_progress.png"]


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
    # In the unit that values are learned in: at least one reward point.
    assert min(float(row[COLUMNS.index("return_scale")]) for row in rows) >= 1


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


def test_more_evaluations_compile_no_more(undisturbed, folder):
    """What is compiled anew for every row takes longer than the row's evaluation."""
    compiled = []

    def listen(name, seconds, **about):
        compiled.append(name)

    def count(run):
        compiled.clear()
        run()
        return compiled.count("/jax/core/compile/backend_compile_duration")

    def train(name, every):
        assert tiny.train(folder, "--experiment-name", name, "--eval-freq", every) == 0

    train("few", "400")  # what the first run of a process compiles, `undisturbed` or this one has
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        assert count(lambda: jax.jit(lambda x: x + 1)(np.float32(1))) == 1
        assert count(lambda: train("many", "40")) == 0
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_exits_cleanly_and_resume_equals_never_stopped(
    undisturbed, folder, capsys, number
):
    thread = tiny.interrupt_after(folder / "models/tiny/checkpoint_112.pth", number)
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


def test_other_clients_choose_the_best_policy_anew(folder, capsys):
    """Rewards with easier clients say nothing about rewards with these."""

    def best(*flags):
        assert tiny.train(folder, "--threshold", *flags) == 0
        told = json.loads((folder / "models/tiny/run.json").read_text())["best_evaluation_reward"]
        return told[0], (folder / "models/tiny/policy_best.pth").read_bytes()

    easy = best("0.05", "--total-timesteps", "160")
    capsys.readouterr()
    hard = best("1", "--total-timesteps", "320", "--resume")
    assert "policy_best.pth is chosen anew" in capsys.readouterr().out
    assert easy[0] > 100 and hard[0] <= 0 and hard[1] != easy[1]
    again = best("1", "--total-timesteps", "400", "--resume")
    assert "chosen anew" not in capsys.readouterr().out
    assert again[0] >= hard[0]


def test_resuming_and_overwriting_at_once_is_refused(undisturbed, folder, capsys):
    shutil.copytree(undisturbed, folder, dirs_exist_ok=True)
    assert tiny.train(folder, "--resume", "--overwrite") == 2
    assert "--resume continues what --overwrite would replace" in capsys.readouterr().err
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


def test_divergence_stops_with_the_step_the_cause_and_the_last_good_state(
    folder, capsys, monkeypatch
):
    chunk = Trainer.chunk

    def poisoned(self):
        now = self.now
        if now.progress.n_updates >= 7:  # after the first checkpoint
            endless = now.state.return_stats.replace(mean=jnp.full(1, jnp.inf))
            now.state = now.state.replace(return_stats=endless)
        return chunk(self)

    monkeypatch.setattr(Trainer, "chunk", poisoned)
    monkeypatch.setattr(group, "CHUNK_SECONDS", 0)
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
    thread = tiny.as_soon_as(marker, lambda: shutil.rmtree(folder / "logs"))
    assert tiny.train(folder, total_timesteps=16 * 1000) == 1
    thread.join()
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "tiny_progress.csv" in error and "--resume" in error


def test_a_models_folder_that_vanishes_ends_the_run_with_one_line(folder, capsys):
    marker = folder / "models/tiny/checkpoint_112.pth"
    thread = tiny.as_soon_as(marker, lambda: (folder / "models").rename(folder / "gone"))
    assert tiny.train(folder, total_timesteps=16 * 1000) == 1
    thread.join()
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "models/tiny" in error and "--resume" in error
    shutil.rmtree(folder / "models", ignore_errors=True)  # Orbax may have been on its way there
    (folder / "gone").rename(folder / "models")
    for path in (folder / "models/tiny").glob("*.pth"):
        torch_weights.load(path)
    assert tiny.train(folder, "--resume", "--total-timesteps", "1600", total_timesteps=16) == 0
    steps = [row["step"] for row in tiny.rows_without_timings(LOG)]
    assert steps == [str(step) for step in range(80, 1601, 80)]


LOG = Path("logs/tiny/tiny_progress.csv")

FORBIDDEN = """
import json, locale, os, sys
from jaxtherapy.cli.train import main
import jaxtherapy.training.loggers.terminal  # now: other users may not read where Python lies
import jaxtherapy.training.trainer
if os.geteuid() == 0:  # whom no folder is read-only for
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
print(json.dumps([main(arguments) for arguments in json.loads(sys.argv[1])]))
"""


@pytest.fixture
def open_folder():
    """Like ``folder``, for other users too."""
    path = Path(tempfile.mkdtemp(prefix="jaxtherapy-"))
    path.chmod(0o755)
    yield path
    for inner in path.iterdir():
        inner.chmod(0o755)
    shutil.rmtree(path)


def test_folders_that_may_not_be_written_or_read_are_one_line_each(undisturbed, open_folder):
    shutil.copytree(undisturbed / "models", open_folder / "closed")
    (open_folder / "full").mkdir()
    (open_folder / "logs").mkdir(mode=0o777)
    (open_folder / "logs").chmod(0o777)
    (open_folder / "full").chmod(0o555)
    (open_folder / "closed").chmod(0)
    elsewhere = ["--log-dir", "logs"]
    cases = {
        "can't write to full/tiny: Permission denied": ["--output-dir", "full/tiny", *elsewhere],
        "can't write to full/log: Permission denied": [
            "--output-dir",
            "logs/tiny",
            "--log-dir",
            "full/log",
        ],
        "closed/new": ["--output-dir", "closed/new", *elsewhere],
        "closed/log": ["--output-dir", "logs/tiny", "--log-dir", "closed/log"],
        "closed/tiny": ["--resume-from", "closed/tiny"],
        "closed/tiny/checkpoint_112.pth": ["--resume-from", "closed/tiny/checkpoint_112.pth"],
        "closed/tiny ": ["--resume", "--output-dir", "closed/tiny"],
    }
    before = sorted(open_folder.rglob("*"))
    environment = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    code = [sys.executable, "-c", FORBIDDEN, json.dumps([*cases.values()])]
    root = Path(__file__).parents[2]
    paths = os.pathsep.join([str(root), environment.get("PYTHONPATH", "")])
    ended = subprocess.run(
        code,
        cwd=open_folder,
        env=environment | {"PYTHONPATH": paths, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    errors = ended.stderr.splitlines()
    assert ended.returncode == 0 and len(errors) == len(cases), ended.stderr
    assert json.loads(ended.stdout) == [2] * len(cases)
    for error, expected in zip(errors, cases, strict=True):
        assert error.startswith("error: ") and expected in error
        assert "Permission denied" in error
    (open_folder / "closed").chmod(0o755)
    assert set(sorted(open_folder.rglob("*"))) - set(before) <= {
        open_folder / "logs/tiny",
        open_folder / "logs/tiny/.lock",
        *(open_folder / "closed").rglob("*"),
    }


@pytest.mark.parametrize("name", ["a" * 300, "sub/" + "a" * 300])
@pytest.mark.parametrize("flag", ["--resume-from", "--output-dir", "--log-dir"])
@pytest.mark.parametrize("others", [[], ["--resume"], ["--overwrite"]])
def test_a_path_that_no_disk_takes_is_one_line(folder, capsys, flag, name, others):
    assert tiny.train(folder, flag, name, *others) == 2
    assert main([flag, name, *others]) == 2  # without a configuration file
    error = capsys.readouterr().err
    assert error.count("\n") == 2 and error.count("error: ") == 2
    assert {path.name for path in folder.rglob("*.*")} <= {"tiny.yaml", ".lock"}


def test_a_flag_over_a_value_of_several_hosts_is_reported(folder):
    path = tiny.write_config(folder, coordinator="localhost:1234", n_hosts=2, host_index=0)
    config, notes = read_configuration(["--config", str(path), "--host-index", "1"])
    assert (config.coordinator, config.n_hosts, config.host_index) == ("localhost:1234", 2, 1)
    assert notes == [f"--host-index 1 replaces host_index: 0 of {path}"]


def test_a_configuration_beside_a_file_counts_in_an_experiments_folder_alone(undisturbed, folder):
    shutil.copy(undisturbed / "models/tiny/checkpoint_112.pth", folder / "alone.pth")
    (folder / "config.yaml").write_text("n_envs: 3\n")
    assert read_configuration(["--resume-from", "alone.pth"])[0].n_envs == 8
    shutil.copytree(undisturbed / "models", folder / "models")
    for source in ("models/tiny", "models/tiny/checkpoint_112.pth", "models/tiny/checkpoints/112"):
        config, _ = read_configuration(["--resume-from", source])
        assert config.n_envs == tiny.TINY["n_envs"] and config.resume_from == source
    (folder / "models/tiny/config.yaml").write_text("n_envs: 3\n")
    assert read_configuration(["--resume-from", "models/tiny"])[0].n_envs == 3


def test_a_flag_that_changes_a_value_of_the_file_is_reported(folder, capsys):
    flags = ["--total-timesteps", "16", "--entropy", "0.5", "--max-sessions", "12"]
    assert tiny.train(folder, *flags) == 0
    out = capsys.readouterr().out
    assert "--total-timesteps 16 replaces total_timesteps: 400" in out
    assert "entropy" not in out.split("compiled")[0]  # not in the file: nothing is replaced
    assert "max_sessions" not in out.split("compiled")[0]  # the same value


def test_what_a_flag_replaces_is_told_as_one_would_write_it(folder):
    path = tiny.write_config(folder, max_grad_norm=None, enable_parataxic=True)
    flags = [
        "--patterns",
        "cold_warm",
        "conflictual",
        "--max-grad-norm",
        "1",
        "--no-enable-parataxic",
    ]
    assert read_configuration(["--config", str(path), *flags])[1] == [
        f"--enable-parataxic false replaces enable_parataxic: true of {path}",
        f"--max-grad-norm 1.0 replaces max_grad_norm: null of {path}",
        f"--patterns cold_warm conflictual replaces patterns: cold_stuck of {path}",
    ]


def test_an_untrainable_threshold_is_admitted(folder, capsys):
    assert tiny.train(folder, "--threshold", "1", "--total-timesteps", "16") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "hardly ever succeeds" in out and "lower --threshold" in out
