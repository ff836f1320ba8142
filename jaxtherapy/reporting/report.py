"""An evaluation as one HTML file that opens offline, and as figures for a paper."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from jaxtherapy.errors import RunError
from jaxtherapy.evaluation.reading import is_evaluation, read_evaluation
from jaxtherapy.evaluation.results import Evaluation
from jaxtherapy.reporting import csv_files, drawing, figures, page
from jaxtherapy.reporting.drawing import Picture, PictureError
from jaxtherapy.reporting.formats import printable
from jaxtherapy.storage.files import write_atomically
from jaxtherapy.storage.logs import Log, find_log, read_log

PAGE = "report.html"
FIGURES = "figures"


def write_report(
    source: str | Path,
    folder: Path | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> list[Path]:
    """Writes ``report.html`` and ``figures/*.png`` and ``*.svg``. Returns the files, the report
    first.

    Args:
        source: ``evaluation.json``, or the folder that it is in.
        folder: where to; beside the JSON by default.
        tell: told a line about each picture that can't be drawn.

    Raises:
        RunError: there is no evaluation, the folder can't be written to, or has files there that
            are not ours.
    """
    source = Path(source).expanduser()
    path = source / "evaluation.json" if source.is_dir() else source
    folder = path.parent if folder is None else folder
    found = read_evaluation(path)
    check_report_is_ours(folder)
    logs = {printable(name): log for name, log in find_logs(found).items()}
    evaluation = printable(found)
    pictures = figures.pictures(evaluation, logs)
    try:
        written = [folder / PAGE, *write_figures(pictures, folder, tell)]
        write_atomically(written[0], page.to_html(evaluation, pictures).encode())
        _remove_figures(folder, keep=written)
    except OSError as error:
        raise RunError(f"can't write to {folder}: {error.strerror}", exit_code=1) from None
    return written


def write_figures(
    pictures: Sequence[Picture], folder: Path, tell: Callable[[str], None]
) -> list[Path]:
    """Writes pictures to ``figures/*.png`` and ``*.svg``; ``tell``: of each that can't be drawn.

    Raises:
        OSError: the folder can't be written to.
    """
    written = []
    (folder / FIGURES).mkdir(parents=True, exist_ok=True)
    for picture in pictures:
        try:
            files = drawing.paper_files(picture)
        except PictureError as error:
            tell(str(error))
            continue
        for kind, contents in files.items():
            written.append(folder / FIGURES / f"{picture.name}.{kind}")
            write_atomically(written[-1], contents)
    return written


def remove_report(folder: Path) -> None:
    """Removes what :func:`write_report` wrote beside an evaluation, and nothing else."""
    check_report_is_ours(folder)
    (folder / PAGE).unlink(missing_ok=True)
    _remove_figures(folder)


def _figures_in(folder: Path) -> list[Path]:
    """Files with the names of our figures."""
    found = sorted((folder / FIGURES).glob("*"))
    return [path for path in found if figures.FILE_NAMES.fullmatch(path.name)]


def _remove_figures(folder: Path, keep: Sequence[Path] = ()) -> None:
    for path in set(_figures_in(folder)) - set(keep):
        path.unlink()


def check_folder_is_ours(folder: Path) -> None:
    """That an evaluation and its report may be written to a folder.

    Raises:
        RunError: they would replace a file that no evaluation of ours there vouches for.
    """
    if not is_evaluation(folder / "evaluation.json"):
        _refuse(folder, (folder / name for name in csv_files.FILES))
    check_report_is_ours(folder)


def check_report_is_ours(folder: Path) -> None:
    """That a report may be written to a folder, or be removed there.

    Raises:
        RunError: a page there is none of ours, or figures are beside nothing of ours.
    """
    if page.is_report(folder / PAGE):
        return
    _refuse(folder, [folder / PAGE])
    if not is_evaluation(folder / "evaluation.json"):
        _refuse(folder, _figures_in(folder))


def _refuse(folder: Path, paths: Iterable[Path]) -> None:
    for path in paths:
        if path.exists() or path.is_symlink():
            raise RunError(
                f"{path} would be replaced, and nothing says that an evaluation wrote it; choose "
                f"another --output-dir than {folder}, or move the file away"
            )


def find_logs(evaluation: Evaluation) -> dict[str, Log]:
    """The training logs that can be found, by therapist."""
    found = {}
    for each in evaluation.therapists:
        known = Path(each.log) if each.log else None
        if each.experiment:
            known = find_log(Path(each.experiment), each.seed, known)
        log = None if known is None else read_log(known)
        if log is not None:
            found[each.id] = log
    return found
