"""``fanline top``: how all services do, who is connected and what lags, in a terminal."""
