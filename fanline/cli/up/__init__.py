"""Start an installation on this machine: one of each service, or a cluster."""
