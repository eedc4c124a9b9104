"""Lanes leased by a Redis or Valkey server, version 6 or later; needs the extra ``sealane[redis]``.

``engine.py`` the verbs, ``*.lua`` the steps (each one script, so that nobody comes between), ``address.py`` the URL,
``wire.py`` connections and what their failures mean, ``nodes.py`` the nodes of a cluster, ``listener.py`` who is told
that a lane is wanted.

What is promised when the server fails. In every mode a restarted, promoted or emptied server grants nothing for one
lease, epochs are above all earlier ones, and two hosts have a lane at once in no row but those that say so. "Forgets"
means that floors and documents may be older than what was answered: the next holder starts from the clock then, which
repeats a nonce only where the key was ahead of the clock.

    server                          killed, restarted       power lost              replica promoted
    no persistence                  forgets all             forgets all             forgets what it missed
    RDB snapshots                   forgets to the last     forgets to the last     forgets what it missed
    AOF, appendfsync no             forgets nothing         forgets some 30 s       forgets what it missed
    AOF, appendfsync everysec       forgets nothing         forgets 1 s or 2        forgets what it missed
    AOF, appendfsync always         forgets nothing         forgets nothing         forgets what it missed
    the same with ?replicas=N       as above                as above                nothing, if one of the N is promoted

A server that gets its first replica, or had none for an hour, begins a new history, and a slot that moves in a cluster
gets a new server: they count as restarts too. Holders go on renewing meanwhile; only nobody else is granted a lane.

Cut off from its replicas, a primary goes on serving the hosts on its side: another host may be granted the lane by the
replica that was promoted meanwhile, one lease after. With ``?replicas=N`` (N at least a majority of the replicas) it
cannot: what fewer than N took is Unavailable, and its holder stops when its lease ends.

``sync`` of an intent: with AOF the server is waited for until its disk has it (WAITAOF: Redis 7.2, any Valkey; some
0.1 s under ``everysec``). With AOF on an older server, ``appendfsync no``, or no AOF, there is nothing to wait for, and
an intent is as durable as the table says.

One address is spoken to. Where another server takes over, the address has to lead to it: a name, a proxy, or a cluster;
Sentinel is not asked.

The server must not evict keys that have no time to live (``maxmemory-policy`` noeviction or volatile-*): another policy
is refused. Its user needs, on the prefix's keys and channels: EVAL, EVALSHA, the commands in the scripts (INFO and TIME
among them), BLPOP, SUBSCRIBE, HGETALL, for copies of a store SCAN, and WAIT or WAITAOF where they are used. The lease's
length is taken from each host's URL and has to be the same in all.
"""
