"""What the picture of several seeds shows: the lines' own numbers, whatever their pixels."""

import matplotlib.image
import numpy as np
import pytest
from matplotlib.collections import LineCollection
from scipy import stats

from jaxtherapy.evaluation.across_seeds import across_seeds
from jaxtherapy.reporting import learning_curves
from jaxtherapy.reporting.drawing import BLUE, GREEN, ORANGE
from jaxtherapy.reporting.learning_curves import draw_training
from tests.training.test_seed_summary import learning

STEPS = [100, 200, 300]
COLUMNS = ("test_reward_mean", "test_success_rate", "test_dropout_rate")


def values(n_seeds):
    """(columns, seeds, evaluations); skewed, so that mean, median and interquartile mean differ."""
    return np.random.default_rng(n_seeds).random((3, n_seeds, 3)) ** 3


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """Draws ``values`` and returns the axes of rewards and of rates."""
    figures = []
    paint = learning_curves.paint_training

    def painted(figure, *arguments):
        paint(figure, *arguments)
        figures.append(figure)

    monkeypatch.setattr(learning_curves, "paint_training", painted)

    def draw(n_seeds):
        rows = {
            seed: [
                dict(zip(("step", *COLUMNS), (step, *values(n_seeds)[:, seed, i]), strict=True))
                for i, step in enumerate(STEPS)
            ]
            for seed in range(n_seeds)
        }
        draw_training(rows, "title", tmp_path / "curves.png", as_seeds=True)
        return figures[-1].axes

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


@pytest.mark.parametrize(("n_seeds", "n_evaluations"), [(1, 1), (1, 20), (2, 1), (2, 2), (8, 20)])
def test_the_picture_shows_the_mean(tmp_path, n_seeds, n_evaluations):
    draw_training(learning(n_seeds, n_evaluations), "_100 % $x", tmp_path / "s.png", as_seeds=True)
    picture = matplotlib.image.imread(tmp_path / "s.png")[..., :3]
    assert picture.shape == (780, 960, 3)
    blue = np.array([int(BLUE[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    plot = picture[60:360, 90:]
    is_blue = np.abs(plot - blue).max(-1) < 0.02
    assert is_blue.sum() > 30
    if n_evaluations == 20:  # a curve from left to right, not only the legend's line
        assert np.flatnonzero(is_blue.any(0)).max() > 0.9 * plot.shape[1]


def test_a_thousand_seeds_can_be_drawn(tmp_path):
    draw_training(learning(1_024, 10), "many", tmp_path / "s.png", as_seeds=True)
    picture = matplotlib.image.imread(tmp_path / "s.png")[..., :3]
    assert 0.02 < np.mean(picture.min(-1) < 0.95) < 0.6  # a cloud, not a blank or a flood


def test_before_the_first_evaluation_the_picture_is_empty(tmp_path):
    draw_training({1: [], 2: []}, "nothing yet", tmp_path / "s.png", as_seeds=True)
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")
