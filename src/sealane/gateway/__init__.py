"""The service: health, metrics, and the dashboard.

    cli/serve ──▶ server ──▶ app (paths) ──▶ health ◀── sightings ◀── watcher (threads) ──▶ fleet (accounts)
                                │                           │
                                └──▶ metrics ◀──────────────┴── tallies ◀── telemetry

1. A request only reads: what is shown was seen by the watcher, on threads of its own, and says when. So a page that is
   asked for never waits for a lane, a disk or Kraken, and never makes the service look fresher than it is.
2. What decides is pure: ``health.py`` makes a verdict of what was seen and of the time.
3. Nothing that is shown holds a secret; a key appears as its last four characters. Amounts are on the dashboard and in
   its document alone, and only where the settings let them be.
"""
