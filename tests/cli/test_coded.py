"""The command for coded therapies: the sample in docs/, from file to page."""

import re
from pathlib import Path

from jaxtherapy.cli.coded import main
from jaxtherapy.evaluation.reading import read_evaluation

SAMPLE = Path(__file__).parents[2] / "docs/coded_octants.csv"


def test_the_sample_becomes_a_report(tmp_path, capsys):
    folder = tmp_path / "report"
    arguments = [str(SAMPLE), "--output-dir", str(folder), "--bootstrap-samples", "100"]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "12 therapies, 452 sessions" in said and "coded ones have" in said
    written = {path.name for path in folder.iterdir()}
    assert written == {"evaluation.json", "evaluation_shapes.csv", "report.html", "figures"}
    assert len(read_evaluation(folder / "evaluation.json").courses) == 1
    page = (folder / "report.html").read_text()
    sections = re.findall(r"<h2 [^>]*>([^<]+)", page)
    assert sections == ["In short", "Course of therapy", "Response maps", "How it was done"]
    assert "12 therapies, 8 successes" in page and "as heard" not in page
    assert main([*arguments, "--no-report"]) == 0  # ours is replaced, with its report
    assert not (folder / "report.html").exists()


def test_a_mistake_is_a_line(tmp_path, capsys):
    (tmp_path / "octants.csv").write_text("therapy,session,client,therapist\n1,1,D,9\n")
    assert main([str(tmp_path / "octants.csv"), "--output-dir", str(tmp_path / "out")]) == 2
    assert re.fullmatch(r"error: .*row 2: therapist is '9'.*\n", capsys.readouterr().err)
    assert not (tmp_path / "out").exists()
