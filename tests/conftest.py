import pytest

VARIABLES = ("KRAKEN_", "COINBASE_", "SEALANE_", "DATA_DIR", "HARD_BUY_OFF")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    """No test sees the machine's own settings or another test's lane, or writes into the folder it is started from."""
    import os
    import sys

    for name in tuple(os.environ):
        if name.startswith(VARIABLES) and name not in ("SEALANE_SOAK", "SEALANE_SEED"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    if "sealane.global_nonce" in sys.modules:  # brokers make the process-wide manager, in the folder of that moment
        monkeypatch.setattr("sealane.global_nonce._manager", None)


@pytest.fixture
def fresh_manager(monkeypatch):
    """A process-wide nonce manager of this test's own."""
    from sealane import global_nonce

    monkeypatch.setattr(global_nonce, "_manager", None)
    return global_nonce
