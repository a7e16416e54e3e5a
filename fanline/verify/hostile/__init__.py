"""Services under test by a hostile client: `fanline verify --hostile`."""
