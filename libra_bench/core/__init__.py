"""What every other part shares and what knows nothing of them: errors, records, files."""
