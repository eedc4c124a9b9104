-- The steps of a lane, as core/lease.py decides them; each function below bears the name of one there.
-- now_ms is read once, when the row is locked.

CREATE FUNCTION {schema}.locked(of_lane text) RETURNS {schema}.lanes LANGUAGE plpgsql AS $$
DECLARE
    known {schema}.lanes;
BEGIN
    LOOP
        SELECT l.* INTO known FROM {schema}.lanes AS l WHERE l.lane = of_lane FOR UPDATE;
        EXIT WHEN FOUND;
        -- A row without an incarnation is of another one: the lane is quiet, as one without a record.
        INSERT INTO {schema}.lanes (lane) VALUES (of_lane) ON CONFLICT DO NOTHING;
    END LOOP;
    RETURN known;
END $$;

CREATE FUNCTION {schema}.stored(known {schema}.lanes, before {schema}.lanes) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF known IS DISTINCT FROM before THEN
        UPDATE {schema}.lanes AS l
        SET incarnation = known.incarnation, quiet_until_ms = known.quiet_until_ms, epoch = known.epoch,
            host = known.host, claimed = known.claimed, since_ms = known.since_ms, expires_ms = known.expires_ms,
            floor = known.floor, ceiling = known.ceiling, clean = known.clean,
            waiting = known.waiting, waiting_until_ms = known.waiting_until_ms
        WHERE l.lane = known.lane;
    END IF;
END $$;

