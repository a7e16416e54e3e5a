"""Start of an installation on this machine: single services, or a cluster."""
