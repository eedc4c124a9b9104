from sealane.simulator import journal
from sealane.simulator.journal import Journal


def test_overlap_is_counted_by_key_and_over_all() -> None:
    book = Journal()
    first = book.arrive("MASTER", "Balance", "1", 0)
    second = book.arrive("MASTER", "Balance", "2", 1)
    other = book.arrive("user1", "Balance", "1", 2)
    for ticket in (first, second, other):
        ticket.end(3)
    alone = book.arrive("MASTER", "Balance", "3", 4)
    alone.end(5)
    alone.end(6)  # a second end changes nothing
    summary = book.summary()
    assert (summary["max_overlap"], summary["max_overlap_all_keys"], summary["in_flight"]) == (2, 3, 0)
    assert summary["overlapping"] == 1
    assert [entry.in_flight_at_arrival for entry in book.entries] == [1, 2, 1, 1]
    assert summary["by_account"]["user1"]["max_overlap"] == 1


def test_whether_nonces_rose_is_seen_without_asking_the_check() -> None:
    book = Journal()
    for nonce in (5, 9, 7):
        book.arrive("MASTER", "Balance", str(nonce), 0).accept(nonce)
    book.arrive("user1", "Balance", "1", 0).accept(1)
    by_account = book.summary()["by_account"]
    assert (by_account["MASTER"]["nonces_rose"], by_account["user1"]["nonces_rose"]) == (False, True)
    assert by_account["MASTER"]["last_accepted_nonce"] == "7"
    assert book.summary()["nonces_rose"] is False


def test_the_same_nonce_twice_is_no_rise() -> None:
    book = Journal()
    for _ in range(2):
        book.arrive("MASTER", "Balance", "5", 0).accept(5)
    assert book.summary()["nonces_rose"] is False


def test_outcomes_and_what_is_counted() -> None:
    book = Journal()
    business = book.arrive("MASTER", "AddOrder", "1", 0)
    business.accept(1)
    business.refuse("EOrder:Insufficient funds", nonce_refused=False)
    book.arrive("MASTER", "Balance", "1", 0).refuse("EAPI:Invalid nonce", nonce_refused=True)
    book.arrive(None, "Balance", "1", 0).refuse("EAPI:Invalid key", nonce_refused=False)
    book.arrive("MASTER", "Balance", "2", 0).drop()
    book.arrive("MASTER", "Balance", "3", 0)
    entries = [entry.document() for entry in book.newest()]
    outcomes = [entry["outcome"] for entry in entries]
    assert outcomes == ["accepted", "refused", "refused", "dropped", "pending"]
    assert entries[2]["account"] is None
    figures = book.summary()
    assert (figures["requests"], figures["accepted"]) == (5, 1)
    assert (figures["refused_nonce"], figures["refused_other"]) == (1, 1)
    assert figures["by_account"]["unknown"]["refused_other"] == 1


def test_entries_are_bounded_and_figures_are_not() -> None:
    book = Journal()
    for n in range(journal.ENTRIES_KEPT + 10):
        book.arrive("MASTER", "Balance", str(n), n).end(n)
    assert len(book.entries) == journal.ENTRIES_KEPT
    assert book.summary()["requests"] == journal.ENTRIES_KEPT + 10


def test_limit_and_account_pick_entries() -> None:
    book = Journal()
    for n in range(6):
        book.arrive("MASTER" if n % 2 else "user1", "Balance", str(n), n).end(n)
    assert [entry.n for entry in book.newest(limit=2)] == [5, 6]
    assert [entry.n for entry in book.newest(limit=2, account="user1")] == [3, 5]
    assert book.newest(limit=0) == []


def test_clear_leaves_calls_in_flight_but_out_of_the_figures() -> None:
    book = Journal()
    before = book.arrive("MASTER", "Balance", "9", 0)
    book.clear()
    after = book.arrive("MASTER", "Balance", "1", 0)
    assert book.entries[0].in_flight_at_arrival == 2
    before.accept(9)
    after.accept(1)
    for ticket in (before, after):
        ticket.end(1)
    summary = book.summary()
    assert (summary["requests"], summary["accepted"], summary["nonces_rose"], summary["in_flight"]) == (1, 1, True, 0)
