"""The site: the repository's pages in one folder, built by Zensical, each link checked. It imports nothing of kd."""
