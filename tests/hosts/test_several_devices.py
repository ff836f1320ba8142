"""Seeds on several devices and hosts: the same numbers and files as on one, whatever happens.

Devices are forced ones of the CPU, hosts are processes that talk over loopback.
"""

import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

from tests.training import tiny

CONFIG = {"n_envs": 4, "total_timesteps": 800, "eval_freq": 160, "save_freq": 224}
SEEDS = range(42, 50)
STEPS = (224, 448, 672, 800)

# The command, with a short patience for hosts that are gone, telling which weights it writes, and
# with a pause before each update, so that a signal can find it at work.
RUN = """
import sys, time
from jaxtherapy.cli.train import main
from jaxtherapy.devices import layout as devices
from jaxtherapy.devices import hosts
from jaxtherapy.training import group, trainer
from jaxtherapy.storage import policies as weights

pause, cores, *arguments = sys.argv[1:]
devices.available_cores = lambda: int(cores)
hosts.HEARTBEAT_SECONDS, hosts.JOIN_SECONDS = 5, 60
chunk, write = trainer.Trainer.chunk, weights.write

def paused(self):
    time.sleep(float(pause))
    return chunk(self)

def told(path, contents):
    print("wrote", path, file=sys.stderr)
    write(path, contents)

group.CHUNK_SECONDS = 0.5 if pause == "0" else 0
trainer.Trainer.chunk, weights.write = paused, told
sys.exit(main(arguments))
"""


class Run:
    """A process that trains in a folder, on forced devices or else on cores of the CPU."""

    def __init__(self, folder, *flags, devices=1, cores=None, n_seeds=8, pause=0, name="run"):
        path = folder / f"{name}.yaml"
        shutil.copy(tiny.write_config(folder, **CONFIG), path)
        self.name = name
        self._paths = [folder / f"{name}.{stream}" for stream in ("out", "err")]
        arguments = ["--config", str(path), "--device", "cpu", "--n-seeds", str(n_seeds), *flags]
        devices = f"--xla_force_host_platform_device_count={devices}"
        forced = {"XLA_FLAGS": f"{os.environ['XLA_FLAGS']} {devices}"}
        with open(self._paths[0], "w") as out, open(self._paths[1], "w") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-c", RUN, str(pause), str(cores), *arguments],
                cwd=folder,
                stdout=out,
                stderr=err,
                start_new_session=True,
                env=os.environ | (forced if cores is None else {}),
            )

    def kill(self):
        """Ends it and the child that it supervises as a power cut would."""
        os.killpg(self.process.pid, signal.SIGKILL)

    def ended(self, timeout=240):
        """Its exit code."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} hangs:\n{self.out}{self.err}") from None

    def succeeds(self):
        assert self.ended() == 0, self.out + self.err
        return self

    @property
    def out(self):
        return self._paths[0].read_text()

    @property
    def err(self):
        return self._paths[1].read_text()

    @property
    def seeds_written(self):
        """Whose weights it wrote."""
        return {
            int(line.split("seed_")[1].split("/")[0])
            for line in self.err.splitlines()
            if line.startswith("wrote ")
        }


def two_hosts(folder, *flags, **options):
    """Two processes that train together."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = ["--coordinator", f"127.0.0.1:{port}", "--n-hosts", "2"]
    return [
        Run(folder, *flags, *where, "--host-index", str(i), name=f"host{i}", **options)
        for i in range(2)
    ]


def wait_for(path, *runs, timeout=240):
    end = time.monotonic() + timeout
    while not path.exists():
        assert all(run.process.poll() is None for run in runs), [run.err for run in runs]
        if time.monotonic() > end:
            for run in runs:
                run.kill()
            raise AssertionError(f"no {path.name}:\n" + "".join(run.out + run.err for run in runs))
        time.sleep(0.01)


@pytest.fixture(scope="module")
def one_device(tmp_path_factory):
    """The folder of a run on one device that nothing disturbed."""
    folder = tmp_path_factory.mktemp("one_device")
    Run(folder).succeeds()
    return folder


