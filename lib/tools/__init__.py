"""Around the study: it runs the pipeline, hands on what was run, and keeps outputs out of notebooks."""
