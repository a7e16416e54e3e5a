"""The journal of a cluster: frames of several msgqueues, in one order."""
