"""Sphinx settings of every catalogue's site. `lib/report/site.py` gives the title with `-D`."""

import os
from pathlib import Path

from lib.processes import end_with_parent

if "STUDY_REPORT" in os.environ:
    end_with_parent(int(os.environ["STUDY_REPORT"]))

_here = Path(__file__).parent

extensions = ["myst_nb"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb"}
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
myst_disable_syntax = ["html_inline", "html_block"]  # a name from outside is never HTML
suppress_warnings = ["myst.header"]  # a notebook's prose may skip a level

nb_execution_mode = "off"
nb_code_prompt_show = "Show code"
nb_code_prompt_hide = "Hide code"
nb_output_stderr = "remove"
nb_render_markdown_format = "commonmark"
nb_ipywidgets_js: dict[str, dict[str, str]] = {}  # the default asks a network for its scripts

html_theme = "pydata_sphinx_theme"
html_static_path = [str(_here / "static")]
templates_path = [str(_here / "layout")]
html_css_files = ["study.css"]
html_show_search_summary = False  # a summary needs requests that pages on disk may not make
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_use_index = False
html_domain_indices = False
html_last_updated_fmt = None
html_permalinks_icon = "#"
html_sidebars = {"**": ["contents"]}
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system has it
html_theme_options = {
    "navbar_center": [],
    "navbar_end": ["all-catalogues", "theme-switcher"],
    "navbar_persistent": ["search-button"],
    "search_bar_text": "Search this report ...",
    "secondary_sidebar_items": ["page-toc"],
    "show_nav_level": 2,
    "show_toc_level": 2,
    "footer_start": [],
    "footer_end": [],
    "article_header_start": [],
    "primary_sidebar_end": [],
}
