"""The HTTP API, the WebSocket endpoints, and the page."""
