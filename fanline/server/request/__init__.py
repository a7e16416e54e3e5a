"""Requests before any answer: origins, proxies, and the problems that refuse them.

Used by :mod:`fanline.server.front`, which has the request from :mod:`fanline.server.http`.
"""
