"""Data: PhysioNet's files, report sections, prior images, other corpora, the synthetic cohort."""
