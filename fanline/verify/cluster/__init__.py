"""Put a cluster on this machine to the test: `fanline verify --cluster`."""
