"""The load generator: subscribers, publishers, and the rig that drives them in processes of their own."""
