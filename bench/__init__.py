"""Benchmarks: what a nonce, a call, a process and an account cost, beside bare loops and other clients.

``make bench`` runs them all, ``python -m bench nonces imports`` the named ones. Absolute rates say something of the
machine; the results are *ratios* of things taken side by side, in turns, within one run.
"""
