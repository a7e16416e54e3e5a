"""The chat service, an application on the pipeline with its own page."""
