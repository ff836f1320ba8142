"""``python -m jaxtherapy.convert``, both ways."""

from pathlib import Path

import numpy as np
import pytest

from jaxtherapy.cli.convert import main
from jaxtherapy.storage import torch_format as torch_weights
from jaxtherapy.storage.experiment import orbax_steps
from tests.conftest import DATA
from tests.training import tiny


def test_tianshous_checkpoint_becomes_an_experiment_and_comes_back(folder, capsys):
    assert main([str(DATA / "tianshou_checkpoint.pth"), "models/imported"]) == 0
    assert "ready for --resume-from" in capsys.readouterr().out
    golden = torch_weights.load(DATA / "tianshou_checkpoint.pth")
    assert orbax_steps(folder / "models/imported") == [golden["env_step"]]
    assert main(["models/imported", "back.pth"]) == 0
    back = torch_weights.load(folder / "back.pth")
    assert list(back["model"]) == list(golden["model"])
    for name, array in golden["model"].items():
        np.testing.assert_array_equal(back["model"][name], array)
    for number, moments in golden["optim"]["state"].items():
        for name, array in moments.items():
            np.testing.assert_array_equal(back["optim"]["state"][number][name], array)
    for name in ("epoch", "env_step", "gradient_step"):
        assert back[name] == golden[name]


def test_an_orbax_checkpoint_becomes_the_pth_beside_it(undisturbed, folder):
    source = undisturbed / "models/tiny"
    assert main([str(source), "new.pth", "--step", "224"]) == 0
    assert (folder / "new.pth").read_bytes() == (source / "checkpoint_224.pth").read_bytes()
    assert main([str(source), "policy.pth", "--weights-only"]) == 0
    assert (folder / "policy.pth").read_bytes() == (source / "policy_final.pth").read_bytes()


def test_weights_become_safetensors_and_come_back(undisturbed, folder):
    source = undisturbed / "models/tiny"
    assert main([str(source), "one.safetensors"]) == 0
    assert main([str(source / "policy_final.pth"), "other.safetensors"]) == 0
    assert (folder / "one.safetensors").read_bytes() == (folder / "other.safetensors").read_bytes()
    assert main(["one.safetensors", "back.pth"]) == 0
    assert (folder / "back.pth").read_bytes() == (source / "policy_final.pth").read_bytes()
    assert main([str(source / "policy_final.pth"), "one.safetensors"]) == 2  # there already


def test_an_imported_experiment_trains_on(undisturbed, folder):
    config = str(tiny.write_config(folder))
    source = str(undisturbed / "models/tiny/checkpoint_224.pth")
    assert main([source, "models/tiny", "--config", config]) == 0
    assert tiny.train(folder, "--resume-from", "models/tiny", "--total-timesteps", "240") == 0
    trained = torch_weights.load(folder / "models/tiny/checkpoint_240.pth")
    assert trained["env_step"] == 240


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["missing.pth", "new"], "does not exist"),
        (["text.pth", "new"], "text.pth"),
        (["text.pth", "other.pth"], "name a folder"),
        (["empty", "new.pth"], "no experiment's folder"),
        (["empty", "new"], "must end in .pth"),
        (["text.pth", "full"], "not empty"),
        (["~/nothing.pth", "new"], f"{Path.home()}/nothing.pth does not exist"),
        (["text.pth"], "required"),
    ],
)
def test_what_cannot_be_converted_is_refused_with_one_line(folder, capsys, arguments, expected):
    (folder / "text.pth").write_text("hello")
    (folder / "empty").mkdir()
    (folder / "full").mkdir()
    (folder / "full" / "file").write_text("")
    before = sorted(folder.rglob("*"))
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert expected in error and error.count("\n") == 1
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("flag", [["--step", "5"], ["--seed", "3"], ["--weights-only"]])
def test_flags_of_folders_are_refused_for_files(folder, capsys, flag):
    assert main([str(DATA / "tianshou_checkpoint.pth"), "models/imported", *flag]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"{flag[0]} has no meaning" in error
    assert not (folder / "models").exists()


def test_flags_of_files_are_refused_for_folders(undisturbed, folder, capsys):
    source = str(undisturbed / "models/tiny")
    assert main([source, "new.pth", "--config", source + "/config.yaml"]) == 2
    assert "--config has no meaning" in capsys.readouterr().err
    assert not (folder / "new.pth").exists()
