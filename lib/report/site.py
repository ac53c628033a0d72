"""The stage itself: Sphinx builds the site beside its place, it is pruned and checked, and only then published."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from lib.config import load_catalogue, report_dir, root
from lib.exceptions import StudyError
from lib.files import whole, write_json
from lib.report import pages
from lib.report.guard import leave_out_products, refuse_network

HERE = Path(__file__).parent
# What Sphinx and its theme bring and no page uses.
UNUSED = (
    "**/*.map", "**/*.LICENSE.txt", "**/.gitignore", "**/fa-brands-*", "**/fa-regular-*", "**/webpack-macros.html",
    "_static/plus.png", "_static/minus.png", "_static/file.png", "_static/scripts/scv*", "_static/styles/scv*",
    "objects.inv", ".buildinfo", "_sources",
)  # fmt: skip


def build(catalogue: str) -> Path:
    """Make `reports/CATALOGUE/site/`, whole or not at all, and `reports/index.html`; return the site's folder.

    What shows a product of a catalogue that publishes no examples is left out, and said to be, on its page and here.

    Raises
    ------
    StudyError
        If an input is missing, Sphinx fails, or a page asks the network for something.
    """
    settings = load_catalogue(catalogue)
    with tempfile.TemporaryDirectory(prefix="report-") as folder:
        source, site = Path(folder, "source"), Path(folder, "html")
        summary = pages.write_source(catalogue, settings, source)
        _sphinx(source, site, settings.title)
        _prune(site)
        refuse_network(site)
        if not settings.publish_examples:
            print("\n".join(leave_out_products(catalogue, site)))
        write_json(site / "summary.json", summary)
        with whole(report_dir(catalogue, "site")) as partial:
            shutil.copytree(site, partial)
    write_index()
    return report_dir(catalogue, "site")


def write_index() -> None:
    """Write `reports/index.html`, which leads to every catalogue's site that there is."""
    with whole(root() / "reports" / "index.html") as partial:
        partial.write_text(index_page(), "utf-8")


def index_page() -> str:
    """Return the HTML of `reports/index.html`, from what each site's summary says."""
    return pages.environment().get_template("index.html.j2").render(entries=pages.summaries())


def _sphinx(source: Path, site: Path, title: str) -> None:
    """Run Sphinx in a process of its own, so that nothing of one build reaches the next."""
    command = [sys.executable, "-m", "sphinx", "-q", "-b", "html", "-c", str(HERE), "-d", str(site.parent / "doctrees")]
    command += ["-D", f"project={title}", "-D", f"html_title={title}", str(source), str(site)]
    # A fixed date and order of sets: the same inputs give the same bytes.
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "0", "PYTHONHASHSEED": "0", "STUDY_REPORT": str(os.getpid())}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    messages = done.stderr.replace(f"{source}/", "").strip()
    if done.returncode:
        raise StudyError(f"Sphinx could not build the report:\n{messages}")
    if messages:
        print(messages, file=sys.stderr)


def _prune(site: Path) -> None:
    for pattern in UNUSED:
        for path in sorted(site.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
