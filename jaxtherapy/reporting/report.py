"""An evaluation as one HTML file that opens offline, and as figures for a paper."""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from html import escape
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from jaxtherapy.client.octants import COMPLEMENT, OCTANT_NAMES, OCTANTS
from jaxtherapy.errors import RunError
from jaxtherapy.evaluation.results import ALL_CELLS, PHASES, SCHEMA
from jaxtherapy.reporting import figures
from jaxtherapy.reporting.figures import Picture, Table
from jaxtherapy.reporting.wording import (
    MOST_FOLLOWED,
    MYOPIC_NOTE,
    Json,
    followed,
    interval,
    labels,
    number,
    p_equals,
    p_value,
    verdict,
)
from jaxtherapy.storage.run_files import write_atomically

MOST_CELLS_TOLD = 150
MOST_EPISODES = 150

SELECTION = (
    "Why a twin: therapies stop at success, so how they end is selected, most of all among "
    "successes; a therapist who answers the same way throughout can seem high–low–high. The twin "
    "answers each client act with the therapist’s own average frequencies in that kind of client, "
    "never changes, treats the same clients and is stopped by the same rules. Therapist minus twin "
    "is free of that selection for a therapist who answers all clients of that kind alike; one who "
    "adapts to the client may exceed its twin without ever changing. The thirds by themselves, and "
    "the curves, keep the selection."
)

Progress = Callable[[str], None]


def write_report(
    source: Path, folder: Path | None = None, progress: Progress = lambda what: None
) -> list[Path]:
    """Writes ``report.html`` and ``figures/*.png`` and ``*.svg``.

    Args:
        source: ``evaluation.json``, or the folder that it is in.
        folder: where to; beside the JSON by default.
        progress: told the name of each figure.

    Returns:
        The files, the report first.

    Raises:
        RunError: there is no evaluation, or the folder can't be written to.
    """
    path = source / "evaluation.json" if source.is_dir() else source
    evaluation = read_evaluation(path)
    folder = path.parent if folder is None else folder
    pictures = figures.pictures(evaluation, find_logs(evaluation))
    written = [folder / "report.html"]
    try:
        (folder / "figures").mkdir(parents=True, exist_ok=True)
        for picture in pictures:
            progress(picture.name)
            for kind, contents in figures.paper_files(picture).items():
                written.append(folder / "figures" / f"{picture.name}.{kind}")
                write_atomically(written[-1], contents)
        progress("report")
        write_atomically(written[0], to_html(evaluation, pictures).encode())
        _remove_stale(folder / "figures", written)
    except OSError as error:
        raise RunError(f"can't write to {folder}: {error.strerror}", exit_code=1) from None
    return written


def remove_report(folder: Path) -> None:
    """Removes what :func:`write_report` wrote beside an evaluation, and nothing else."""
    (folder / "report.html").unlink(missing_ok=True)
    if (folder / "figures").is_dir():
        _remove_stale(folder / "figures", ())


def _remove_stale(folder: Path, written: Sequence[Path]) -> None:
    """Removes figures of earlier drawings that this one has not, and nothing else."""
    for path in folder.iterdir():
        if figures.PAPER_FILES.fullmatch(path.name) and path not in written:
            path.unlink()


def read_evaluation(path: Path) -> Json:
    """The JSON of :mod:`jaxtherapy.evaluation.results`.

    Raises:
        RunError: there is none.
    """
    try:
        evaluation = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise RunError(
            f"{path} can't be read: {reason}; make one with jaxtherapy.evaluate"
        ) from None
    except ValueError:
        raise RunError(f"{path} is no JSON") from None
    found = evaluation.get("schema") if isinstance(evaluation, dict) else None
    if found != SCHEMA and str(found).startswith(SCHEMA.rpartition("/")[0]):
        raise RunError(f"{path} is of another version ({found}, not {SCHEMA}); evaluate again")
    if found != SCHEMA:
        raise RunError(f"{path} is no evaluation: its schema is {found!r}, not {SCHEMA!r}")
    return dict(evaluation)


def find_logs(evaluation: Json) -> dict[str, Table]:
    """The training logs that can be found, by therapist.

    Where the evaluation knows of none, or of one that has moved: ``logs`` beside the ``models``
    that the experiment lies in.
    """
    found = {}
    for therapist in evaluation["therapists"]:
        candidates = [Path(therapist["log"])] if therapist["log"] else []
        if therapist["experiment"]:
            experiment = Path(therapist["experiment"])
            logs = experiment.absolute().parent.parent / "logs" / experiment.name
            for suffix in (f"_seed{therapist['seed']}", ""):
                candidates.append(logs / f"{experiment.name}{suffix}_progress.csv")
        tables = (read_log(path) for path in candidates if path.is_file())
        table = next((each for each in tables if each is not None), None)
        if table is not None:
            found[therapist["id"]] = table
    return found


