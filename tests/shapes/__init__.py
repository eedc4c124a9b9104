"""Kraken's documented answers, field by field, and a checker that says where an answer differs.

`forms` is the checker, `private_answers` and `public_answers` are the tables, `scene` brings an account into a state in
which every answer has something in it. Nothing here knows the simulator's code: what is checked may be Kraken itself.
"""
