"""All drawing: our own style and backends, whatever the user's settings of matplotlib say."""

import hashlib
import io
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jaxtherapy.errors import RunError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The hues of Okabe & Ito (2008), told apart with any colour vision; the last three are darker, so
# that lines on white have a contrast of 3. Line styles and markers tell more than seven apart.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#555555"
PURPLE, SKY, AMBER = "#B5588C", "#3A93C9", "#B07800"
PALETTE = (BLUE, ORANGE, GREEN, PURPLE, AMBER, SKY, GREY)
INK = "#1a1a1b"
PAGE_COLORS = {"ink": INK} | dict(
    zip(("blue", "orange", "green", "purple", "amber", "sky", "grey"), PALETTE, strict=True)
)
"""Name and value on white of every colour that a page may change."""

_INKED = (
    *("text.color", "axes.labelcolor", "axes.edgecolor", "axes.titlecolor"),
    *("xtick.color", "ytick.color", "grid.color"),
)
# Any: matplotlib's stubs name every single setting.
_STYLE: Any = dict.fromkeys(_INKED, INK) | {
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.14,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.8,
    "svg.image_inline": True,
    "text.parse_math": False,  # a dollar sign in a name starts no formula
}


class PictureError(RunError):
    """A picture can't be drawn; the message is one line."""

    def __init__(self, name: str, error: Exception) -> None:
        reason = " ".join(str(error).split())[:120]
        super().__init__(f"{name} can't be drawn ({type(error).__name__}: {reason})", exit_code=1)


@dataclass(frozen=True)
class Panel:
    """One chart: its title, what it shows in words, and how to draw it."""

    title: str
    alt: str
    draw: "Callable[[Axes], None]"
    size: tuple[float, float] = (4.0, 2.9)


@dataclass(frozen=True)
class Picture:
    """Panels that belong together."""

    name: str
    title: str
    caption: str
    panels: tuple[Panel, ...]
    columns: int = 2

    @property
    def in_words(self) -> str:
        """Caption and alternative texts, for those who can't see the figure."""
        return " ".join([self.caption, *(f"{each.title}: {each.alt}" for each in self.panels)])


@contextmanager
def _unlogged() -> Iterator[None]:
    """No word of matplotlib about fonts, settings and folders."""
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


@_unlogged()
def import_matplotlib() -> Any:
    """Importing fails on a backend or a matplotlibrc that can't be used, and then every time.

    So they are kept from it, and set afterwards as far as they can be, for the user's own figures.
    """
    if "matplotlib" in sys.modules:
        import matplotlib as mpl

        return mpl
    backend, rc = (os.environ.pop(name, None) for name in ("MPLBACKEND", "MATPLOTLIBRC"))
    os.environ["MATPLOTLIBRC"] = os.devnull
    try:
        import matplotlib as mpl
    finally:
        del os.environ["MATPLOTLIBRC"]
        hidden = {"MPLBACKEND": backend, "MATPLOTLIBRC": rc}
        os.environ.update({name: value for name, value in hidden.items() if value is not None})
    with suppress(Exception):
        mpl.rcParams.update(mpl.rc_params())
    with suppress(Exception):
        if backend:
            mpl.rcParams["backend"] = backend
    return mpl


@contextmanager
def own_style(**settings: Any) -> Iterator[None]:
    """Matplotlib's defaults, our style over them, and no word about fonts or settings."""
    with _unlogged(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mpl = import_matplotlib()
        with mpl.rc_context():
            defaults = {k: v for k, v in mpl.rcParamsDefault.items() if "backend" not in k}
            mpl.rcParams.update(defaults | _STYLE | settings)
            yield


def draw(
    name: str,
    size: tuple[float, float],
    paint: "Callable[[Figure], None]",
    files: Mapping[str, Mapping[str, Any]],
    **settings: Any,
) -> dict[str, bytes]:
    """One figure as files, the same bytes every time; everything that this package draws goes
    through here.

    Args:
        name: of the picture, for messages.
        size: in inches.
        paint: draws on an empty figure.
        files: what ``savefig`` takes, by kind of file (``png``, ``svg``).
        **settings: of matplotlib, beside our style.

    Raises:
        PictureError: whatever went wrong.
    """
    contents = {}
    try:
        with own_style(**{"svg.hashsalt": name} | settings):
            from matplotlib.figure import Figure

            figure = Figure(figsize=size, layout="constrained")
            paint(figure)
            # Laid out once: every file would do it again, and draw everything twice for it.
            engine = figure.get_layout_engine()
            if engine is not None:
                engine.execute(figure)
            figure.set_layout_engine("none")
            for kind, options in files.items():
                file = io.BytesIO()
                figure.savefig(file, format=kind, **options)
                contents[kind] = file.getvalue()
    except Exception as error:
        raise PictureError(name, error) from error
    return contents


def paper_files(picture: Picture) -> dict[str, bytes]:
    """``png`` (200 dpi) and ``svg`` of all panels in one figure; raises PictureError."""
    columns = min(picture.columns, len(picture.panels))
    rows = -(-len(picture.panels) // columns)
    width, height = picture.panels[0].size

    def paint(figure: "Figure") -> None:
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for number, (panel, axes) in enumerate(zip(picture.panels, grid, strict=False)):
            panel.draw(axes)
            letter = f"{chr(ord('a') + number)}  " if len(picture.panels) > 1 else ""
            axes.set_title(letter + panel.title, loc="left")
        for axes in grid[len(picture.panels) :]:
            axes.remove()

    about = {"Title": picture.title, "Description": picture.in_words}
    png, svg = ({"dpi": 200, "metadata": about | more} for more in ({}, {"Date": None}))
    size = columns * width, rows * height
    return draw(picture.name, size, paint, {"png": png, "svg": svg})


def panel_svg(panel: Panel, salt: str) -> str:
    """An SVG element for a page whose style sheet has the colours of ``PAGE_COLORS``; raises
    PictureError."""
    files = {"svg": {"transparent": True, "metadata": {"Date": None}}}
    settings = {"svg.fonttype": "none", "svg.hashsalt": salt}
    drawn = draw(
        panel.title, panel.size, lambda figure: panel.draw(figure.subplots()), files, **settings
    )
    return _for_page(drawn["svg"].decode(), salt)


def _for_page(svg: str, salt: str) -> str:
    """Without prolog, metadata and unused ids; colours become the page's own."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", svg).replace("xlink:href", "href")
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
    unique = "f" + hashlib.sha256(salt.encode()).hexdigest()[:8]

    def keep(match: re.Match[str]) -> str:
        return f' id="{unique}{match[1]}"' if match[1] in used else ""

    svg = re.sub(r'\sid="([^"]*)"', keep, svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{unique}", svg)
    for name, color in PAGE_COLORS.items():
        svg = re.sub(re.escape(color), f"var(--{name})", svg, flags=re.IGNORECASE)
    for side in ("width", "height"):
        svg = re.sub(rf'(<svg[^>]*?) {side}="[^"]*"', r"\1", svg, count=1)
    svg = svg.replace("<svg", '<svg aria-hidden="true" focusable="false"', 1)
    return re.sub(r"\s*\n\s*", "\n", svg).strip()
