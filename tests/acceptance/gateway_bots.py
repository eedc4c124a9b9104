"""Bots of a gateway, to be killed: clients as they come, but for their URL and key, each key in a thread of its own.

``worker.py`` with one more role, ``bots``. A bot places orders, asks for its balance and cancels, and says over its
line which order it is about to ask for (``asked``) and how that ended (``told``). Whatever leaves an end open (no
connection, no answer, ``EService``) it asks for again under the same id, until it knows. One that takes a dead bot's
place begins with the order that the dead one had not heard of.
"""

import base64
import hashlib
import hmac
import json
import random
import re
import threading
import time
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import ccxt
import krakenex
import worker
from kraken.base_api import SpotClient

TIMEOUT_S = 10
AGAIN_S = 0.4
PAUSE_S = 0.15
BASE_VOLUME, STEP = 0.001, 1e-8
NEVER = ("EAPI:Invalid nonce", "EAPI:Invalid signature", "EAPI:Invalid key", "EGeneral:Unknown method")
"""What no bot of these should ever be told."""
NOT_PLACED, PATIENCE = "EService:Unavailable", 5
"""Told of an order that is not placed for certain; so often, and a bot gives it up."""

Document = dict[str, Any]
Call = Callable[[str, dict[str, Any], str], Document]
"""Method, fields, and an Idempotency-Key ("" for none), to Kraken's envelope; raises where there is no answer."""


def volume_of(number: int) -> str:
    """What makes an order known in the book: no two orders of an account have the same."""
    return f"{BASE_VOLUME + number * STEP:.8f}"


def ccxt_call(url: str, key: str, secret: str) -> Call:
    exchange = ccxt.kraken({"apiKey": key, "secret": secret, "enableRateLimit": False, "timeout": TIMEOUT_S * 1000})
    exchange.urls["api"]["private"] = url

    def call(method: str, fields: dict[str, Any], repeat_key: str) -> Document:
        try:
            return getattr(exchange, f"privatePost{method}")(fields)
        except ccxt.BaseError as error:  # it tells Kraken's answer in its text, where there was one
            found = re.search(r"\{.*\}", str(error))
            if found is None:
                raise
            return json.loads(found[0])

    return call


def krakenex_call(url: str, key: str, secret: str) -> Call:
    api = krakenex.API(key, secret)
    api.uri = url
    return lambda method, fields, repeat_key: api.query_private(method, fields, TIMEOUT_S)


def python_kraken_sdk_call(url: str, key: str, secret: str) -> Call:
    client = SpotClient(key, secret, url, use_custom_exceptions=False)

    def call(method: str, fields: dict[str, Any], repeat_key: str) -> Document:
        return client.request("POST", f"/0/private/{method}", params=dict(fields), timeout=TIMEOUT_S).json()

    return call


def urllib_call(url: str, key: str, secret: str) -> Call:
    """Nobody's client: signed by hand, with microseconds for a nonce."""

    def call(method: str, fields: dict[str, Any], repeat_key: str) -> Document:
        path, nonce = f"/0/private/{method}", str(time.time_ns() // 1_000)
        body = urlencode({"nonce": nonce, **fields})
        message = path.encode() + hashlib.sha256((nonce + body).encode()).digest()
        sign = base64.b64encode(hmac.digest(base64.b64decode(secret), message, "sha512")).decode()
        headers = {"API-Key": key, "API-Sign": sign} | ({"Idempotency-Key": repeat_key} if repeat_key else {})
        request = urllib.request.Request(url + path, body.encode(), headers)
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            return json.load(answer)

    return call


CLIENTS = {
    "ccxt": ccxt_call,
    "krakenex": krakenex_call,
    "python-kraken-sdk": python_kraken_sdk_call,
    "urllib": urllib_call,
}


class Bot:
    """One key in one thread. ``number`` is its next order's, ``left`` that of one whose end nobody heard."""

    def __init__(self, line: worker.Line, stop: threading.Event, kind: str, config: dict[str, Any]) -> None:
        self._line, self._stop, self._kind, self._name = line, stop, kind, config["name"]
        self._call = CLIENTS[kind](config["url"], config["key"], config["secret"])
        self._number, self._left = config["number"], config["left"]
        self._rng = random.Random(f"{config['seed']} {self._name} {self._number}")

    def run(self) -> None:
        """Until the line says something; an order under way comes to its end."""
        if self._left is not None:
            self._order(self._left)
        txid = ""
        while not self._stop.wait(self._rng.uniform(0, PAUSE_S)):
            act = self._rng.random()
            if act < 0.5:
                txid = self._order(self._number)
                self._number += 1
            elif act < 0.75 or not txid:
                self._try("Balance", {})
            else:
                self._try("CancelOrder", {"txid": txid})
                txid = ""

    def _order(self, number: int) -> str:
        """The order, asked for until its end is known; its txid, or "" where it is not placed."""
        fields = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "price": "1000.0", "volume": volume_of(number)}
        named, repeat_key = self._named(number)
        self._line.say(asked=[self._name, number, volume_of(number)])
        not_placed = 0
        while True:
            document = self._try("AddOrder", fields | named, repeat_key)
            errors = document.get("error")
            if errors == []:
                txid = document["result"]["txid"][0]
                self._line.say(told=[self._name, number, txid])
                return txid
            not_placed += errors == [NOT_PLACED]
            if errors and (errors[0].startswith("EOrder:") or not_placed == PATIENCE):
                self._line.say(told=[self._name, number, ""], errors=errors)
                return ""
            threading.Event().wait(AGAIN_S)

    def _named(self, number: int) -> tuple[dict[str, Any], str]:
        """What the order is known by when it is asked for again: each kind of client has its own way."""
        if self._kind == "krakenex":
            return {"userref": number + 1}, ""
        if self._kind == "urllib" and number % 2:
            return {}, f"{self._name}-{number}"
        return {"cl_ord_id": f"{self._name}-{number}"}, ""

    def _try(self, method: str, fields: dict[str, Any], repeat_key: str = "") -> Document:
        """The answer; {} where there is none."""
        try:
            document = self._call(method, fields, repeat_key)
        except Exception as error:
            self._line.say(unheard=type(error).__name__)
            return {}
        for error in document["error"]:
            if error.startswith(NEVER):
                self._line.say(odd=f"{self._kind} {self._name} {method}: {error}")
        return document


def bots(line: worker.Line, config: dict[str, Any]) -> None:
    """The bots of one process, all of one kind of client."""
    stop = threading.Event()
    crew = [Bot(line, stop, config["kind"], one | {"seed": config["seed"]}) for one in config["bots"]]
    threads = [threading.Thread(target=bot.run) for bot in crew]
    for thread in threads:
        thread.start()
    next(iter(line), None)
    stop.set()
    for thread in threads:
        thread.join()
    line.say(ended=True)


worker.ROLES["bots"] = bots

if __name__ == "__main__":
    worker.nursery()
