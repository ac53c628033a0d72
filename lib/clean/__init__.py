"""Cleaning: texts, masking, near-duplicates, splits, and what is true of a generated catalogue."""
