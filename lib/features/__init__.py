"""Features: token sequences of texts, vectors of photos."""
