"""Presence: users on topics, on all processes of the service.

It applies :mod:`fanline.presence`, the state without I/O, to the topics of the pipeline: it reads and writes
the log, and answers who is there. In chat, ``chat.service.presence`` does so for the members of rooms.
"""
