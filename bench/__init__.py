"""Measurements of the services beside other servers, side by side in one run."""