def read_log(path: Path) -> Table | None:
    """The columns of a training's CSV log as numbers; ``None`` if it is no such file."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    except (OSError, UnicodeDecodeError):
        return None
    if len(lines) < 2:
        return None
    try:
        rows = np.array([[float(cell) for cell in line.split(",")] for line in lines[1:]])
        columns = dict(zip(lines[0].split(","), rows.T.tolist(), strict=True))
    except ValueError:
        return None
    needed = ("step", "train_reward_mean", "test_reward_mean")
    usable = all(name in columns for name in needed) and grows(columns["step"])
    return columns if usable else None


def grows(values: Sequence[float]) -> bool:
    """Whether a column of a log only goes up."""
    return all(before <= after for before, after in pairwise(values))


# --- the page -------------------------------------------------------------------------------


def to_html(evaluation: Json, pictures: Sequence[Picture]) -> str:
    """The whole file."""
    by_name = {picture.name: picture for picture in pictures}
    sections = [
        ("In short", _summary(evaluation)),
        ("Learning curves", _figure(by_name.get("learning_curves"), "Learning curves")),
        ("Comparison", _comparison(evaluation, by_name)),
        ("For whom", _cells(evaluation, by_name)),
        ("Over seeds", _seeds(evaluation, by_name)),
        ("Course of therapy", _course(evaluation, pictures)),
        ("RS and bond", "".join(_figure(p) for p in pictures if p.name.startswith("trajectories"))),
        ("Response maps", _responses(evaluation, pictures)),
        ("Watch therapies", _player(evaluation)),
        ("How it was done", _method(evaluation)),
    ]
    kept = [(title, body) for title, body in sections if body]
    fields = {
        "title": escape(f"Evaluation of {evaluation['name']}"),
        "subtitle": escape(_subtitle(evaluation)),
        "navigation": "".join(
            f'<li><a href="#{_anchor(title)}">{escape(title)}</a></li>' for title, _ in kept
        ),
        "body": "\n".join(
            f'<section aria-labelledby="{_anchor(title)}"><h2 id="{_anchor(title)}">'
            f"{escape(title)}</h2>\n{body}</section>"
            for title, body in kept
        ),
        "provenance": escape(_provenance(evaluation)),
        "episodes": safe_json(_player_data(evaluation)),
    }
    template = resources.files("jaxtherapy.reporting").joinpath("report.html").read_text("utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda match: fields[match[1]], template)


def safe_json(value: Any) -> str:
    """JSON that can't end the ``<script>`` it stands in."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


def _subtitle(evaluation: Json) -> str:
    settings = evaluation["settings"]
    cells = len(evaluation["cells"])
    return (
        f"{len(evaluation['therapists'])} therapists, the same {settings['episodes']:,} clients "
        f"for each in {'one cell' if cells == 1 else f'each of {cells} cells'}; "
        f"{settings['confidence']:.0%} intervals; {evaluation['run'].get('created', '')}"
    )


def _provenance(evaluation: Json) -> str:
    run = evaluation["run"]
    versions = ", ".join(f"{name} {version}" for name, version in run.get("versions", {}).items())
    parts = [run.get("command"), versions, f"commit {run['commit']}" if run.get("commit") else None]
    return " · ".join(part for part in parts if part)


def _figure(picture: Picture | None, heading: str = "") -> str:
    if picture is None:
        return ""
    wide = {1: " wide", 2: " two"}.get(picture.columns, "")
    level = 3 if heading == picture.title else 4  # below the section's heading, or the figure's
    panels = "".join(_panel(picture, place, level) for place in range(len(picture.panels)))
    title = f"<h3>{escape(picture.title)}</h3>\n" if heading != picture.title else ""
    return (
        f'{title}<figure id="figure-{picture.name}" aria-label="{escape(picture.title)}">'
        f'<div class="panels{wide}">{panels}</div>'
        f"<figcaption>{escape(picture.caption)}</figcaption></figure>\n"
    )


