"""Every known trouble found by one look, each told in plain words with its remedy. A face: ``sealane doctor`` shows it.

    findings = examine(Visit(os.environ))
    verdict(findings)                      # "sound", "warnings" or "faults"

1. Nothing is mended and nothing kept: the one file that is written is a trial in the data folder, removed at once. A
   key is asked by one harmless call on its lane, which draws a nonce; it is tried once, and moves and stops nothing.
2. Facts are gathered apart from judging them: a check is a pure function, facts in and findings out.
3. A check that breaks, or takes too long, is itself a finding, and the others go on.
4. No finding holds a secret: whatever a check says is cleared of the environment's secrets before anybody sees it.

``finding`` what is found · ``folder`` ``mounts`` ``platform`` where the data lies · ``store_facts`` ``nonce_files``
``writers`` ``key_states`` what stands in it · ``settings_check`` ``names`` the environment · ``clock`` ``keys``
``nonce_clients`` what Kraken says · ``deploy_files`` and its parts, ``typescript`` · ``examination`` all, in order.
"""

from sealane.doctor.examination import Visit, examine
from sealane.doctor.finding import Finding, Level, verdict, worst_first

__all__ = ["Finding", "Level", "Visit", "examine", "verdict", "worst_first"]
