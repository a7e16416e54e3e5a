"""Everything that a service needs to run: listener, WebSocket, login, process, workers, health, metrics."""
