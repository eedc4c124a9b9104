"""``sealane keys``: make, show, pause, rotate and revoke virtual keys.

A secret is printed by ``create`` and ``rotate`` alone, in one place, this once. A key text is no secret, as Kraken's
are none: ``show`` prints it whole, lists and messages its last four characters.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from sealane.cli import key_lines
from sealane.cli.key_options import address, moment_s, policy_in, span_s
from sealane.cli.output import AccountOption, JsonFlag, console, diagnostics, print_json, told_errors
from sealane.cli.serve import SIMULATED_ACCOUNTS
from sealane.client.accounts import MASTER, account_credentials, account_names
from sealane.core.nonce import NS_PER_S
from sealane.errors import SettingsError
from sealane.gateway.keys import gateway_folder
from sealane.gateway.keys.key_file import KeyFile
from sealane.gateway.keys.policy import FUND, WS_TOKEN, Policy, method_class, told
from sealane.gateway.keys.virtual_key import VirtualKey
from sealane.gateway.settings import HOST, PORT, is_loopback
from sealane.runtime.clock import SYSTEM_CLOCK

ACTIVE = "active"
_COLOURS = {"active": "green", "paused": "yellow", "expired": "red", "revoked": "dim"}

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The virtual key's name.")]
UrlOption = Annotated[
    str | None, typer.Option("--url", help=f"The gateway's address, for the lines to paste; else {HOST} and PORT.")
]

app = typer.Typer(help="Virtual keys: what bots sign with, and what each may do.", no_args_is_help=True)


@app.command("create")
def create(
    name: NameArgument,
    *,
    account: AccountOption = MASTER,
    allow: Annotated[
        str | None,
        typer.Option("--allow", help="By commas: read, trade, cancel (the default), fund, ws-token, or methods."),
    ] = None,
    pairs: Annotated[str | None, typer.Option("--pairs", help="Orders on these alone, such as XBTUSD,ETHUSD.")] = None,
    max_order: Annotated[
        str | None, typer.Option("--max-order", help="The largest order: 500 (quote currency), 500USD or 0.5XBT.")
    ] = None,
    price_band: Annotated[
        str | None, typer.Option("--price-band", help="How far a limit price may be from the last, such as 5%.")
    ] = None,
    orders: Annotated[
        str, typer.Option("--orders", help="own: it cancels and changes its own orders; all: any of the account's.")
    ] = "own",
    share: Annotated[
        str | None, typer.Option("--share", help="At most so much of the account's rate budget, such as 25%.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", help="After a span such as 30d, or at a date (UTC).")
    ] = None,
    url: UrlOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Make a virtual key and print its secret, this once, with the lines to paste into a bot."""
    with told_errors(as_json):
        now_s, at = _now_s(), _address(url)
        policy = policy_in(
            allow=allow, pairs=pairs, max_order=max_order, price_band=price_band, orders=orders, share=share
        )
        ends_s = None if expires is None else moment_s(expires, now_s)
        key, secret = _file().create(name, _account(account), policy, now_s, ends_s)
        _warn(policy, at)
        _print_made(key, secret, at, as_json)


@app.command("list")
def list_(as_json: JsonFlag = False) -> None:
    """List every key, revoked ones too."""
    with told_errors(as_json):
        keys, now_s = _file().all(), _now_s()
        if as_json:
            print_json([_document(key, now_s) for key in keys])
        elif keys:
            console.print(_listed(keys, now_s))
        else:
            console.print(f"no key in {_file().path}: make one with 'sealane keys create NAME'", soft_wrap=True)


@app.command("show")
def show(name: NameArgument, as_json: JsonFlag = False) -> None:
    """Show one key, its key text whole, and no secret."""
    with told_errors(as_json):
        key, now_s = _file().named(name), _now_s()
        document = _document(key, now_s) | {"key": key.current.key, "also_valid": _also_valid(key, now_s)}
        if as_json:
            print_json(document)
        else:
            console.print(_shown(key, now_s, whole=True))


@app.command("pause")
def pause(name: NameArgument, as_json: JsonFlag = False) -> None:
    """Refuse all its calls from now on, until it is resumed."""
    with told_errors(as_json):
        _print_changed(_file().pause(name), as_json)


@app.command("resume")
def resume(name: NameArgument, as_json: JsonFlag = False) -> None:
    """Let the calls of a paused key pass again."""
    with told_errors(as_json):
        _print_changed(_file().resume(name), as_json)


@app.command("revoke")
def revoke(name: NameArgument, as_json: JsonFlag = False) -> None:
    """End it for good, from the gateway's next call on."""
    with told_errors(as_json):
        _print_changed(_file().revoke(name, _now_s()), as_json)


