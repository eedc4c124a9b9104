"""Pure decisions: no IO, no clock, no threads, nothing third-party. ``now`` is always an argument."""
