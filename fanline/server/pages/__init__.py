"""Web pages of a service: files in a folder, at addresses that change with them."""
