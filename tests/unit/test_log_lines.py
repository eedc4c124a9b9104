"""The log: every event has its line, in either form, at the level that was asked for."""

import contextlib
import io
import json
import logging
import typing

import pytest

from sealane import SettingsError
from sealane.core import events
from sealane.core.verdict import Outcome
from sealane.telemetry import log, log_to, publish

SAMPLES = {
    events.CallSettled: events.CallSettled("MASTER", "Balance", 7, Outcome.REFUSED, "EAPI:Invalid key"),
    events.NonceRefused: events.NonceRefused("MASTER", 7, "jump"),
    events.LaneJumped: events.LaneJumped("MASTER", 7, 60_000_000_007),
    events.KeyQuarantined: events.KeyQuarantined("daivon_frazier", "another program writes on it"),
    events.UnfinishedTurnFound: events.UnfinishedTurnFound("0123abcd", "AddOrder", 7, "an-intent"),
    events.CallRepeated: events.CallRepeated("MASTER", "Balance", 0.25, "a time-out"),
    events.EndNotNoted: events.EndNotNoted("MASTER", "AddOrder", "no space"),
    events.RoomAwaited: events.RoomAwaited("MASTER", "Balance", 1.5, "rest"),
    events.CounterContradicted: events.CounterContradicted("MASTER", "Balance", "EAPI:Rate limit exceeded"),
    events.NonceWindowOpen: events.NonceWindowOpen("window-of-this-test", 100),
    events.DoubtResolved: events.DoubtResolved("MASTER", "AddOrder", "an-intent", 2),
}


@pytest.fixture
def stream():
    """What was logged; afterwards the logger is as it was."""
    logger = logging.getLogger("sealane")
    before = logger.level
    yield io.StringIO()
    log_to(None, {"SEALANE_LOG": "off"})
    logger.setLevel(before)


def test_every_event_has_a_sample_here_and_a_line_there():
    assert set(SAMPLES) == set(typing.get_args(events.Event)) == set(log._LINES)


@pytest.mark.parametrize("event", SAMPLES.values(), ids=lambda event: type(event).__name__)
def test_an_event_in_json_has_its_fields_and_the_words_of_its_line(stream, event):
    log._windows_told.clear()
    log_to(stream, {"SEALANE_LOG": "json", "SEALANE_LOG_LEVEL": "debug"})
    publish(event)
    document = json.loads(stream.getvalue())
    assert (document["event"], document["logger"]) == (type(event).__name__, "sealane.lane")
    fields = {name: getattr(event, name) for name in type(event).__dataclass_fields__}
    assert {name: document[name] for name in fields} == fields | ({"outcome": "refused"} if "outcome" in fields else {})
    assert getattr(event, "account", event.__class__.__name__) in stream.getvalue()


def test_a_line_of_text_has_time_level_and_place(stream):
    log_to(stream, {"SEALANE_LOG": "text"})
    publish(SAMPLES[events.NonceRefused])
    stamp, level, place, words = stream.getvalue().split(" ", 3)
    assert (len(stamp), stamp[-1], level, place) == (24, "Z", "WARNING", "sealane.lane:")
    assert words == "❌ Kraken API error: EAPI:Invalid nonce for MASTER (nonce 7); next: jump\n"


def test_the_level_is_kept(stream):
    log_to(stream, {"SEALANE_LOG": "text", "SEALANE_LOG_LEVEL": "error"})
    publish(SAMPLES[events.NonceRefused])
    assert stream.getvalue() == ""
    publish(SAMPLES[events.KeyQuarantined])
    assert "quarantined" in stream.getvalue()


def test_asked_for_again_it_replaces_itself(stream):
    other = io.StringIO()
    log_to(other, {"SEALANE_LOG": "text"})
    log_to(stream, {}, unset="text")
    publish(SAMPLES[events.NonceRefused])
    assert other.getvalue() == ""
    assert stream.getvalue().count("Invalid nonce") == 1


def test_an_exception_goes_into_its_json_line(stream):
    log_to(stream, {"SEALANE_LOG": "json"})
    try:
        raise RuntimeError("for the log")
    except RuntimeError:
        logging.getLogger("sealane.anywhere").exception("it failed")
    (line,) = stream.getvalue().splitlines()
    assert "RuntimeError: for the log" in json.loads(line)["exception"]


@pytest.mark.parametrize(("name", "value"), [("SEALANE_LOG", "xml"), ("SEALANE_LOG_LEVEL", "loud")])
def test_a_wrong_word_is_named(stream, name, value):
    with pytest.raises(SettingsError, match=f"{name} is .*choose one of"):
        log_to(stream, {name: value})


def test_without_a_stream_it_follows_stderr(stream, capsys):
    log_to(None, {"SEALANE_LOG": "text"})
    publish(SAMPLES[events.NonceRefused])
    assert "Invalid nonce" in capsys.readouterr().err
    with contextlib.redirect_stderr(stream):
        publish(SAMPLES[events.NonceRefused])
    assert "Invalid nonce" in stream.getvalue()
    assert capsys.readouterr().err == ""
