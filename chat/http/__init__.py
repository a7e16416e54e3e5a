"""The HTTP API and the WebSocket endpoints of chat."""
