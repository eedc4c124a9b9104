"""The lines that put a bot on the gateway, for each client that is known here.

The secret stands in one place, the variables for the bot's shell; every other line reads it from there.
"""

from __future__ import annotations

import json
import shlex

KEY, SECRET = "BOT_KEY", "BOT_SECRET"

_CCXT = """
import os, ccxt                      # the same with ccxt.async_support
exchange = ccxt.kraken({
    "apiKey": os.environ["BOT_KEY"], "secret": os.environ["BOT_SECRET"],
    "urls": {"api": {"public": URL, "private": URL}},
})
"""
_KRAKENEX = """
import os, krakenex
api = krakenex.API(os.environ["BOT_KEY"], os.environ["BOT_SECRET"])
api.uri = URL
"""
_SDK = """
import os
from kraken.spot import User         # the same with Trade, Funding, SpotClient; in a coroutine SpotAsyncClient
user = User(key=os.environ["BOT_KEY"], secret=os.environ["BOT_SECRET"], url=URL)
"""
_CURL = """
METHOD=/0/private/Balance; NONCE=$(python3 -c 'from time import time_ns; print(time_ns())'); BODY="nonce=$NONCE"
SIGN=$(python3 -c 'import base64, hashlib, hmac, os, sys
path, nonce, body = (text.encode() for text in sys.argv[1:])
secret = base64.b64decode(os.environ["BOT_SECRET"])
signed = path + hashlib.sha256(nonce + body).digest()
print(base64.b64encode(hmac.digest(secret, signed, "sha512")).decode())' "$METHOD" "$NONCE" "$BODY")
curl -sS URL"$METHOD" -H "API-Key: $BOT_KEY" -H "API-Sign: $SIGN" -d "$BODY"
"""
_FREQTRADE_SHELL = 'export FREQTRADE__EXCHANGE__KEY="$BOT_KEY" FREQTRADE__EXCHANGE__SECRET="$BOT_SECRET"'
_HUMMINGBOT = """
Its address of Kraken is a constant, so this takes a change of its source, at every update again:
in hummingbot/connector/exchange/kraken/kraken_constants.py set BASE_URL = URL
then "connect kraken" and give it the key and the secret. It follows its orders through
GetWebSocketsToken, so the key needs --allow read,trade,cancel,ws-token; what a program does with such a
token passes by the gateway and by this key's limits.
"""


def variables(key: str, secret: str) -> str:
    """The lines for the shell that starts the bot, or for its file of variables: the one place with the secret."""
    return f"export {KEY}={shlex.quote(key)}\nexport {SECRET}={shlex.quote(secret)}"


def client_lines(url: str) -> dict[str, str]:
    """What to paste, by client; none of it holds the key or the secret."""
    python = {"ccxt": _CCXT, "krakenex": _KRAKENEX, "python-kraken-sdk": _SDK}
    quoted = json.dumps(url)
    lines = {client: text.replace("URL", quoted) for client, text in python.items()}
    lines["freqtrade"] = _freqtrade(url)
    lines["hummingbot"] = _HUMMINGBOT.replace("BASE_URL = URL", f"BASE_URL = {quoted}")
    lines["curl"] = _CURL.replace("URL", shlex.quote(url))
    return {client: text.strip() for client, text in lines.items()}


def _freqtrade(url: str) -> str:
    """Its key and secret from the environment, the address in its config.json."""
    urls = {"urls": {"api": {"public": url, "private": url}}}
    exchange = {"exchange": {"name": "kraken", "ccxt_config": urls, "ccxt_async_config": urls}}
    return f"{_FREQTRADE_SHELL}\nconfig.json:\n{json.dumps(exchange, indent=2)}"


def printed(url: str) -> str:
    """All of them, each under its client's name."""
    return "\n\n".join(f"--- {client}\n{text}" for client, text in client_lines(url).items())
