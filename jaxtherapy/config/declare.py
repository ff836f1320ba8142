"""What is known about a setting, and how a dataclass declares one."""

import dataclasses
import math
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


class ConfigError(ValueError):
    """A setting that can't be used; the message is one line that says what is allowed."""


@dataclass(frozen=True)
class Setting:
    """What is known about a setting beside its name, type and default.

    Attributes:
        group: heading in ``--help``.
        help: one line.
        unit: of numbers.
        choices: names that may be given.
        minimum, maximum, above: bounds; ``above`` is an open lower one.
        null: what null means, in words; empty where null is not allowed.
        instead: the number that null stands for, where it stands for one.
        in_file: whether ``config.yaml`` records it: not so for what controls one run only.
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
    in_file: bool = True


def setting(default: Any, group: str, help: str, **about: Any) -> Any:
    """A field of a dataclass of settings."""
    return dataclasses.field(
        default=default, metadata={"setting": Setting(group=group, help=help, **about)}
    )


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
