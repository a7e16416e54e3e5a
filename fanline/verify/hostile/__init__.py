"""Put services to the test with a hostile client: `fanline verify --hostile`."""
