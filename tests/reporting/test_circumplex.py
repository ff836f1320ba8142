"""The circumplex with both acts."""

from dataclasses import replace

import numpy as np

from jaxtherapy.client.octants import OCTANTS
from jaxtherapy.reporting.circumplex import Scene, as_picture, as_text, circle

SCENE = Scene(
    client_act=6,
    therapist_act=2,
    heard_act=2,
    session=3,
    max_sessions=100,
    rs=0.25,
    threshold=0.6,
    bond=0.5,
)


def test_the_circle_has_the_client_on_its_octant():
    for octant, code in enumerate(OCTANTS):
        drawn = circle(octant, (octant + 3) % 8)
        assert f"{octant} {code} [C]" in drawn and drawn.count("(T)") == 1
        assert all(f"{number} {each}" in drawn for number, each in enumerate(OCTANTS))
        assert f"{octant} {code} [C] (T)" in circle(octant, octant)


def test_a_scene_in_words():
    *_, caption, rs, bond = as_text(SCENE).splitlines()
    assert caption == "session 3 of 100"
    assert rs == "RS   █████░░░░░░░░░░░░░░░ 0.25, success at 0.60" and bond.endswith("0.50")
    assert "session 3 of 100, W heard as C" in as_text(replace(SCENE, heard_act=6))
    assert "████" in as_text(replace(SCENE, rs=1.5)) and "-0.50" in as_text(replace(SCENE, rs=-0.5))


def test_a_scene_as_a_picture():
    drawn = as_picture(SCENE)
    assert drawn.shape == (480, 400, 3) and drawn.dtype == np.uint8
    assert (drawn != as_picture(replace(SCENE, client_act=5))).any()
    assert (drawn != as_picture(replace(SCENE, therapist_act=8, heard_act=8))).any()
