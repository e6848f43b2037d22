"""Reports for kdcore: the page of a run, the page that compares runs, `kd eval`, and the charts of pages."""
