"""Therapists compared on the same clients, in outcomes and in the course of therapy.

>>> from jaxtherapy.client import ClientParams
>>> from jaxtherapy.evaluation import compare_therapists
>>> told = compare_therapists(["complementary", "random"], ClientParams(threshold=0.7), 100)
"""

from jaxtherapy.discovery import lazily

_ROOM = "jaxtherapy.evaluation"
_NAMES = {"Evaluation": f"{_ROOM}.results", "compare_therapists": f"{_ROOM}.evaluation"}
__all__ = sorted(_NAMES)
__getattr__ = lazily(__name__, _NAMES)
