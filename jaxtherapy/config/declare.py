"""What is known about a setting, and how a dataclass declares one."""

import dataclasses
import math
import types
import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

# Types of settings that become leaves: numbers in a configuration, scalar arrays in the core.
if TYPE_CHECKING:
    from typing import Any as Flag
    from typing import Any as OptionalReal
    from typing import Any as Real
    from typing import Any as Whole
else:
    Real, OptionalReal, Whole, Flag = float, float | None, int, bool


@dataclass(frozen=True)
class Setting:
    """What is known about a setting.

    Attributes:
        group: heading in ``--help``.
        minimum, maximum, above: bounds; ``above`` is an open lower one.
        null: what null means, in words; empty where null is not allowed.
        instead: the number that null stands for; None where a null leaf is no leaf at all.
        of_clients: whether it tells who the clients are, or what their outcomes are worth.
        constant: whether no schedule may stand for it.
        in_file: whether ``config.yaml`` records it: not so for what controls one run only.
        name, type, default: of the dataclass's field; the type without None.
    """

    group: str
    help: str
    unit: str = ""
    choices: tuple[str, ...] = ()
    minimum: float = -math.inf
    maximum: float = math.inf
    above: float = -math.inf
    null: str = ""
    instead: float | None = None
    of_clients: bool = False
    constant: bool = False
    in_file: bool = True
    name: str = ""
    type: Any = None
    default: Any = None

    @property
    def may_vary(self) -> bool:
        """Whether a schedule may stand for it: so for every leaf that is no count."""
        return self.type is float and not self.constant

    @property
    def may_be_drawn(self) -> bool:
        """Whether a distribution may stand for it: so for every number of clients."""
        return self.of_clients and self.type in (int, float)


def setting(group: str, default: Any, help: str, within: str = "", **about: Any) -> Any:
    """A field of a dataclass of settings; ``within`` is an interval such as ``(0, 1]``."""
    if within:
        low, high = (_bound(text) for text in within[1:-1].split(","))
        about |= {"above" if within[0] == "(" else "minimum": low, "maximum": high}
    return dataclasses.field(default=default, metadata={"setting": Setting(group, help, **about)})


def _bound(text: str) -> float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def settings_of(part: type) -> dict[str, Setting]:
    """By name, what is known about each setting of a dataclass."""
    return {
        field.name: dataclasses.replace(
            field.metadata["setting"],
            name=field.name,
            type=_without_none(field.type),
            default=field.default,
        )
        for field in dataclasses.fields(part)
    }


def _without_none(kind: Any) -> Any:
    if isinstance(kind, types.UnionType) and types.NoneType in typing.get_args(kind):
        return typing.get_args(kind)[0]
    return kind


class Part:
    """A frozen dataclass of settings that can be had with some of them changed."""

    def replace(self, **changes: Any) -> Self:
        """The same with other values."""
        return dataclasses.replace(self, **changes)  # type: ignore[type-var]

    @classmethod
    def of(cls, settings: Any) -> Self:
        """The fields of this part, taken from an object that has them all."""
        names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
        return cls(**{name: getattr(settings, name) for name in names})
