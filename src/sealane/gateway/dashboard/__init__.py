"""The dashboard: one page, made here from the document of ``statistics.py``, and the stream that keeps it fresh.

    statistics ──▶ page (accounts, lanes, passage, plots) ──▶ routes: /  /statistics  /events  and two files
                                                                          │
                                                            stream: the same page again, every 2 s

1. There is one maker of markup, in Python. The script puts a newer page in the place of the older one and draws nothing
   itself, so that without it the page is the same, and only does not move.
2. What others wrote is escaped on its way into markup: ``markup.html`` lets nothing else through.
3. It changes nothing: GET and HEAD only, no form, no request to anywhere else.
"""
