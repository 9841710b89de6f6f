"""A run's pages: HTML, Markdown and LaTeX, beside published numbers where they may stand."""
