-- What is remembered of orders, and which processes live.

CREATE SEQUENCE {schema}.places;
CREATE SEQUENCE {schema}.settlings;

-- An intent has its place from its first document on, and a new one, at the end, when it is settled.
CREATE TABLE {schema}.intents (
    intent_id text PRIMARY KEY,
    place bigint NOT NULL,
    settled boolean NOT NULL,
    document text NOT NULL
);
CREATE INDEX intents_by_place ON {schema}.intents (place);
CREATE INDEX intents_unsettled ON {schema}.intents (place) WHERE NOT settled;
CREATE INDEX intents_settled ON {schema}.intents (place) WHERE settled;

CREATE TABLE {schema}.intent_names (
    name text PRIMARY KEY,
    intent_id text NOT NULL REFERENCES {schema}.intents ON DELETE CASCADE
);
CREATE INDEX intent_names_by_intent ON {schema}.intent_names (intent_id);

CREATE TABLE {schema}.owners (
    owner text PRIMARY KEY,
    until_ms bigint NOT NULL
);

-- Of the settled, the newest thousand are kept at least.
CREATE FUNCTION {schema}.prune() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    oldest bigint;
BEGIN
    SELECT i.place INTO oldest FROM {schema}.intents AS i WHERE i.settled ORDER BY i.place DESC OFFSET 1000 LIMIT 1;
    DELETE FROM {schema}.intents AS i WHERE i.intent_id IN (
        SELECT o.intent_id FROM {schema}.intents AS o WHERE o.settled AND o.place <= oldest
        ORDER BY o.place LIMIT 1000 FOR UPDATE SKIP LOCKED
    );
END $$;

CREATE FUNCTION {schema}.write_intent(id text, others text[], its_document text, is_settled boolean, sync boolean)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF sync THEN
        PERFORM {schema}.durably();
    END IF;
    INSERT INTO {schema}.intents AS i (intent_id, place, settled, document)
    VALUES (id, nextval('{schema}.places'), is_settled, its_document)
    ON CONFLICT (intent_id) DO UPDATE
    SET document = excluded.document, settled = excluded.settled,
        place = CASE WHEN i.settled OR excluded.settled THEN excluded.place ELSE i.place END;
    INSERT INTO {schema}.intent_names AS n (name, intent_id)
    SELECT DISTINCT other, id FROM unnest(others) AS other
    ON CONFLICT (name) DO UPDATE SET intent_id = excluded.intent_id WHERE n.intent_id <> excluded.intent_id;
    IF is_settled AND nextval('{schema}.settlings') % 100 = 0 THEN
        PERFORM {schema}.prune();
    END IF;
END $$;

CREATE FUNCTION {schema}.beat(its_owner text, span_ms bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    now_ms bigint := {schema}.clock_ms();
BEGIN
    UPDATE {schema}.owners AS o SET until_ms = now_ms + span_ms WHERE o.owner = its_owner;
    IF NOT FOUND THEN
        DELETE FROM {schema}.owners AS o WHERE o.until_ms < now_ms - 3600000;
        INSERT INTO {schema}.owners (owner, until_ms) VALUES (its_owner, now_ms + span_ms)
        ON CONFLICT (owner) DO UPDATE SET until_ms = excluded.until_ms;
    END IF;
END $$;
