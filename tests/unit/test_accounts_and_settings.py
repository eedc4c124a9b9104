import base64

import pytest

from sealane import AsyncKraken, Kraken, SettingsError
from sealane.client.accounts import account_credentials, account_names, all_credentials
from sealane.client.settings import Settings

SECRET = base64.b64encode(b"s" * 64).decode()
OTHER = base64.b64encode(b"t" * 64).decode()
MASTER = {"KRAKEN_API_KEY": "master-key-abcd", "KRAKEN_API_SECRET": SECRET}
USER = {"KRAKEN_USER_daivon_frazier_API_KEY": "daivon-key-wxyz", "KRAKEN_USER_daivon_frazier_API_SECRET": OTHER}


def test_master_and_users_with_underscores():
    assert account_names(MASTER | USER) == ("MASTER", "daivon_frazier")
    found = account_credentials(MASTER | USER, "daivon_frazier")
    assert (found.account, found.api_key, found.secret.reveal()) == ("daivon_frazier", "daivon-key-wxyz", b"t" * 64)
    assert account_credentials(MASTER).shown_key == "…abcd"


def test_a_users_name_in_another_case_where_it_is_unambiguous():
    environ = {name.upper(): value for name, value in USER.items()}
    assert account_credentials(environ, "daivon_frazier").account == "DAIVON_FRAZIER"
    with pytest.raises(SettingsError, match="could be any of"):
        account_credentials(USER | environ, "Daivon_Frazier")


@pytest.mark.parametrize("missing", sorted(MASTER | USER))
def test_half_a_pair_names_the_missing_variable(missing):
    environ = {name: value for name, value in (MASTER | USER).items() if name != missing}
    with pytest.raises(SettingsError, match=f"{missing} is not set"):
        all_credentials(environ)


@pytest.mark.parametrize("blank", ["", "  "])
def test_empty_counts_as_unset(blank):
    assert account_names(dict.fromkeys(MASTER, blank) | USER) == ("daivon_frazier",)
    with pytest.raises(SettingsError, match="KRAKEN_API_SECRET is not set"):
        account_credentials(MASTER | {"KRAKEN_API_SECRET": blank})


def test_one_users_missing_half_does_not_stop_master():
    assert account_credentials(MASTER | {"KRAKEN_USER_x_API_KEY": "half"}).account == "MASTER"


def test_the_same_key_under_two_names_is_an_error():
    twice = {"KRAKEN_USER_b_API_KEY": MASTER["KRAKEN_API_KEY"], "KRAKEN_USER_b_API_SECRET": SECRET}
    with pytest.raises(SettingsError, match=r"KRAKEN_USER_b_API_KEY and KRAKEN_API_KEY"):
        account_credentials(MASTER | twice)


def test_a_user_is_not_called_master():
    with pytest.raises(SettingsError, match="another name"):
        account_names({"KRAKEN_USER_MASTER_API_KEY": "x"})


def test_an_account_without_a_key_names_the_variable_and_who_there_is():
    with pytest.raises(SettingsError, match=r"KRAKEN_USER_nobody_API_KEY; there are: MASTER"):
        account_credentials(MASTER, "nobody")


def test_a_second_factor():
    who = account_credentials(MASTER | {"KRAKEN_API_OTP": "1234"})
    assert who.otp is not None
    assert who.otp.reveal() == b"1234"
    assert "1234" not in repr(who)


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"KRAKEN_SPOT_URL": "api.kraken.com"}, "KRAKEN_SPOT_URL"),
        ({"KRAKEN_SPOT_URL": "http://api.kraken.com"}, "only loopback"),
        ({"KRAKEN_SPOT_URL": "https://api.kraken.com/0/private"}, "scheme, host and port alone"),
        ({"KRAKEN_SPOT_URL": "https://user:word@api.kraken.com"}, "scheme, host and port alone"),
        ({"SEALANE_LANES": "many"}, "SEALANE_LANES.*global, per-key"),
        ({"SEALANE_TIER": "gold"}, "SEALANE_TIER.*starter"),
        ({"SEALANE_NONCE_UNIT": "us"}, "SEALANE_NONCE_UNIT=us needs SEALANE_LANES=per-key"),
        ({"SEALANE_NONCE_UNIT": "s", "SEALANE_LANES": "per-key"}, "SEALANE_NONCE_UNIT"),
        ({"SEALANE_MIN_INTERVAL_MS": "fast"}, "SEALANE_MIN_INTERVAL_MS.*whole number"),
        ({"SEALANE_MIN_INTERVAL_MS": "-1"}, "SEALANE_MIN_INTERVAL_MS"),
    ],
)
def test_a_wrong_setting_names_the_variable(environ, message):
    with pytest.raises(SettingsError, match=message):
        Settings.from_env(environ)


def test_defaults_and_what_empty_means():
    settings = Settings.from_env({"KRAKEN_SPOT_URL": "", "DATA_DIR": " ", "SEALANE_LANES": ""})
    assert settings == Settings()
    assert (settings.url, settings.store, settings.lanes) == ("https://api.kraken.com", "file:./data", "global")


def test_the_store_follows_the_data_folder_unless_it_is_named():
    assert Settings.from_env({"DATA_DIR": "/app/data"}).store == "file:/app/data"
    assert Settings.from_env({"DATA_DIR": "/app/data", "SEALANE_STORE": "memory:"}).store == "memory:"


def test_a_bad_last_nonce_is_told_and_passed_over(caplog):
    assert Settings.from_env({"KRAKEN_LAST_NONCE": "lots"}).last_nonce == 0
    assert "KRAKEN_LAST_NONCE" in caplog.text


@pytest.mark.parametrize("store", ["mysql://localhost", "sqlite:x", "memory:x"])
def test_a_store_that_is_not_there_says_what_is(store):
    with pytest.raises(SettingsError, match="file:<folder>"):
        Kraken(api_key="a-key-of-mine", api_secret=SECRET, store=store)


def test_a_store_url_does_not_show_its_password():
    with pytest.raises(SettingsError) as caught:
        Kraken(store="mysql://user:hush@localhost")
    assert "hush" not in str(caught.value)
    environ = {"SEALANE_STORE": "redis://user:hush@localhost"}
    assert "hush" not in repr(Settings.from_env(environ)) + repr(Settings.from_env(environ).open())


@pytest.mark.parametrize("client", [Kraken, AsyncKraken])
def test_a_client_without_a_key_has_no_private_calls(client):
    kraken = client(store="memory:")
    with pytest.raises(SettingsError, match="KRAKEN_API_KEY"):
        coroutine = kraken.private("Balance")
        coroutine.send(None)
    assert "without a key" in repr(kraken)


def test_half_a_pair_of_arguments():
    with pytest.raises(SettingsError, match="together"):
        Kraken(api_key="only")
