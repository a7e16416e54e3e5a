"""Accept the connections to a service within limits, limit rates, and count those that are cut."""
