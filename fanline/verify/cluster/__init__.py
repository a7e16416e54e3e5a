"""A cluster under test on this machine: `fanline verify --cluster`."""