CREATE FUNCTION {schema}.document(of_lane text, names text[], documents text[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO {schema}.documents AS d (lane, name, document)
    SELECT of_lane, given.name, given.document FROM unnest(names, documents) AS given (name, document)
    ON CONFLICT (lane, name) DO UPDATE SET document = excluded.document WHERE d.document <> excluded.document
$$;

-- Who waits, but for those whose patience is over and for one host ('' for none).
CREATE FUNCTION {schema}.without(known {schema}.lanes, gone text, now_ms bigint) RETURNS {schema}.lanes
LANGUAGE plpgsql AS $$
BEGIN
    IF cardinality(known.waiting) > 0 THEN
        SELECT coalesce(array_agg(w.host ORDER BY w.place), '{}'),
            coalesce(array_agg(least(w.until_ms, now_ms + 2000) ORDER BY w.place), '{}')
        INTO known.waiting, known.waiting_until_ms
        FROM unnest(known.waiting, known.waiting_until_ms) WITH ORDINALITY AS w (host, until_ms, place)
        WHERE w.until_ms > now_ms AND w.host <> gone;
    END IF;
    RETURN known;
END $$;

CREATE FUNCTION {schema}.settled(known {schema}.lanes, now_ms bigint, lease_ms bigint) RETURNS {schema}.lanes
LANGUAGE plpgsql AS $$
DECLARE
    current_incarnation text := {schema}.incarnation();
BEGIN
    IF known.incarnation <> current_incarnation THEN
        known.incarnation := current_incarnation;
        known.quiet_until_ms := now_ms + lease_ms;
        known.clean := false;
    END IF;
    -- A clock that stepped back: no time counts for more than it could from now on.
    known.quiet_until_ms := least(known.quiet_until_ms, now_ms + lease_ms);
    known.since_ms := least(known.since_ms, now_ms);
    known.expires_ms := least(known.expires_ms, now_ms + lease_ms);
    IF known.host <> '' AND now_ms >= known.expires_ms THEN
        known.host := '';
        known.clean := known.clean AND NOT known.claimed;
        known.claimed := false;
    END IF;
    RETURN {schema}.without(known, '', now_ms);
END $$;

CREATE FUNCTION {schema}.granted(known {schema}.lanes, to_host text, now_ms bigint, span_ms bigint)
RETURNS {schema}.lanes LANGUAGE plpgsql AS $$
BEGIN
    known.epoch := greatest(known.epoch + 1, now_ms * 1000);
    known.host := to_host;
    known.claimed := false;
    known.since_ms := now_ms;
    known.expires_ms := now_ms + span_ms;
    IF NOT known.clean THEN
        known.floor := greatest(known.floor, known.ceiling);
    END IF;
    known.ceiling := 0;
    RETURN {schema}.without(known, to_host, now_ms);
END $$;

CREATE FUNCTION {schema}.kept_for_next(known {schema}.lanes, now_ms bigint) RETURNS {schema}.lanes
LANGUAGE plpgsql AS $$
BEGIN
    IF cardinality(known.waiting) = 0 OR now_ms < known.quiet_until_ms THEN
        RETURN known;
    END IF;
    RETURN {schema}.granted(known, known.waiting[1], now_ms, 1000);
END $$;

CREATE FUNCTION {schema}.held(known {schema}.lanes, now_ms bigint, lease_ms bigint, its_ceiling bigint)
RETURNS {schema}.lanes LANGUAGE plpgsql AS $$
BEGIN
    known.claimed := true;
    known.expires_ms := now_ms + lease_ms;
    known.ceiling := greatest(known.ceiling, known.floor, its_ceiling);
    RETURN known;
END $$;

CREATE FUNCTION {schema}.documents_of(of_lane text) RETURNS json LANGUAGE sql AS $$
    SELECT coalesce(json_object_agg(d.name, d.document), '{}') FROM {schema}.documents AS d WHERE d.lane = of_lane
$$;

-- Bigints are exact in json, which is text.
CREATE FUNCTION {schema}.grant_of(known {schema}.lanes, now_ms bigint, documents json DEFAULT '{}') RETURNS json
LANGUAGE sql AS $$
    SELECT json_build_object(
        'kind', 'grant', 'now_ms', now_ms, 'epoch', known.epoch, 'floor', known.floor, 'ceiling', known.ceiling,
        'clean', known.clean, 'wanted', cardinality(known.waiting) > 0, 'documents', documents
    )
$$;

CREATE FUNCTION {schema}.lost_of(known {schema}.lanes, now_ms bigint) RETURNS json LANGUAGE sql AS $$
    SELECT json_build_object('kind', 'lost', 'now_ms', now_ms, 'holder', known.host, 'epoch', known.epoch)
$$;

CREATE FUNCTION {schema}.queued(known {schema}.lanes, asker text, now_ms bigint) RETURNS json LANGUAGE plpgsql AS $$
DECLARE
    place integer := array_position(known.waiting, asker);
    due_ms bigint := known.quiet_until_ms;
BEGIN
    IF place IS NULL THEN
        place := cardinality(known.waiting) + 1;
        PERFORM {schema}.tell('wanted', known.host, known.lane);
    END IF;
    known.waiting[place] := asker;
    known.waiting_until_ms[place] := now_ms + 2000;
    IF known.host <> '' THEN
        due_ms := greatest(due_ms, known.expires_ms);
    END IF;
    PERFORM {schema}.stored(known, NULL);
    RETURN json_build_object(
        'kind', 'wait', 'now_ms', now_ms, 'holder', known.host, 'epoch', known.epoch, 'ahead', place - 1,
        'again_ms', least(greatest(1, due_ms - now_ms), 1000)
    );
END $$;

CREATE FUNCTION {schema}.acquire(of_lane text, asker text, its_ceiling bigint, lease_ms bigint) RETURNS json
LANGUAGE plpgsql AS $$
DECLARE
    known {schema}.lanes;
    before {schema}.lanes;
    now_ms bigint;
    quiet boolean;
BEGIN
    PERFORM {schema}.durably();
    before := {schema}.locked(of_lane);
    now_ms := {schema}.clock_ms();
    known := {schema}.settled(before, now_ms, lease_ms);
    quiet := now_ms < known.quiet_until_ms;
    IF quiet OR known.host NOT IN ('', asker) OR known.host = '' AND known.waiting[1] <> asker THEN
        RETURN {schema}.queued(known, asker, now_ms);
    END IF;
    IF known.host = '' THEN
        known := {schema}.granted(known, asker, now_ms, lease_ms);
    END IF;
    known := {schema}.held(known, now_ms, lease_ms, its_ceiling);
    PERFORM {schema}.stored(known, before);
    RETURN {schema}.grant_of(known, now_ms, {schema}.documents_of(of_lane));
END $$;

CREATE FUNCTION {schema}.renew(
    of_lane text, holder text, its_epoch bigint, its_ceiling bigint, names text[], documents text[], lease_ms bigint
) RETURNS json LANGUAGE plpgsql AS $$
DECLARE
    known {schema}.lanes;
    before {schema}.lanes;
    now_ms bigint;
BEGIN
    PERFORM {schema}.durably();
    before := {schema}.locked(of_lane);
    now_ms := {schema}.clock_ms();
    known := {schema}.settled(before, now_ms, lease_ms);
    IF known.host <> holder OR known.epoch <> its_epoch THEN
        PERFORM {schema}.stored(known, before);
        RETURN {schema}.lost_of(known, now_ms);
    END IF;
    known := {schema}.held(known, now_ms, lease_ms, its_ceiling);
    PERFORM {schema}.stored(known, before);
    PERFORM {schema}.document(of_lane, names, documents);
    RETURN {schema}.grant_of(known, now_ms);
END $$;

CREATE FUNCTION {schema}.release(
    of_lane text, holder text, its_epoch bigint, last bigint, names text[], documents text[], lease_ms bigint
) RETURNS json LANGUAGE plpgsql AS $$
DECLARE
    known {schema}.lanes;
    before {schema}.lanes;
    now_ms bigint;
BEGIN
    PERFORM {schema}.durably();
    before := {schema}.locked(of_lane);
    now_ms := {schema}.clock_ms();
    known := {schema}.settled(before, now_ms, lease_ms);
    IF known.host <> holder OR known.epoch <> its_epoch THEN
        PERFORM {schema}.stored(known, before);
        RETURN {schema}.lost_of(known, now_ms);
    END IF;
    known.host := '';
    known.claimed := false;
    known.floor := greatest(known.floor, last);
    known.clean := known.since_ms >= known.quiet_until_ms;
    known := {schema}.kept_for_next(known, now_ms);
    PERFORM {schema}.stored(known, before);
    PERFORM {schema}.document(of_lane, names, documents);
    PERFORM {schema}.tell('turn', known.host, of_lane);
    RETURN json_build_object('kind', 'released', 'now_ms', now_ms, 'next', known.host);
END $$;

CREATE FUNCTION {schema}.withdraw(of_lane text, waiter text, lease_ms bigint) RETURNS json LANGUAGE plpgsql AS $$
DECLARE
    known {schema}.lanes;
    before {schema}.lanes;
    now_ms bigint;
    next text := '';
BEGIN
    PERFORM {schema}.durably();
    before := {schema}.locked(of_lane);
    now_ms := {schema}.clock_ms();
    known := {schema}.without({schema}.settled(before, now_ms, lease_ms), waiter, now_ms);
    IF known.host = waiter AND NOT known.claimed THEN
        known.host := '';
        known := {schema}.kept_for_next(known, now_ms);
        next := known.host;
    END IF;
    PERFORM {schema}.stored(known, before);
    PERFORM {schema}.tell('turn', next, of_lane);
    RETURN json_build_object('kind', 'withdrawn', 'now_ms', now_ms, 'next', next);
END $$;