@app.command("rotate")
def rotate(
    name: NameArgument,
    grace: Annotated[str, typer.Option("--grace", help="How long the old key goes on, such as 1h.")] = "0",
    url: UrlOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Give it a new key text and secret; its name, policy and orders stay."""
    with told_errors(as_json):
        at = _address(url)
        key, secret = _file().rotate(name, _now_s(), span_s("--grace", grace))
        _print_made(key, secret, at, as_json)


# --- what the environment says ----------------------------------------------------------------------------------------


def _file() -> KeyFile:
    return KeyFile(gateway_folder(os.environ))


def _now_s() -> float:
    return SYSTEM_CLOCK.wall_ns() / NS_PER_S


def _account(name: str) -> str:
    """The account as it is spelled; without any key, one of those that ``sealane serve`` simulates."""
    if account_names(os.environ):
        return account_credentials(os.environ, name).account
    from sealane.simulator.accounts import make_accounts

    simulated = {one.name.casefold(): one.name for one in make_accounts(SIMULATED_ACCOUNTS, seed=0)}
    if name.casefold() not in simulated:
        raise SettingsError(
            f"account {name} has no API key, and no other has: the key would be for the built-in exchange of "
            f"'sealane serve', whose accounts are {', '.join(simulated.values())}"
        )
    return simulated[name.casefold()]


def _address(url: str | None) -> str:
    return address(url or f"http://{HOST}:{os.environ.get('PORT', '').strip() or PORT}")


# --- what is printed --------------------------------------------------------------------------------------------------


def _warn(policy: Policy, url: str) -> None:
    """What a person should have meant; on stderr, so for programs too."""
    kinds = policy.allow | {method_class(method, {}) for method in policy.allow}
    if FUND in kinds:
        _tell("this key can move funds out of the account: whoever has its secret can too")
    if WS_TOKEN in kinds:
        _tell("with a WebSocket token a bot passes by the gateway: none of this key's other limits hold there")
    if not policy.own_orders:
        _tell("this key cancels and changes all orders of the account, also other bots' and your own")
    if url.startswith("http:") and not is_loopback(urlsplit(url).hostname or ""):
        _tell(f"{url} is not encrypted: whoever is on the way reads every call")


def _tell(text: str) -> None:
    diagnostics.print(f"[yellow]warning:[/] {escape(text)}", soft_wrap=True)


def _print_made(key: VirtualKey, secret: str, url: str, as_json: bool) -> None:
    if as_json:
        print_json({"name": key.name, "key": key.current.key, "secret": secret})
        return
    console.print(_shown(key, _now_s(), whole=False))
    console.print("\n[bold]The secret, this once:[/] put these where the bot starts, and nowhere else.\n")
    print(key_lines.variables(key.current.key, secret))
    console.print("\n[bold]Then, in the bot:[/]\n")
    print(key_lines.printed(url))
    if not account_names(os.environ):
        _tell("no key of Kraken is set, so this key is for the built-in exchange of 'sealane serve' alone")


def _print_changed(key: VirtualKey, as_json: bool) -> None:
    now_s = _now_s()
    if as_json:
        print_json(_document(key, now_s))
    else:
        console.print(f"key {key.name} of {key.account} is {key.status(now_s)}", soft_wrap=True, markup=False)


def _document(key: VirtualKey, now_s: float) -> dict[str, Any]:
    return {
        "name": key.name,
        "account": key.account,
        "status": key.status(now_s),
        "key": key.current.shown_key,
        **key.policy.stored(),
        "created": _moment(key.created_s),
        "expires": _moment(key.expires_s),
        "revoked": _moment(key.revoked_s),
    }


def _also_valid(key: VirtualKey, now_s: float) -> list[dict[str, Any]]:
    """The key texts that were rotated out and go on for a while."""
    return [
        {"key": one.key, "until": _moment(one.until_s)}
        for one in key.credentials[:-1]
        if key.revoked_s is None and not one.is_over(now_s)
    ]


def _shown(key: VirtualKey, now_s: float, *, whole: bool) -> Table:
    """One key for a person."""
    rows = {
        "name": key.name,
        "account": key.account,
        "status": key.status(now_s),
        "policy": told(key.policy),
        "created": _moment(key.created_s),
        "expires": _moment(key.expires_s) or "never",
        "revoked": _moment(key.revoked_s),
        "kept in": str(_file().path.absolute()),
    }
    if whole:
        rows["key"] = key.current.key
        rows["also valid"] = "\n".join(f"{one['key']} until {one['until']}" for one in _also_valid(key, now_s))
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for title, value in rows.items():
        if value:
            table.add_row(f"[bold]{title}[/]", escape(value))
    return table


def _listed(keys: tuple[VirtualKey, ...], now_s: float) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for title in ("name", "account", "status", "key", "policy", "expires"):
        table.add_column(title, overflow="fold", no_wrap=title in ("name", "status", "key", "expires"))
    for key in keys:
        status = key.status(now_s)
        said = f"[{_COLOURS[status]}]{status}[/]"
        ends = "never" if key.expires_s is None else f"{datetime.fromtimestamp(key.expires_s, UTC):%Y-%m-%d %H:%MZ}"
        table.add_row(key.name, escape(key.account), said, key.current.shown_key, escape(told(key.policy)), ends)
    return table


def _moment(at_s: float | None) -> str | None:
    return None if at_s is None else datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds")
