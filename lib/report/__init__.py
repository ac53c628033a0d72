"""The rendered report: a static site for each catalogue, and the page that leads to them.

`python -m lib.report CATALOGUE` is the stage. Everything that a reader sees is computed from what earlier stages
left on disk; nothing is run again.
"""

from lib.report.readme import readme_table, results_summary, update_readme
from lib.report.site import build, write_index

__all__ = ["build", "readme_table", "results_summary", "update_readme", "write_index"]
