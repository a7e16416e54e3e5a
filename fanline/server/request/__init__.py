"""Requests before any answer: origins, proxies, and the problems that refuse them."""
