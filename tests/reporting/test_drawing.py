"""Figures are drawn under our own style, whatever the user's, and cost a line where they fail."""

import os
import subprocess
import sys
import warnings

import matplotlib as mpl
import pytest

from jaxtherapy.reporting import drawing
from jaxtherapy.reporting.drawing import Panel, Picture, PictureError, panel_svg, paper_files

DRAW = """
import sys
from pathlib import Path
from jaxtherapy.reporting.learning_curves import draw_training
columns = "step", "test_reward_mean", "test_success_rate", "test_dropout_rate"
rows = {1: [dict(zip(columns, (100, 1, 0.5, 0.2))), dict(zip(columns, (200, 2, 0.6, 0.1)))]}
draw_training(rows, "_a $x^2 \\u65e5\\u672c", Path(sys.argv[1]), as_seeds=True)
"""


def drawn_by_another(path, **environment):
    """A picture's bytes, drawn by a process of its own, and what it said."""
    inherited = {k: v for k, v in os.environ.items() if k not in ("MPLBACKEND", "MATPLOTLIBRC")}
    arguments = [sys.executable, "-c", DRAW, str(path)]
    done = subprocess.run(
        arguments, env=inherited | environment, capture_output=True, text=True, cwd=path.parent
    )
    assert done.returncode == 0, done.stderr
    return path.read_bytes(), done.stdout + done.stderr


def test_what_is_set_outside_changes_nothing(tmp_path):
    rc = tmp_path / "rc" / "matplotlibrc"
    rc.parent.mkdir()
    rc.write_text("text.usetex: True\nfont.family: No Such Font\nfigure.dpi: 30\nnonsense: 1\n")
    plain = drawn_by_another(tmp_path / "plain.png")
    assert plain[1] == ""
    backend = "module://matplotlib_inline.backend_inline"
    environment = {"MATPLOTLIBRC": str(rc), "MPLBACKEND": backend}
    assert drawn_by_another(tmp_path / "other.png", **environment) == plain
    (tmp_path / "matplotlibrc").write_text(rc.read_text())  # of the folder one is in
    assert drawn_by_another(tmp_path / "here.png", MPLBACKEND="nonsense") == plain


def test_the_users_own_settings_stay(monkeypatch):
    panel = Panel("title", "alt", lambda axes: axes.set_title("$x$ 日本"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain = panel_svg(panel, "salt")
        with mpl.rc_context({"text.usetex": True, "font.family": ["No Such Font"]}):
            assert panel_svg(panel, "salt") == plain
            assert mpl.rcParams["text.usetex"] and mpl.rcParams["font.family"] == ["No Such Font"]
    assert "$x$" in plain


def broken(axes):
    raise ValueError("over\ntwo lines")


def test_a_picture_that_fails_is_one_line():
    panel = Panel("title", "alt", broken)
    line = "title can't be drawn (ValueError: over two lines)"
    with pytest.raises(PictureError, match="title can't be drawn"):
        panel_svg(panel, "salt")
    with pytest.raises(PictureError) as error:
        paper_files(Picture("title", "Title", "caption", (panel,)))
    assert str(error.value) == line


def test_a_matplotlib_that_can_not_be_imported_is_one_line(monkeypatch):
    monkeypatch.setattr(drawing, "import_matplotlib", lambda: __import__("no_such_module"))
    with pytest.raises(PictureError, match="ModuleNotFoundError"):
        panel_svg(Panel("title", "alt", lambda axes: None), "salt")


def test_letters_name_the_panels_of_a_figure_for_papers():
    titles = []
    panel = Panel("one", "alt", lambda axes: titles.append(axes))
    paper_files(Picture("p", "Title", "caption", (panel,) * 3))
    assert [axes.get_title("left") for axes in titles] == ["a  one", "b  one", "c  one"]
