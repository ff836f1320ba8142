"""However a run ends, ``run.json`` says how, and resuming makes up what is missing."""

import json
import signal

import pytest

from jaxtherapy.training import summary
from jaxtherapy.training.trainer import Trainer
from tests.training import tiny


def about(folder):
    return json.loads((folder / "models/tiny/run.json").read_text())


@pytest.mark.parametrize(
    ("raised", "code", "status", "reason"),
    [
        (OSError(28, "No space left on device"), 1, "failed", "No space left on device"),
        (KeyboardInterrupt(), 130, "interrupted", "Ctrl-C, twice"),
    ],
    ids=["full disk", "Ctrl-C twice"],
)
def test_what_breaks_off_a_training_is_its_status(
    folder, monkeypatch, raised, code, status, reason
):
    def broken(self):
        raise raised

    monkeypatch.setattr(Trainer, "evaluate", broken)
    assert tiny.train(folder) == code
    assert about(folder)["status"] == status and reason in about(folder)["reason"]


def test_a_comparison_that_was_interrupted_is_made_up_by_resuming(folder, monkeypatch, capsys):
    """Ctrl-C twice in the last table: the first is remembered, the second interrupts."""

    def interrupted(self, seed, info):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(summary.Ending, "_compare", interrupted)
        assert tiny.train(folder) == 130
    assert "the training is complete and saved in models/tiny" in capsys.readouterr().err
    assert about(folder)["status"] == "finished" and "comparison" not in about(folder)

    assert tiny.train(folder, "--resume") == 0
    assert "always complementary" in capsys.readouterr().out
    assert len(about(folder)["comparison"]["success_rate"]) == 4

    assert tiny.train(folder, "--resume") == 0
    assert "nothing left to do" in capsys.readouterr().out
