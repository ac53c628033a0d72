"""The table of results in README.md, and whether it and the index are those of the committed reports."""

import json
import shutil

import pytest
from made_site import ROOT

from lib.exceptions import StudyError
from lib.report import readme, site


def test_readme_table_is_written_between_its_markers(made):
    for path in (*ROOT.glob("reports/demo/*.csv"), ROOT / "reports/demo/site/summary.json"):
        copy = made / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    page = made / "README.md"
    finding = "<!-- finding:begin -->\nstale\n<!-- finding:end -->"
    page.write_text(f"Before\n{finding}\n<!-- results:begin -->\nold\n<!-- results:end -->\nAfter\n")
    summary = made / "reports/demo/site/summary.json"
    worth = r"By the paper's recipe \1 points."
    summary.write_text(json.dumps(json.loads(summary.read_text()) | {"worth": worth}))
    readme.update_readme()
    text = page.read_text()
    assert text.startswith("Before\n")
    assert text.endswith("\nAfter\n")
    assert "| best | " in text
    assert "old" not in text
    assert f"<!-- finding:begin -->\n{worth} (`demo`)\n<!-- finding:end -->" in text
    assert "stale" not in text
    readme.update_readme()
    assert page.read_text() == text
    page.write_text("no markers")
    with pytest.raises(StudyError, match="results:begin"):
        readme.update_readme()


@pytest.mark.skipif(not list(ROOT.glob("reports/*/intervals.csv")), reason="no results are committed yet")
def test_readme_and_index_of_the_project_are_up_to_date(monkeypatch):
    monkeypatch.delenv("STUDY_ROOT", raising=False)
    assert readme.readme_table() in (ROOT / "README.md").read_text("utf-8"), "run `python -m lib.report.readme`"
    assert site.index_page() == (ROOT / "reports/index.html").read_text("utf-8"), "run `python -m lib.report --index`"
