"""What the analysis notebooks compute."""
