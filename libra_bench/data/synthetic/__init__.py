"""A synthetic cohort in PhysioNet's layout: drawn radiographs, reports that say what changed."""
