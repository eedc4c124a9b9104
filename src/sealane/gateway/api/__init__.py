"""Kraken's own REST protocol for any program: a request comes in, and an answer in Kraken's envelope goes out.

``request.py`` reads it, ``calls.py`` asks ``keys`` who it is and what that may do and puts it on its account's lane,
``envelope.py`` says what came of it; ``gateway.py`` is all of them together as an ASGI application.
"""
