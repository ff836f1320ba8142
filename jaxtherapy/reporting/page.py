"""The report's page: what its template ``report.html`` shows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxtherapy.client.octants import COMPLEMENT, OCTANT_NAMES, OCTANTS
from jaxtherapy.evaluation.results import Evaluation
from jaxtherapy.reporting import methods, tables, verdicts
from jaxtherapy.reporting.csv_files import plain
from jaxtherapy.reporting.drawing import Picture, PictureError, panel_svg
from jaxtherapy.reporting.formats import level
from jaxtherapy.reporting.selection import MOST_FOLLOWED, followed, median_seeds

MOST_EPISODES = 150
_OF_OURS = b'<template id="player-template">'


def is_report(path: Path) -> bool:
    """Whether a file is a page that this module made, of whatever version."""
    try:
        return _OF_OURS in path.read_bytes()
    except OSError:
        return False


def to_html(evaluation: Evaluation, pictures: Sequence[Picture]) -> str:
    """The whole file; a chart that can't be drawn is replaced by the reason."""
    return render(
        "report.html",
        pictures,
        evaluation=evaluation,
        subtitle=_subtitle(evaluation),
        provenance=provenance(evaluation.run),
        followed=followed(evaluation),
        whom=[each for each in evaluation.for_whom if each.therapist in median_seeds(evaluation)],
        most_followed=MOST_FOLLOWED,
        methods=methods,
        tables=tables,
        verdicts=verdicts,
        player=_player_data(evaluation),
    )


def render(template: str, pictures: Sequence[Picture], **context: Any) -> str:
    """A page from one of the templates in this folder."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("jaxtherapy.reporting", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return environment.get_template(template).render(
        pictures=pictures,
        by_name={picture.name: picture for picture in pictures},
        drawings={picture.name: _drawings(picture) for picture in pictures},
        columns={1: " wide", 2: " two"},
        **context,
    )


def _drawings(picture: Picture) -> list[Any]:
    """Each panel as SVG, or a line of text."""
    from markupsafe import Markup

    made: list[Any] = []
    for place, panel in enumerate(picture.panels):
        try:
            made.append(Markup(panel_svg(panel, f"{picture.name}-{place}")))
        except PictureError as error:
            made.append(str(error))
    return made


def _subtitle(evaluation: Evaluation) -> str:
    settings, n_cells = evaluation.settings, len(evaluation.cells)
    told = f"{settings['episodes']:,} coded therapies"
    if evaluation.outcomes:
        told = (
            f"{len(evaluation.therapists)} therapists, the same {settings['episodes']:,} clients "
            f"for each in {'one cell' if n_cells == 1 else f'each of {n_cells} cells'}"
        )
    return f"{told}; {level(settings['confidence'])} intervals; {evaluation.run.get('created', '')}"


def provenance(run: Mapping[str, Any]) -> str:
    """With what and from which source it was made."""
    versions = ", ".join(f"{name} {version}" for name, version in run.get("versions", {}).items())
    commit = f"commit {run['commit']}" if run.get("commit") else None
    return " · ".join(str(part) for part in (run.get("command"), versions, commit) if part)


def _player_data(evaluation: Evaluation) -> dict[str, Any]:
    """All episodes, or those of the therapists that are followed, so that the file stays small."""
    cells, episodes = {cell.id: cell.label for cell in evaluation.cells}, evaluation.episodes
    if len(episodes) > MOST_EPISODES:
        shown = followed(evaluation)
        episodes = [each for each in episodes if each.therapist in shown][:MOST_EPISODES]
    return {
        "episodes": plain(episodes),
        "labels": evaluation.labels,
        "cells": cells if len(cells) > 1 else {},
        "octants": list(OCTANTS),
        "names": list(OCTANT_NAMES),
        "complement": COMPLEMENT.tolist(),
    }
