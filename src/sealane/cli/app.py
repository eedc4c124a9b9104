"""The commands, put together."""

from __future__ import annotations

import typer

from sealane.cli import balance, call, cancel, doctor, nonce, order, orders, sim
from sealane.cli.demo import command as demo

app = typer.Typer(
    name="sealane",
    help="One ordered lane for every Kraken API key.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("demo")(demo.demo)
app.command("sim")(sim.sim)
app.command("call")(call.call)
app.command("balance")(balance.balance)
app.command("order")(order.order)
app.command("orders")(orders.orders)
app.command("cancel")(cancel.cancel)
app.command("doctor")(doctor.doctor)
app.add_typer(nonce.app, name="nonce")


@app.callback()
def _root() -> None:
    """Keep commands as sub-commands, however many there are."""
