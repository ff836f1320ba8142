"""Indices of functions that have known ones, the inert number, and the command."""

import csv

import numpy as np
import pytest

from jaxtherapy.cli.sensitivity import main
from jaxtherapy.client.params import ClientParams
from jaxtherapy.config.distributions import Distribution
from jaxtherapy.errors import RunError
from jaxtherapy.studies import sensitivity
from jaxtherapy.studies.sensitivity import INERT, Asked, kinds_at

NAMES = ["x1", "x2", "x3", INERT]
A, B = 7.0, 0.1


def ishigami(points):
    """Ishigami & Homma (1990); the fourth number is inert."""
    x1, x2, x3, _ = (2 * np.pi * points - np.pi).T
    return np.sin(x1) + A * np.sin(x2) ** 2 + B * x3**4 * np.sin(x1)


def known():
    """Its first-order and total indices in closed form."""
    one = 0.5 * (1 + B * np.pi**4 / 5) ** 2
    two, three = A**2 / 8, 8 * B**2 * np.pi**8 / 225
    whole = one + two + three
    first = dict(zip(NAMES, np.array([one, two, 0, 0]) / whole, strict=True))
    total = dict(zip(NAMES, np.array([one + three, two, three, 0]) / whole, strict=True))
    return {"first": first, "total": total}


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_sobol_indices_of_a_known_function_lie_in_their_intervals(noise):
    """Also where values are noisy, once the noise is taken out; the inert number's hold 0."""
    asked = Asked(points=2048, seed=1)
    points = sensitivity.sobol_points(NAMES, asked)
    values = ishigami(points) + np.random.default_rng(0).normal(0, noise, len(points))
    rows = sensitivity.sobol_indices(
        NAMES, values, asked, sensitivity.luck_share(NAMES, values, noise**2)
    )
    assert len(rows) == 2 * len(NAMES)
    for row in rows:
        assert row.low <= known()[row.index][row.number] <= row.high, row
        assert row.high - row.low < 0.3
    if noise:  # left in, it would pass for an effect of the inert number
        left_in = sensitivity.sobol_indices(NAMES, values, asked)[-1]
        assert left_in.index == "total" and left_in.number == INERT and left_in.low > 0


def test_morris_effects_of_a_linear_function_are_its_slopes():
    asked = Asked(trajectories=20)
    points = sensitivity.morris_points(NAMES, asked)
    rows = sensitivity.morris_indices(NAMES, points, points @ [3.0, -2.0, 1.0, 0.0], asked)
    told = {(row.index, row.number): row for row in rows}
    for name, slope in zip(NAMES, (3, -2, 1, 0), strict=True):
        assert told["mu", name].estimate == pytest.approx(slope, abs=1e-9)
        assert told["mu_star", name].estimate == pytest.approx(abs(slope), abs=1e-9)
        assert told["sigma", name].estimate == pytest.approx(0, abs=1e-9)


def test_a_point_is_a_quantile_of_every_number():
    clients = ClientParams(
        threshold=Distribution("uniform", (0.6, 0.8)),
        bond_offset=Distribution("normal", (0.5, 0.1), (0.0, 1.0)),
        max_sessions=Distribution("choice", (20, 40)),
    )
    assert sensitivity.varied(clients) == ["threshold", "max_sessions", "bond_offset"]
    kinds = kinds_at(clients, np.array([[0.0, 0.0, 0.5, 0.3], [0.5, 1.0, 1.0, 0.9]]))
    assert [float(kind.threshold) for kind in kinds] == pytest.approx([0.6, 0.7])
    assert [int(kind.max_sessions) for kind in kinds] == [20, 40]
    assert [float(kind.bond_offset) for kind in kinds] == pytest.approx([0.5, 1.0], abs=1e-3)
    with pytest.raises(RunError, match="as a distribution"):
        sensitivity.varied(ClientParams())


def test_the_command_finds_what_matters_and_that_the_inert_number_does_not(tmp_path, capsys):
    flags = ["--threshold", "{uniform: [0.3, 0.9]}", "--smoothing", "{uniform: [0.1, 0.2]}"]
    flags += ["--points", "32", "--trajectories", "6", "--dyads", "20", "--max-sessions", "12"]
    assert main(["--output-dir", str(tmp_path), "--points", "20"]) == 2
    assert main(["complementary", *flags, "--output-dir", str(tmp_path)]) == 0
    with (tmp_path / "sensitivity.csv").open() as file:
        rows = {(row["index"], row["number"]): row for row in csv.DictReader(file)}
    # Smoothing has no part in frequency_amplifier: as inert as the planted number.
    for name in (INERT, "smoothing"):
        assert float(rows["mu_star", name]["estimate"]) == 0
    for index in ("first", "total"):
        assert float(rows[index, INERT]["low"]) <= 0 <= float(rows[index, INERT]["high"])
    assert float(rows["total", "threshold"]["low"]) > 0.5
    assert (tmp_path / "sensitivity.png").is_file()
    out, errors = capsys.readouterr()
    assert "luck is" in out and "power of 2" in errors
