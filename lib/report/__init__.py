"""The rendered report: a static site for each catalogue, and the page that leads to them.

`python -m lib.report CATALOGUE` is the stage. Everything that a reader sees is computed from what earlier stages
left on disk; nothing is run again. Nothing is imported here: notebooks draw with `lib.report.kit`, and do not hang on
the pages that are made of them.
"""
