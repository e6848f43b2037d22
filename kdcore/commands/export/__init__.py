"""A run's student for other people's tools: exported in their formats, and pushed to the Hugging Face hub."""
