"""One interface to the log, over the wire or in-process, cache included.

Around it: the outbox of a service towards msgqueue, the turns of users who append or read, pages of the log
and their requests, followers of all topics or one, and the record cache.
"""
