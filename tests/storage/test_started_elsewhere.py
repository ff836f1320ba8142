"""Runs that continue from a ``.pth`` file or another experiment: never from random weights again,
whenever they are killed, and never without steps to train."""

import os
import shutil
from pathlib import Path

import pytest

from jaxtherapy import convert
from jaxtherapy.storage import torch_format as torch_weights
from jaxtherapy.storage.checkpoints import Checkpoints
from jaxtherapy.storage.experiment import orbax_steps
from jaxtherapy.training.trainer import Trainer
from tests.training import tiny

SOURCES = {
    "a checkpoint's weights, moments and counters": "alone.pth",
    "a policy's weights": "policy.pth",
    "another experiment": "models/tiny",
}


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def sources(undisturbed, folder):
    """The folder with what there is to continue from: at step 224, of 400."""
    shutil.copytree(undisturbed, folder, dirs_exist_ok=True)
    output = folder / "models/tiny"
    shutil.copy(output / "checkpoint_224.pth", folder / "alone.pth")
    shutil.copy(output / "policy_best.pth", folder / "policy.pth")
    for step in (336, 400):
        shutil.rmtree(output / f"checkpoints/{step}")
        (output / f"checkpoint_{step}.pth").unlink()
    (output / "policy_final.pth").unlink()
    return folder


def killed(*_):
    raise KeyboardInterrupt  # whatever it is: nothing runs after it but the release of resources


@pytest.fixture(scope="module")
def never_killed(undisturbed, tmp_path_factory):
    """What the runs come to that nobody kills."""
    folder = sources(undisturbed, tmp_path_factory.mktemp("never_killed"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for number, source in enumerate(SOURCES.values()):
            flags = ["--resume-from", source, "--experiment-name", f"new{number}"]
            assert tiny.train(folder, *flags) == 0
    return folder


@pytest.mark.parametrize("number", range(3), ids=SOURCES)
def test_a_run_killed_before_its_first_save_goes_on_from_where_it_began(
    undisturbed, never_killed, folder, monkeypatch, number, capsys
):
    sources(undisturbed, folder)
    name, source = f"new{number}", list(SOURCES.values())[number]
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "chunk", killed)
        assert tiny.train(folder, "--resume-from", source, "--experiment-name", name) == 130
    step = 0 if source == "policy.pth" else 224
    assert orbax_steps(folder / "models" / name) == [step]
    path = folder / source
    shutil.rmtree(path) if path.is_dir() else path.unlink()  # it takes nothing but its own files
    assert tiny.train(folder, "--resume", "--experiment-name", name) == 0
    assert f"continuing at step {step}" in capsys.readouterr().out
    assert tiny.results(folder, name) == tiny.results(never_killed, name)
    assert (folder / f"models/{name}/checkpoint_{step}.pth").exists()


@pytest.mark.parametrize("number", range(3), ids=SOURCES)
def test_a_run_killed_while_it_saves_its_start_begins_there_again(
    undisturbed, never_killed, folder, monkeypatch, number, capsys
):
    sources(undisturbed, folder)
    name, source = f"new{number}", list(SOURCES.values())[number]
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", killed)
        assert tiny.train(folder, "--resume-from", source, "--experiment-name", name) == 130
    assert orbax_steps(folder / "models" / name) == []
    capsys.readouterr()
    aside = (folder / source).rename(folder / "aside")
    before = contents(folder / "models" / name)
    assert tiny.train(folder, "--resume", "--experiment-name", name) == 2
    error = capsys.readouterr().err
    assert f"{folder / source} does not exist" in error and error.count("\n") == 1
    assert contents(folder / "models" / name) == before
    aside.rename(folder / source)
    assert tiny.train(folder, "--resume", "--experiment-name", name) == 0
    assert f"starting over, from {folder / source}" in " ".join(
        capsys.readouterr().out.split()
    ) or (source == "models/tiny")
    assert tiny.results(folder, name) == tiny.results(never_killed, name)


def test_seeds_that_had_not_begun_begin_there_too(undisturbed, folder, monkeypatch):
    sources(undisturbed, folder)
    flags = ["--resume-from", "policy.pth", "--n-seeds", "2", "--seeds-at-once", "1"]
    flags += ["--learning-rate", "1e-30", "--experiment-name", "two", "--total-timesteps", "32"]
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "chunk", killed)
        assert tiny.train(folder, *flags) == 130
    again = ["--resume", *flags[2:]]
    assert tiny.train(folder, *again) == 0
    before = torch_weights.load(folder / "policy.pth")
    for seed in (42, 43):
        after = torch_weights.load(folder / f"models/two/seed_{seed}/policy_final.pth")
        for name, array in before.items():
            assert abs(after[name] - array).max() < 1e-6, name


