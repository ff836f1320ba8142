"""``keep_checkpoints``: the last ones stay, whenever a run ends, is killed or goes back."""

import shutil

import pytest

from jaxtherapy.storage.checkpoints import Checkpoints
from jaxtherapy.storage.experiment import orbax_steps
from jaxtherapy.storage.run_files import step_in
from jaxtherapy.training.saving import Saver
from tests.training import tiny


def kept(folder):
    """Steps of Orbax checkpoints and of ``.pth`` files."""
    files = sorted(filter(None, (step_in(path.name) for path in folder.iterdir())))
    return orbax_steps(folder), files


@pytest.mark.parametrize(("keep", "steps"), [(1, [400]), (2, [336, 400]), (9, None), (0, None)])
def test_the_last_ones_and_the_best_stay(undisturbed, folder, keep, steps):
    assert tiny.train(folder, "--keep-checkpoints", str(keep)) == 0
    steps = steps or [112, 224, 336, 400]
    assert kept(folder / "models/tiny") == (steps, steps)
    assert tiny.results(folder) == tiny.results(undisturbed)


def test_seeds_in_groups_keep_theirs(folder):
    groups = ["--n-seeds", "2", "--seeds-at-once", "1"]
    assert tiny.train(folder, *groups, "--keep-checkpoints", "1") == 0
    for seed in (42, 43):
        assert orbax_steps(folder / "models/tiny", f"seeds_{seed}_{seed}") == [400]
        assert kept(folder / f"models/tiny/seed_{seed}")[1] == [400]


@pytest.mark.parametrize("name", ["delete", "save"])
@pytest.mark.parametrize("calls", [1, 2, 3])
def test_a_killed_run_has_a_checkpoint_to_go_on_from(undisturbed, folder, monkeypatch, name, calls):
    """With its ``.pth`` file, and without halves."""
    done, function = 0, getattr(Checkpoints, name)

    def counted(*arguments):
        nonlocal done
        done += 1
        if done == calls + 1:
            raise KeyboardInterrupt
        function(*arguments)

    flags = ["--keep-checkpoints", "1"]
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, name, counted)
        assert tiny.train(folder, *flags) == 130
    latest = orbax_steps(folder / "models/tiny")[-1]
    assert latest in kept(folder / "models/tiny")[1]
    assert tiny.train(folder, "--resume", *flags) == 0
    assert kept(folder / "models/tiny")[0] == [400]
    assert tiny.results(folder) == tiny.results(undisturbed)


def test_a_kill_between_orbax_and_pth_is_made_up_for(folder, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("jaxtherapy.storage.run_files.RunFiles.remove_before", lambda *_: None)
        assert tiny.train(folder, "--keep-checkpoints", "1") == 0
    assert kept(folder / "models/tiny") == ([400], [112, 224, 336, 400])
    flags = ["--resume", "--keep-checkpoints", "1", "--total-timesteps", "416"]
    assert tiny.train(folder, *flags) == 0
    assert kept(folder / "models/tiny") == ([416], [416])


def test_going_back_and_keeping_go_together(undisturbed, folder, capsys):
    shutil.copytree(undisturbed, folder, dirs_exist_ok=True)
    source = ["--resume-from", "models/tiny/checkpoint_224.pth", "--overwrite"]
    assert tiny.train(folder, *source, "--keep-checkpoints", "2") == 0
    assert kept(folder / "models/tiny") == ([336, 400], [336, 400])
    assert "keep_checkpoints was 0, is 2" in " ".join(capsys.readouterr().out.split())
    assert tiny.results(folder) == tiny.results(undisturbed)


def test_saving_is_pruned_before_the_end(folder, monkeypatch):
    """At no time are there many more than wanted."""
    most = 0

    def save(saver, *arguments):
        nonlocal most
        original(saver, *arguments)
        most = max(most, len(orbax_steps(folder / "models/tiny")))

    original = Saver.save
    monkeypatch.setattr(Saver, "save", save)
    assert tiny.train(folder, "--keep-checkpoints", "1", "--save-freq", "16") == 0
    assert most <= 2 + 2  # two that are written, and two jobs that wait
