"""What goes over the wire: topics, messages, the frames of every endpoint, and codes. No I/O."""
