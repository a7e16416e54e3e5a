"""Web pages: files in a folder, at addresses of their versions."""
