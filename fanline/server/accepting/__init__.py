"""Accept the connections to a service within limits, and count those that are cut."""
