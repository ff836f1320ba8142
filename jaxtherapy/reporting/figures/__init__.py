"""The pictures of an evaluation, from what ``evaluation.json`` says and nothing else."""

import re
from collections.abc import Mapping

from jaxtherapy.evaluation.results import Evaluation
from jaxtherapy.reporting import learning_curves
from jaxtherapy.reporting.drawing import Picture
from jaxtherapy.reporting.figures import course, outcomes, responses
from jaxtherapy.reporting.selection import followed
from jaxtherapy.storage.logs import Log

FILE_NAMES = re.compile(
    r"(?:learning_curves|comparison|differences|cells|seeds|course"
    r"|(?:course|trajectories|responses)_[0-9]+_[A-Za-z0-9_]{1,40})\.(?:png|svg)"
)
"""The names of all files that pictures can become."""


def pictures(evaluation: Evaluation, logs: Mapping[str, Log]) -> list[Picture]:
    """All pictures that this evaluation has the numbers for; ``logs`` by therapist."""
    made = [
        learning_curves.learning_curves(evaluation, logs),
        outcomes.comparison(evaluation),
        outcomes.differences(evaluation),
        outcomes.by_cell(evaluation),
        outcomes.across_seeds(evaluation),
        course.course_of_all(evaluation),
    ]
    for place, name in enumerate(followed(evaluation), 1):
        of_one = evaluation.courses_by_therapist[name]
        made += [
            course.course_of_one(evaluation, of_one, place),
            course.trajectories(evaluation, of_one, place),
            responses.response_maps(evaluation, of_one, place),
        ]
    return [picture for picture in made if picture is not None]
