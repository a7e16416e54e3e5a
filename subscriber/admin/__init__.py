"""The status page and its API: what happens in an installation, for admins."""
