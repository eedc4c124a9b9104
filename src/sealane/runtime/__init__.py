"""Threads, loops and clocks live here and nowhere else: two thin shells drive the decisions of ``core``."""
