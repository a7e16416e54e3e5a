"""Tests of a pipeline's promises during faults: ``fanline verify``.

Publishers and subscribers of several kinds load a pipeline (:mod:`~fanline.verify.clients`) while a seeded
plan of faults (:mod:`~fanline.verify.plan`) kills, freezes and restarts its services and cuts the links
between them (:mod:`~fanline.verify.faults`). Then everything is healed, what is under way arrives, the log
is read as a whole, and a judge without I/O compares what was sent, what came and what is stored
(:mod:`~fanline.verify.verdict`). Some of those who take part use the public client, others
speak the protocol by hand, as WebSockets or over HTTP, so that neither the client nor the services can hide a
mistake of the other.
"""
