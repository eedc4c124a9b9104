"""What a client gets to see of an answer that a fault has damaged."""

from sealane.simulator.faults import Fault
from sealane.simulator.http import HTML, TEXT, Answer, Delivery

HTML_PAGE = "<!DOCTYPE html>\n<html><head><title>{0} Bad gateway</title></head><body><h1>{0}</h1></body></html>\n"
DAMAGES = {  # kinds whose answer never comes as it is -> how it comes
    "drop_before": "drop",
    "drop_after": "drop",
    "http_before": "http",
    "http_after": "http",
    "html": "html",
    "hang": "hang",
}


def damaged(fault: Fault, body: bytes) -> Answer:
    """The answer as the fault leaves it; `body` is what would have been sent."""
    damage = DAMAGES.get(fault.kind, fault.answer)
    if damage == "drop":
        return Answer(delivery=Delivery.RESET if fault.reset else Delivery.DROP)
    if damage == "http":
        return Answer(fault.body.encode(), fault.status, TEXT)
    if damage == "html":
        return Answer(HTML_PAGE.format(fault.status).encode(), fault.status, HTML)
    if damage == "hang":
        return Answer(delivery=Delivery.HANG, wait_s=fault.hang_s)
    if fault.kind == "slow":
        return Answer(body, delivery=Delivery.SLOW, spread_s=fault.wait_s)
    return Answer(body, delivery=Delivery.HALF if fault.kind == "half" else Delivery.WHOLE)
