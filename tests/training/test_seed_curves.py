"""What the picture of several seeds shows: the lines' own numbers, whatever their pixels."""

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from scipy import stats

from jaxtherapy.evaluation.across_seeds import across_seeds
from jaxtherapy.reporting.learning_curves import LearningCurve
from jaxtherapy.reporting.palette import BLUE, GREEN, ORANGE
from jaxtherapy.training import seed_summary

STEPS = [100, 200, 300]
COLUMNS = ("test_reward_mean", "test_success_rate", "test_dropout_rate")


def values(n_seeds):
    """(columns, seeds, evaluations); skewed, so that mean, median and interquartile mean differ."""
    return np.random.default_rng(n_seeds).random((3, n_seeds, 3)) ** 3


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """Draws ``values`` and returns the axes of rewards and of rates."""
    curves = []

    class Kept(LearningCurve):
        def write(self, path):
            curves.append(self)
            super().write(path)

    monkeypatch.setattr(seed_summary, "LearningCurve", Kept)

    def draw(n_seeds):
        rows = {
            seed: [
                dict(zip(("step", *COLUMNS), (step, *values(n_seeds)[:, seed, i]), strict=True))
                for i, step in enumerate(STEPS)
            ]
            for seed in range(n_seeds)
        }
        seed_summary.draw_seed_curves(rows, "title", tmp_path / "curves.png")
        return curves[-1].rewards, curves[-1].rates

    return draw


def corners(band):
    return band.get_paths()[0].vertices.tolist()


def of_color(artists, color):
    return [each for each in artists if each.get_color() == color]


@pytest.mark.parametrize("n_seeds", [1, 2, 7])
def test_the_lines_are_interquartile_means(drawn, n_seeds):
    rewards, rates = drawn(n_seeds)
    lines = (
        of_color(rewards.lines, BLUE) + of_color(rates.lines, GREEN) + of_color(rates.lines, ORANGE)
    )
    assert len(lines) == 3
    for line, of_seeds in zip(lines, values(n_seeds), strict=True):
        assert list(line.get_xdata()) == STEPS
        np.testing.assert_allclose(line.get_ydata(), stats.trim_mean(of_seeds, 0.25))
    labels = [text.get_text() for text in rewards.get_legend().get_texts()]
    assert labels[0] == ("interquartile mean" if n_seeds > 1 else "the only seed")
    entries = rates.get_legend()
    shown = [
        (t.get_text(), h.get_color())
        for t, h in zip(entries.get_texts(), entries.get_lines(), strict=True)
    ]
    assert shown == [("success", GREEN), ("dropout", ORANGE)]


def test_every_seed_has_its_line_and_the_band_is_the_interval(drawn):
    rewards, rates = drawn(7)
    reward, success, dropout = values(7)
    for axes, expected in ((rewards, [reward]), (rates, [success, dropout])):
        thin = [each for each in axes.collections if isinstance(each, LineCollection)]
        bands = [each for each in axes.collections if not isinstance(each, LineCollection)]
        assert len(thin) == len(bands) == len(expected)
        for lines, band, of_seeds in zip(thin, bands, expected, strict=True):
            for line, of_seed in zip(lines.get_segments(), of_seeds, strict=True):
                np.testing.assert_allclose(line, np.column_stack([STEPS, of_seed]))
            across = across_seeds(of_seeds)
            for end, expected_end in ((min, across.iqm_low), (max, across.iqm_high)):
                drawn_end = [end(y for x, y in corners(band) if x == step) for step in STEPS]
                np.testing.assert_allclose(drawn_end, expected_end)


def test_few_seeds_have_no_band_and_none_is_explained(drawn):
    for n_seeds, explained in ((4, False), (5, True)):
        rewards, _ = drawn(n_seeds)
        bands = [each for each in rewards.collections if not isinstance(each, LineCollection)]
        labels = [text.get_text() for text in rewards.get_legend().get_texts()]
        assert bool(bands) == ("its 95 % interval" in labels) == explained
        assert labels[-1] == f"each of {n_seeds} seeds"
