"""The tables of papers: their published numbers, what runs of kd have reached, and the page with both."""