@pytest.fixture(scope="module")
def four_devices(tmp_path_factory):
    folder = tmp_path_factory.mktemp("four_devices")
    run = Run(folder, devices=4).succeeds()
    assert "4 × cpu (cpu), 4 shares of seeds" in run.out
    return folder


def files(folder):
    """What there is, but for the insides of checkpoints."""
    return {
        str(path.relative_to(folder))
        for where in ("models", "logs")
        for path in (folder / where).rglob("*")
        if "checkpoints" not in path.parent.parts[len(folder.parts) :]
        or path.parent.name == "checkpoints"
    }


def log(folder, seed, one=False):
    suffix = "" if one else f"_seed{seed}"
    return tiny.rows_without_timings(folder / f"logs/tiny/tiny{suffix}_progress.csv")


def agree(rows, wanted):
    """To float rounding, amplified by 25 updates of learning."""
    assert len(rows) == len(wanted)
    for row, other in zip(rows, wanted, strict=True):
        for name, value in other.items():
            close = math.isclose(float(row[name]), float(value), rel_tol=5e-3, abs_tol=1e-4)
            assert close or row[name] == value == "nan", (row["step"], name, row[name], value)


def same_results(folder, wanted):
    """Files and rows of all eight seeds; a final policy for each."""
    for seed in SEEDS:
        agree(log(folder, seed), log(wanted, seed))
    assert files(folder) == files(wanted)
    summary = (folder / "logs/tiny/tiny_summary.csv").read_text().splitlines()
    assert len(summary) == 1 + 5 and {row.split(",")[2] for row in summary[1:]} == {"8"}
    assert json.loads((folder / "models/tiny/run.json").read_text())["status"] == "finished"


def copied(source, folder):
    for where in ("models", "logs"):
        shutil.copytree(source / where, folder / where)


# --- devices --------------------------------------------------------------------------------


def test_seeds_on_four_devices_as_on_one(one_device, four_devices):
    same_results(four_devices, one_device)


def test_fewer_seeds_than_devices_spread_their_clients(one_device, tmp_path):
    """Two seeds alone are also the first two of eight: adding seeds changes no other seed."""
    run = Run(tmp_path, devices=4, n_seeds=2).succeeds()
    assert "2 shares of seeds × 2 of clients" in run.out
    for seed in (42, 43):
        agree(log(tmp_path, seed), log(one_device, seed))
    others = {name for name in files(one_device) if any(f"seed_{s}" in name for s in SEEDS[2:])}
    others |= {f"logs/tiny/tiny_seed{seed}_progress.csv" for seed in SEEDS[2:]}
    assert files(tmp_path) == files(one_device) - others


def test_one_seed_spreads_its_clients_over_all_devices(one_device, tmp_path):
    run = Run(tmp_path, devices=4, n_seeds=1).succeeds()
    assert "1 share of seeds × 4 of clients" in run.out
    agree(log(tmp_path, 42, one=True), log(one_device, 42))


@pytest.mark.parametrize("devices", [1, 4])
def test_resumes_on_another_number_of_devices(one_device, four_devices, tmp_path, devices):
    source, other = (four_devices, one_device) if devices == 1 else (one_device, four_devices)
    copied(source, tmp_path)
    checkpoint = "models/tiny/seed_45/checkpoint_448.pth"
    run = Run(tmp_path, "--resume-from", checkpoint, "--overwrite", devices=devices).succeeds()
    assert "continuing at step 448" in run.out
    same_results(tmp_path, other)


# --- cores ----------------------------------------------------------------------------------


def test_seeds_on_cores_of_their_own(one_device, tmp_path):
    run = Run(tmp_path, cores=2).succeeds()
    assert "2 × cpu (cpu), 2 shares of seeds" in run.out
    same_results(tmp_path, one_device)


def test_one_seed_has_one_core(one_device, tmp_path):
    """A core has its own seeds; for the clients of one, cores are not worth talking between."""
    run = Run(tmp_path, cores=5, n_seeds=1).succeeds()
    assert "run on cpu (cpu), 800 steps" in run.out.replace("tiny", "run")
    agree(log(tmp_path, 42, one=True), log(one_device, 42))


