"""The report of a run: one page without network, the figures for papers, and a page that compares runs."""
