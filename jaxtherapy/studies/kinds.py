"""Which way a sweep's runs are measured."""

from jaxtherapy.studies.runner import Kind
from jaxtherapy.studies.settings import Sweep


def kind_of(sweep: Sweep) -> Kind:
    """Trainings, or therapists that need none.

    Raises:
        RunError: a policy that can't be read, or a function that is no therapist.
    """
    from jaxtherapy.studies.untrained import Untrained

    return Untrained(sweep)
