"""Convert between PyTorch's ``.pth`` files and experiments that training here can go on from.

``python -m jaxtherapy.convert tianshou_checkpoint.pth models/imported`` makes an experiment's
folder, with Orbax checkpoint, that ``--resume-from models/imported`` continues.
``python -m jaxtherapy.convert models/quickstart therapist.pth`` writes its latest Orbax checkpoint
as a ``.pth`` file for PyTorch or Tianshou 1.x. A target that ends in ``.safetensors`` gets the
weights of a folder or a ``.pth`` file.
"""

import argparse
from pathlib import Path

from jaxtherapy import config as configuration
from jaxtherapy.cli.launch import command, importing
from jaxtherapy.errors import RunError


def _path(text: str) -> Path:
    return Path(configuration.expanded(text))


def build_parser() -> argparse.ArgumentParser:
    """All flags."""
    parser = configuration.OneLineParser(
        prog="python -m jaxtherapy.convert",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("source", type=_path, help="a .pth or .safetensors file, or an experiment's folder")
    add("target", type=_path, help="a new experiment's folder, or a .pth or .safetensors file")
    add("--config", help="YAML file of settings for a new experiment")
    add("--step", type=int, help="which checkpoint of a folder; default the latest")
    add("--seed", type=int, help="which seed of a folder; default the first")
    add("--weights-only", action="store_true", help="write a state dict, as policy_*.pth is")
    return parser


@command(build_parser, "interrupted; what was to be written may be incomplete")
def main(given: argparse.Namespace) -> None:
    """Converts, and says what was written."""
    with importing():
        import jax

        from jaxtherapy.cli.conversion import convert
        from jaxtherapy.devices.pinned import pin

    pin()
    jax.config.update("jax_platforms", "cpu")  # nothing here is worth a GPU's start-up
    try:
        note = convert(given)
    except OSError as error:
        reason = f"{error.filename or given.target}: {error.strerror or error}"
        raise RunError(f"can't convert: {reason}") from None
    print(note)
