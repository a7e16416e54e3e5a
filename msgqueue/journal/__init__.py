"""The journal of a cluster: frames that several msgqueues write, and all read in one order."""