# --- hosts ----------------------------------------------------------------------------------


def test_two_hosts_as_one(one_device, tmp_path):
    """Neither needs to know of the other's seeds; there is one of everything else."""
    first, second = two_hosts(tmp_path)
    first.succeeds(), second.succeeds()
    assert "2 × cpu (cpu) on 2 hosts, 2 shares of seeds" in first.out
    assert "step" not in second.out and first.out.count("The last evaluation of 8 seeds") == 1
    assert first.seeds_written == set(SEEDS[:4]) and second.seeds_written == set(SEEDS[4:])
    same_results(tmp_path, one_device)
    assert json.loads((tmp_path / "models/tiny/run.json").read_text())["seeds"] == list(SEEDS)


def test_a_signal_to_one_host_stops_both_and_one_process_goes_on(one_device, tmp_path):
    """To the second, that is: the first asks in the same way."""
    runs = two_hosts(tmp_path, pause=0.2)
    wait_for(tmp_path / "models/tiny/seed_49/checkpoint_224.pth", *runs)
    runs[1].process.send_signal(signal.SIGTERM)
    assert [run.ended() for run in runs] == [0, 0], [run.err for run in runs]
    info = json.loads((tmp_path / "models/tiny/run.json").read_text())
    assert info["status"] == "interrupted" and 224 <= info["steps"] < 800
    assert f"stopped by another host at step {info['steps']}" in runs[0].out
    step = info["steps"]
    assert all((tmp_path / f"models/tiny/seed_{s}/checkpoint_{step}.pth").exists() for s in SEEDS)
    Run(tmp_path, "--resume").succeeds()
    for path in (tmp_path / "models/tiny").rglob(f"*{step}*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()  # saved out of turn, if it was
    for path in (one_device / "models/tiny").rglob(f"*checkpoint_{step}.pth"):
        pytest.fail(f"unlucky: {path} is saved in turn")
    same_results(tmp_path, one_device)


@pytest.mark.parametrize(("killed", "devices"), [(0, 1), (1, 4)])
def test_a_killed_host_ends_the_other_and_any_number_of_devices_goes_on(
    one_device, tmp_path, killed, devices
):
    runs = two_hosts(tmp_path, pause=0.2)
    wait_for(tmp_path / "models/tiny/checkpoints/224", *runs)
    runs[killed].kill()
    survivor = runs[1 - killed]
    assert survivor.ended() == 1, survivor.err
    last = survivor.err.splitlines()[-1]
    assert last.startswith("error: another host was lost") and "--resume" in last
    runs[killed].ended()
    run = Run(tmp_path, "--resume", devices=devices).succeeds()
    assert "continuing at step" in run.out
    same_results(tmp_path, one_device)


# --- what can't be ----------------------------------------------------------------------------

WRONG = {
    "no coordinator": (["--n-hosts", "2"], "without --coordinator"),
    "an index too many": (
        ["--coordinator", "127.0.0.1:9", "--n-hosts", "2", "--host-index", "2"],
        "below n_hosts",
    ),
    "no port": (["--coordinator", "here", "--n-hosts", "2", "--host-index", "0"], "HOST:PORT"),
}


@pytest.mark.parametrize(("flags", "reason"), WRONG.values(), ids=WRONG.keys())
def test_flags_that_do_not_fit_are_one_line(folder, capsys, flags, reason):
    assert tiny.train(folder, *flags) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and reason in error
    assert not (folder / "models").exists()


def test_a_host_that_finds_no_other_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "RUN", RUN.replace("= 5, 60", "= 5, 2"))
    where = ["--coordinator", "127.0.0.1:9", "--n-hosts", "2", "--host-index", "1"]
    run = Run(tmp_path, *where)
    assert run.ended(60) == 2
    assert run.err.count("\n") == 1 and "not all hosts were there after 2 s" in run.err
    assert not (tmp_path / "models").exists()