def _panel(picture: Picture, place: int, level: int) -> str:
    panel = picture.panels[place]
    drawn = figures.panel_svg(panel, f"{picture.name}-{place}")
    return (
        f'<div class="panel"><h{level}>{escape(panel.title)}</h{level}>'
        f'<div role="img" aria-label="{escape(panel.alt)}">{drawn}</div></div>\n'
    )


def _table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
        + "</tr>\n"
        for row in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{top}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>\n"
    )


def _details(summary: str, body: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>{body}</details>\n" if body else ""


# --- sections -------------------------------------------------------------------------------


def _overall(evaluation: Json) -> dict[str, Json]:
    return {
        row["therapist"]: row["metrics"]
        for row in evaluation["outcomes"]
        if row["cell"] == ALL_CELLS
    }


def _summary(evaluation: Json) -> str:
    metrics = {metric["id"]: metric for metric in evaluation["metrics"]}
    names, rows = labels(evaluation), _overall(evaluation)
    gaps = {
        row["therapist"]: row
        for row in evaluation["differences"]
        if row["cell"] == ALL_CELLS and row["metric"] == "success"
    }
    reference = evaluation["settings"]["reference"]
    trained = [each["id"] for each in evaluation["therapists"] if each["kind"] != "baseline"]
    lines = []
    for name in trained or list(rows):
        text = f"{names[name]} succeeds with {interval(rows[name]['success'], metrics['success'])}"
        text += " of clients"
        gap = gaps.get(name)
        if gap is not None:
            text += (
                f"; minus {names.get(reference, reference)}: "
                f"{interval(gap['difference'], metrics['success'], True)}, "
                f"{'a' if gap['significant'] else 'no'} significant difference "
                f"({p_equals(gap['p_holm'])} after Holm’s correction)"
            )
        lines.append(text + ".")
    lines += _verdicts(evaluation, [n for n in followed(evaluation) if n in (trained or rows)])
    return _list(lines)


def _verdicts(evaluation: Json, shown: Sequence[str]) -> list[str]:
    """What the test of the shape says of these therapists."""
    names = labels(evaluation)
    courses = {course["therapist"]: course for course in evaluation["courses"]}
    return [
        verdict(evaluation, shape, names[name])
        for name in shown
        for shape in courses[name]["shapes"]
        if shape["outcome"] == "all" and shape["measure"] == "complementarity"
    ]


def _list(lines: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>\n"


def _comparison(evaluation: Json, by_name: dict[str, Picture]) -> str:
    metrics, names = evaluation["metrics"], labels(evaluation)
    overall = _table(
        "Averages over cells, with intervals",
        ["therapist", *(metric["label"] for metric in metrics)],
        (
            [names[name], *(interval(row[metric["id"]], metric) for metric in metrics)]
            for name, row in _overall(evaluation).items()
        ),
    )
    paired: dict[str, dict[str, Json]] = {}
    for row in evaluation["differences"]:
        if row["cell"] == ALL_CELLS:
            paired.setdefault(row["therapist"], {})[row["metric"]] = row
    reference = names.get(evaluation["settings"]["reference"], "")
    gaps = _table(
        f"Minus {reference}, paired, with Holm-corrected p in parentheses; *: significant",
        ["therapist", *(metric["label"] for metric in metrics)],
        (
            [names[name], *(_gap(rows.get(metric["id"]), metric) for metric in metrics)]
            for name, rows in paired.items()
        ),
    )
    intervals = "".join(
        f"<li>{escape(metric['label'])} ({escape(metric['unit'])}): "
        f"{escape(metric['interval'])}</li>"
        for metric in metrics
    )
    return (
        overall
        + _figure(by_name.get("comparison"), "Comparison")
        + _figure(by_name.get("differences"))
        + _details("Paired differences as a table", gaps if paired else "")
        + _details("How the intervals are made", f"<ul>{intervals}</ul>")
    )


def _gap(row: Json | None, metric: Json) -> str:
    if row is None:
        return "–"
    star = "*" if row["significant"] else ""
    return f"{interval(row['difference'], metric, True)}{star} ({p_value(row['p_holm'])})"


def _cells(evaluation: Json, by_name: dict[str, Picture]) -> str:
    cells = evaluation["cells"]
    if len(cells) < 2:
        return ""
    metric = next(each for each in evaluation["metrics"] if each["id"] == "success")
    rows = {(row["therapist"], row["cell"]): row["metrics"] for row in evaluation["outcomes"]}
    stars = {
        (row["therapist"], row["cell"])
        for row in evaluation["differences"]
        if row["metric"] == "success" and row["significant"]
    }
    therapists = evaluation["therapists"]
    table = _table(
        "Success by cell, with intervals; *: differs from the reference after Holm’s correction",
        ["cell", *(each["label"] for each in therapists)],
        (
            [
                cell["label"],
                *(
                    interval(rows[each["id"], cell["id"]]["success"], metric)
                    + ("*" if (each["id"], cell["id"]) in stars else "")
                    for each in therapists
                ),
            ]
            for cell in cells[:MOST_CELLS_TOLD]
        ),
    )
    more = ""
    if len(cells) > MOST_CELLS_TOLD:
        more = f"<p>The other {len(cells) - MOST_CELLS_TOLD:,} cells are in evaluation.csv.</p>\n"
    return (
        _figure(by_name.get("cells"), "For whom")
        + _details("Success by cell as a table", table)
        + more
    )


def _seeds(evaluation: Json, by_name: dict[str, Picture]) -> str:
    if "seeds" not in by_name:
        return ""
    metrics = {metric["id"]: metric for metric in evaluation["metrics"]}
    groups = {group["id"]: group["label"] for group in evaluation["groups"]}
    means = _table(
        "Interquartile mean and mean over seeds and cells",
        ["group", "seeds", "metric", "interquartile mean over seeds and cells", "mean"],
        (
            [
                groups[row["group"]],
                str(row["n_seeds"]),
                metrics[row["metric"]]["label"],
                interval(row["iqm"], metrics[row["metric"]]),
                interval(row["mean"], metrics[row["metric"]]),
            ]
            for row in evaluation["seeds"]
        ),
    )
    chances = _table(
        "Probability that a seed of the group scores above one of the other",
        ["group", "over", "metric", "probability"],
        (
            [
                groups[row["group"]],
                groups[row["over"]],
                metrics[row["metric"]]["label"],
                interval(row["probability"]),
            ]
            for row in evaluation["improvement"]
        ),
    )
    return (
        _figure(by_name["seeds"], "Over seeds")
        + means
        + _details("Probability of improvement", chances if evaluation["improvement"] else "")
    )


def _course(evaluation: Json, pictures: Sequence[Picture]) -> str:
    if not evaluation["courses"]:
        return ""
    shown, n_courses = followed(evaluation), len(evaluation["courses"])
    note = (
        f"<p>Drawn are {len(shown)} of {n_courses} therapists: of each group of seeds the one "
        f"with the median reward, at most {MOST_FOLLOWED}.</p>\n"
        if len(shown) < n_courses
        else ""
    )
    intro = (
        "<p>Tracey (1993) describes successful therapy as high in complementarity at first, lower "
        "in the middle, and high again at the end. The test asks for a positive curvature and for "
        "both ends above the middle, all at once, and for more of each than the therapist’s "
        "<em>twin</em> shows.</p>\n"
        f"<p>{escape(SELECTION)}</p>\n"
    )
    drawn = "".join(_figure(p) for p in pictures if p.name.startswith("course"))
    return (
        f"{intro}{_list(_verdicts(evaluation, shown))}{note}"
        + _details("Every test of the shape", _shapes(evaluation))
        + drawn
        + _details("Complementarity over time as a table", _course_table(evaluation, shown))
    )


def _shapes(evaluation: Json) -> str:
    names = labels(evaluation)
    head = ["therapist", "therapies", "acts", "measure", "n", "first", "middle", "last"]
    head += ["first − middle", "last − middle", "curvature", "p (curvature)", "p (all positive)"]
    head += ["pairs with twin", "first − middle, beyond twin", "last − middle, beyond twin"]
    head += ["curvature, beyond twin", "p (all beyond twin)", "high–low–high"]
    rows = []
    for course in evaluation["courses"]:
        for shape in course["shapes"]:
            twin = shape["beyond_twin"] or {"pairs": 0, "p": None}
            tested = shape["p_high_low_high"] is not None
            rows.append(
                [
                    names[course["therapist"]],
                    {"all": "all"}.get(shape["outcome"], f"{shape['outcome']} only"),
                    shape["acts"],
                    shape["measure"],
                    f"{shape['episodes']:,}",
                    *(number(third["estimate"]) for third in shape["thirds"]),
                    interval(shape["first_minus_middle"]),
                    interval(shape["last_minus_middle"]),
                    interval(shape["curvature"]),
                    p_value(shape["p_curvature"]),
                    p_value(shape["p_high_low_high"]),
                    f"{twin['pairs']:,}",
                    interval(twin.get("first_minus_middle")),
                    interval(twin.get("last_minus_middle")),
                    interval(twin.get("curvature")),
                    p_value(twin["p"]),
                    ("yes" if shape["high_low_high"] else "no") if tested else "–",
                ]
            )
    table = _table(
        "Thirds of therapy and the test of high–low–high; p not corrected for the number of tests",
        head,
        rows,
    )
    return f"{table}<p>{escape(SELECTION)}</p>\n"


def _course_table(evaluation: Json, shown: Sequence[str]) -> str:
    names = labels(evaluation)
    courses = {course["therapist"]: course for course in evaluation["courses"]}
    times = courses[shown[0]]["times"]
    rows = []
    for name in shown:
        for acts in ("enacted", "heard"):
            curve = courses[name]["by_time"]["all"]["complementarity"][acts]["any"]
            rows.append([f"{names[name]}, {acts}", *(number(value) for value in curve["value"])])
    return _table(
        "Share of complementary acts by share of the therapy’s length",
        ["therapist", *(f"{time:.0%}" for time in times)],
        rows,
    )


def _responses(evaluation: Json, pictures: Sequence[Picture]) -> str:
    names = labels(evaluation)
    courses = {course["therapist"]: course for course in evaluation["courses"]}
    parts = []
    drawn = [picture for picture in pictures if picture.name.startswith("responses")]
    for picture, name in zip(drawn, followed(evaluation), strict=True):
        maps = courses[name]["response_maps"]
        tables = "".join(
            _table(
                f"{names[name]}, {phase} third: P(therapist’s act | client’s act)",
                ["client", "times", *OCTANTS],
                (
                    [OCTANT_NAMES[act], f"{maps[phase]['count'][act]:,}"]
                    + [number(value) for value in maps[phase]["probability"][act]]
                    for act in range(len(OCTANTS))
                ),
            )
            for phase in PHASES
        )
        parts.append(_figure(picture) + _details("As tables", tables))
    return "".join(parts)


def _chosen_episodes(evaluation: Json) -> list[Json]:
    """All, or those of the therapists that are followed, so that the file stays small."""
    episodes: list[Json] = evaluation["episodes"]
    if len(episodes) > MOST_EPISODES:
        shown = followed(evaluation)
        episodes = [each for each in episodes if each["therapist"] in shown]
    return episodes[:MOST_EPISODES]


def _player(evaluation: Json) -> str:
    if not evaluation["episodes"]:
        return ""
    return (
        "<p>Chosen therapies, session by session, on the interpersonal circle. “Shared” clients "
        "are the same for every therapist.</p>\n"
        '<div id="player" role="group" aria-label="Player of therapies">'
        "<p>The player needs JavaScript.</p></div>\n"
    )


def _player_data(evaluation: Json) -> Json:
    several = len(evaluation["cells"]) > 1
    return {
        "episodes": _chosen_episodes(evaluation),
        "labels": labels(evaluation),
        "cells": {cell["id"]: cell["label"] for cell in evaluation["cells"]} if several else {},
        "octants": list(OCTANTS),
        "names": list(OCTANT_NAMES),
        "complement": COMPLEMENT.tolist(),
    }


def _method(evaluation: Json) -> str:
    settings = evaluation["settings"]
    clients = settings.get("clients", {})
    plain = {name: value for name, value in settings.items() if name != "clients"}
    therapists = _table(
        "Therapists",
        ["therapist", "kind", "seed", "acts", "from"],
        (
            [
                each["label"],
                each["kind"],
                "–" if each["seed"] is None else str(each["seed"]),
                {True: "the most likely", False: "sampled", None: "–"}[each["deterministic"]],
                each["file"] or "–",
            ]
            for each in evaluation["therapists"]
        ),
    )
    cells = _table(
        "Cells",
        ["cell", "pattern", "mechanism", "threshold", "entropy", "utilities"],
        (
            [
                cell["label"],
                cell["pattern"],
                cell["mechanism"],
                f"{cell['threshold']:g}",
                f"{cell['entropy']:g}",
                cell["matrix"],
            ]
            for cell in evaluation["cells"][:MOST_CELLS_TOLD]
        ),
    )
    values = _table(
        "Settings",
        ["setting", "value"],
        ([name.replace("_", " "), _shown(value)] for name, value in (plain | clients).items()),
    )
    if any(each["id"] == "myopic" for each in evaluation["therapists"]):
        therapists += f"<p>{escape(MYOPIC_NOTE)}.</p>\n"
    return therapists + _details("Clients", cells) + _details("Settings", values)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
