"""The commands, put together."""

from __future__ import annotations

import os
import sys

import typer

from sealane.cli import (
    balance,
    call,
    cancel,
    doctor,
    keys,
    nonce,
    order,
    orders,
    preflight,
    run,
    serve,
    sim,
    status,
    store,
)
from sealane.cli.demo import command as demo
from sealane.cli.output import told_errors
from sealane.telemetry import log_to

SERVICES = ("serve", "run")
"""Commands that go on for long and say in the log what they do."""
EXAMINER = "doctor"
"""The command that tells a wrong setting of the log as a finding, and logs nothing itself."""

app = typer.Typer(
    name="sealane",
    help="One ordered lane for every Kraken API key.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("demo")(demo.demo)
app.command("sim")(sim.sim)
app.command("serve")(serve.serve)
app.command("call")(call.call)
app.command("balance")(balance.balance)
app.command("order")(order.order)
app.command("orders")(orders.orders)
app.command("cancel")(cancel.cancel)
app.command("preflight")(preflight.preflight)
app.command("run")(run.run)
app.command("status")(status.status)
app.command("doctor")(doctor.doctor)
app.add_typer(nonce.app, name="nonce")
app.add_typer(store.app, name="store")
app.add_typer(keys.app, name="keys")


@app.callback()
def _root(context: typer.Context) -> None:
    if context.invoked_subcommand == EXAMINER:
        return
    with told_errors(as_json="--json" in sys.argv):
        log_to(None, os.environ, unset="text" if context.invoked_subcommand in SERVICES else "off")
