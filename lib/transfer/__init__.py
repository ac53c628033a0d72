"""Another marketplace: what was learnt on one catalogue tags another one, whose categories have other names."""
