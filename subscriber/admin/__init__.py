"""The status page and its API, by which admins watch an installation."""
