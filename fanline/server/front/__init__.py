"""The way from a service's sockets to its app, and its connections.

:mod:`~fanline.server.front.front` puts the parts together: the HTTP application, the gate for WebSockets, the
open connections, and what changes while the service runs.
It comes after :mod:`fanline.server.http`. Before the app answers, the request is checked with
:mod:`fanline.server.request`.
"""
