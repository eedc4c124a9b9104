"""Compare Kraken itself with what the tests take it for; opt-in, never run by `make test`. See docs/live.md.

`gate` lets nothing through that could change an account, `plan` is what is asked, `drift` is the report.
"""
