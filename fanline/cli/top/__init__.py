"""``fanline top``: state, users and delays of all services, in a terminal."""
