"""Evaluation: intervals, comparisons, and verdicts on the paper's claims."""
