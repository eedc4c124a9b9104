from sealane.core.nonce import MAX_NONCE, NS_PER_S
from sealane.core.recovery import JUMPS_MAX, WINDOW_S, Again, Jump, KeyState, Stop, diagnose, recover

NOW_NS = 1_768_859_900_000_000_000
NONCE = NOW_NS + 5


def step(key=KeyState(), *, refused=NONCE, last=NONCE, now_ns=NOW_NS, unit_ns=1, may_repeat=True):  # noqa: B008
    return recover(key, refused=refused, last=last, now_ns=now_ns, unit_ns=unit_ns, may_repeat=may_repeat)


def test_the_first_refusal_jumps_sixty_seconds():
    jump = step()
    assert isinstance(jump, Jump)
    assert jump.floor == NONCE + 60 * NS_PER_S


def test_each_refusal_in_a_row_jumps_ten_times_further_and_the_fourth_stops():
    key, last, jumps = KeyState(), NONCE, []
    for _ in range(JUMPS_MAX):
        jump = step(key, refused=last, last=last)
        assert isinstance(jump, Jump)
        jumps.append((jump.floor - last) // NS_PER_S)
        key, last = jump.key, jump.floor
    assert jumps == [60, 600, 6000]
    stop = step(key, refused=last, last=last)
    assert isinstance(stop, Stop)
    assert stop.key.quarantined_ns == NOW_NS
    assert "Make a new API key" in stop.key.diagnosis


def test_an_accepted_call_between_starts_at_sixty_again_but_not_a_new_budget():
    key = KeyState()
    for _ in range(JUMPS_MAX):
        jump = step(key)
        assert isinstance(jump, Jump)
        assert jump.floor == NONCE + 60 * NS_PER_S
        key = jump.key.accepted()
    stop = step(key)
    assert isinstance(stop, Stop)
    assert "another program" in stop.key.diagnosis


def test_the_budget_is_one_of_a_window():
    key = KeyState(jumps_ns=(NOW_NS,) * JUMPS_MAX)
    assert isinstance(step(key, now_ns=NOW_NS + WINDOW_S * NS_PER_S), Jump)
    assert isinstance(step(key, now_ns=NOW_NS + WINDOW_S * NS_PER_S - 1), Stop)


def test_jumps_of_a_future_that_a_clock_left_again_do_not_count():
    assert isinstance(step(KeyState(jumps_ns=(NOW_NS + 10**15,) * JUMPS_MAX)), Jump)


def test_a_number_drawn_since_explains_the_refusal_once():
    assert isinstance(step(last=NONCE + 1), Again)
    assert isinstance(step(last=NONCE + 1, may_repeat=False), Jump)


def test_jumps_are_in_the_lanes_unit():
    jump = step(refused=5, last=5, unit_ns=1_000_000)
    assert isinstance(jump, Jump)
    assert jump.floor == NOW_NS // 1_000_000 + 60_000


def test_a_jump_never_leaves_what_kraken_takes():
    jump = step(refused=MAX_NONCE - 2, last=MAX_NONCE - 2)
    assert isinstance(jump, Jump)
    assert jump.floor < MAX_NONCE


def test_the_diagnosis_tells_kraken_s_value_only_where_it_is_known():
    unknown = diagnose(KeyState(), refused=NONCE, now_ns=NOW_NS, unit_ns=1)
    assert "GetApiKeyInfo" not in unknown
    known = diagnose(KeyState(known_nonce=NONCE + 77, known_ns=NOW_NS), refused=NONCE, now_ns=NOW_NS, unit_ns=1)
    assert str(NONCE + 77) in known


def test_a_key_state_survives_its_store():
    key = KeyState((1, 2), 3, 4, "why", True, 5, 6, 7)
    assert KeyState.loaded(key.stored()) == key
    assert KeyState.loaded(key.stored() | {"a field of a later release": 1}) == key
    assert KeyState.loaded({}) == KeyState()


def test_a_person_s_act_gives_a_fresh_budget_and_keeps_the_fence():
    released = KeyState((1, 2, 3), 3, 4, "why", True, 5, 6, 7).released()
    assert released == KeyState(fence_due=True, known_nonce=6, known_ns=7)


def test_a_row_that_began_before_the_window_does_not_grow_for_ever():
    key, now_ns = KeyState(), NOW_NS
    for _ in range(50):
        jump = step(key, refused=now_ns, last=now_ns, now_ns=now_ns)
        assert isinstance(jump, Jump)
        assert jump.floor - now_ns <= 6000 * NS_PER_S
        key, now_ns = jump.key, now_ns + 240 * NS_PER_S
