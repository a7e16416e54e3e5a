"""Accepting connections within limits, limiting rates, and counting cut connections.

A connection passes this package first, then :mod:`fanline.server.http`, which reads its requests,
:mod:`fanline.server.front`, which finds who answers them, and :mod:`fanline.server.request`, which checks
them.
"""