def test_a_run_that_began_afresh_forgets_where_an_earlier_one_began(
    undisturbed, folder, monkeypatch
):
    sources(undisturbed, folder)
    flags = ["--experiment-name", "new"]
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", killed)
        assert tiny.train(folder, *flags, "--resume-from", "policy.pth") == 130
        patch.setattr(Trainer, "chunk", killed)
        assert tiny.train(folder, *flags, "--overwrite") == 130
    assert tiny.train(folder, *flags, "--resume") == 0
    new, whole = tiny.results(folder, "new"), tiny.results(undisturbed)
    assert new == whole


def test_weights_without_checkpoints_are_not_trained_over(undisturbed, folder, capsys):
    shutil.copytree(undisturbed, folder, dirs_exist_ok=True)
    shutil.rmtree(folder / "models/tiny/checkpoints")  # to save space, say
    before = contents(folder)
    assert tiny.train(folder, "--resume") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "has weights, but no checkpoints" in error
    assert {path: data for path, data in contents(folder).items() if path in before} == before


# --- no steps left ----------------------------------------------------------------------------


def test_a_file_beyond_the_last_step_is_refused_before_anything_is_made(
    undisturbed, folder, capsys
):
    shutil.copy(undisturbed / "models/tiny/checkpoint_112.pth", folder / "alone.pth")
    for last in ("50", "112"):
        flags = ["--resume-from", "alone.pth", "--experiment-name", "new"]
        assert tiny.train(folder, *flags, "--total-timesteps", last) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert "alone.pth is at step 112 already; pass --total-timesteps beyond it" in error
        assert not (folder / "models").exists() and not (folder / "logs").exists()


@pytest.mark.parametrize("last", ["224", "80"])
def test_an_unfinished_run_beyond_the_last_step_is_refused_and_left_as_it_is(
    undisturbed, folder, capsys, last
):
    sources(undisturbed, folder)
    before = contents(folder)
    assert tiny.train(folder, "--resume", "--total-timesteps", last) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "at step 224 already, without a final policy" in error
    assert "--total-timesteps beyond it" in error
    assert contents(folder) == before
    assert tiny.train(folder, "--resume") == 0
    assert tiny.results(folder) == tiny.results(undisturbed)


def test_going_back_to_beyond_the_last_step_is_refused(undisturbed, folder, capsys):
    shutil.copytree(undisturbed, folder, dirs_exist_ok=True)
    flags = ["--resume-from", "models/tiny/checkpoint_224.pth", "--overwrite"]
    assert tiny.train(folder, *flags, "--total-timesteps", "200") == 2
    assert "without a final policy" in capsys.readouterr().err
    assert tiny.results(folder) == tiny.results(undisturbed)


def test_a_converted_file_beyond_the_last_step_is_refused(undisturbed, folder, capsys):
    config = str(tiny.write_config(folder))
    source = str(undisturbed / "models/tiny/checkpoint_400.pth")
    assert convert.main([source, "models/tiny", "--config", config]) == 0
    assert tiny.train(folder, "--resume-from", "models/tiny") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "pass --total-timesteps beyond it" in error
    assert tiny.train(folder, "--resume-from", "models/tiny", "--total-timesteps", "416") == 0


# --- going back -------------------------------------------------------------------------------


@pytest.mark.parametrize("kills", [1, 2, 3, 4, 7, 8, 9, 11])
def test_a_kill_while_going_back_leaves_what_can_be_resumed(
    undisturbed, folder, monkeypatch, kills
):
    """The first, second … step of removing what is later is the last one that happens."""
    shutil.copytree(undisturbed, folder, dirs_exist_ok=True)
    done = 0

    def counted(function):
        def call(*arguments, **options):
            nonlocal done
            if done == kills:
                raise KeyboardInterrupt
            done += 1
            return function(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        patch.setattr("jaxtherapy.storage.checkpoints.os.rename", counted(os.rename))
        patch.setattr("jaxtherapy.storage.progress_log.write_atomically", counted(killed))
        patch.setattr(Path, "unlink", counted(Path.unlink))
        patch.setattr("jaxtherapy.storage.checkpoints.shutil.rmtree", counted(shutil.rmtree))
        flags = ["--resume-from", "models/tiny/checkpoint_112.pth", "--overwrite"]
        assert tiny.train(folder, *flags) == 130
    assert done == kills
    assert tiny.train(folder, "--resume") == 0
    assert tiny.results(folder) == tiny.results(undisturbed)
