"""Training: the loop, the grid of runs, and what a run got right."""
