import pytest

# The contract ships with the package: without this its asserts would fail without showing their values.
for part in ("draws", "turns", "states", "rates", "processes", "intents", "owners", "contents"):
    pytest.register_assert_rewrite(f"sealane.testing.contract_{part}")
