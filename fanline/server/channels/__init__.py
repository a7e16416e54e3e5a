"""Channels: what open WebSockets and event streams have in common.

A connection becomes one when its request is accepted: after :mod:`fanline.server.front`, in
:mod:`fanline.server.websocket` or :mod:`fanline.server.http.event_stream`.
"""
