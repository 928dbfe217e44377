"""The report of a benchmark: one page that stands alone."""
