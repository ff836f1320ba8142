"""What checkpoints hold beside the training state, now and in older ones."""

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from jaxtherapy.devices import layout as devices
from jaxtherapy.errors import RunError
from jaxtherapy.storage.checkpoints import Checkpoints
from jaxtherapy.storage.progress import Progress

STATE = {"weights": jnp.arange(6.0).reshape(2, 3), "key": jax.random.split(jax.random.key(1), 2)}


@pytest.fixture
def checkpoints(tmp_path):
    opened = Checkpoints(tmp_path / "checkpoints")
    yield opened
    opened.close()


def test_state_and_progress_come_back(checkpoints):
    progress = Progress(
        step=5,
        best_reward=[1.5, float("-inf")],
        changes={"learning_rate": 1e-4},
        callback_state={"stop_early": {"best": 3.0, "waited": [1, 2]}},
    )
    checkpoints.save(STATE, progress)
    checkpoints.wait()
    state, restored = checkpoints.restore(5, STATE, devices.on_one_device(STATE))
    assert restored == progress
    np.testing.assert_array_equal(state["weights"], STATE["weights"])
    assert (jax.random.key_data(state["key"]) == jax.random.key_data(STATE["key"])).all()


def test_a_checkpoint_from_before_callbacks_has_none(checkpoints, monkeypatch):
    written = ocp.args.JsonSave

    def as_before(about):
        for name in ("changes", "callback_state"):
            del about["progress"][name]
        about["progress"]["epoch"] = about["progress"].pop("n_updates")
        return written(about)

    monkeypatch.setattr(ocp.args, "JsonSave", as_before)
    checkpoints.save(STATE, Progress(step=5, n_updates=3))
    checkpoints.wait()
    _, restored = checkpoints.restore(5, STATE, devices.on_one_device(STATE))
    assert restored == Progress(step=5, n_updates=3)


def test_a_state_of_other_leaves_is_refused_with_the_way_on(checkpoints):
    checkpoints.save(STATE, Progress(step=5))
    checkpoints.wait()
    other = STATE | {"more": jnp.zeros(2)}
    with pytest.raises(RunError, match=r"lacks more: .*checkpoint_5\.pth .*--resume-from"):
        checkpoints.restore(5, other, devices.on_one_device(other))
