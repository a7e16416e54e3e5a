"""HTTP of a service: its connections, middleware, and streams of events.

It comes after :mod:`fanline.server.accepting`, and hands requests to :mod:`fanline.server.front`.
"""
