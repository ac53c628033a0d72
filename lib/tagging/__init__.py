"""A trained `best` outside the study: one folder, and a function from new products to category paths."""
