"""The thin modules that the study's notebooks share.

Data flows through them from left to right, and a module imports only from its left:

errors, config, artifacts, workers | records, schemas | fetch, collect | clean, splits | text | photos, image |
evaluate | data, encode, models, fit, runs, train | bootstrap, pairs, contrasts, results | view |
figures, tables, charts, forests, level_charts | paper_figures, experiments, findings, answer | report
"""
