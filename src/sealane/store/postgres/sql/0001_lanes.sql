-- Lanes, what they carry, and which of these files have been applied. {schema} and {channel} are filled in.

CREATE TABLE {schema}.migrations (
    number integer PRIMARY KEY,
    name text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- One row a lane: core.lease.Record. Whoever waits is in the row too, so that one lock covers a decision.
CREATE TABLE {schema}.lanes (
    lane text PRIMARY KEY,
    incarnation text NOT NULL DEFAULT '',
    quiet_until_ms bigint NOT NULL DEFAULT 0,
    epoch bigint NOT NULL DEFAULT 0,
    host text NOT NULL DEFAULT '',
    claimed boolean NOT NULL DEFAULT false,
    since_ms bigint NOT NULL DEFAULT 0,
    expires_ms bigint NOT NULL DEFAULT 0,
    floor bigint NOT NULL DEFAULT 0,
    ceiling bigint NOT NULL DEFAULT 0,
    clean boolean NOT NULL DEFAULT false,
    waiting text[] NOT NULL DEFAULT '{}',
    waiting_until_ms bigint[] NOT NULL DEFAULT '{}'
) WITH (fillfactor = 50);  -- room beside each row for its next version: no index is touched by a step

CREATE TABLE {schema}.documents (
    lane text NOT NULL,
    name text NOT NULL,
    document text NOT NULL,
    PRIMARY KEY (lane, name)
);

CREATE FUNCTION {schema}.clock_ms() RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint
$$;

-- Another after a restart, a failover and a restored base backup (the server's start), in another database or after
-- one was made anew (its number), and where the lanes were loaded again from a dump (their file's number).
CREATE FUNCTION {schema}.incarnation() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT floor(extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint::text
        || '/' || (SELECT oid FROM pg_database WHERE datname = current_database())::text
        || '/' || pg_relation_filenode('{schema}.lanes'::regclass)::text
$$;

-- The commit of this transaction waits for the disk (and for synchronous standbys), whatever the server's default;
-- and nothing of a client that has given up waits for a lock for ever.
CREATE FUNCTION {schema}.durably() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('lock_timeout', '4000', true);
    IF current_setting('synchronous_commit') <> 'remote_apply' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
END $$;

-- Tell all hosts of something that is one host's. A hint: one that is too long for a notification is not given.
CREATE FUNCTION {schema}.tell(kind text, to_host text, of_lane text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    said text := json_build_array(kind, to_host, of_lane)::text;
BEGIN
    IF to_host <> '' AND octet_length(said) < 8000 THEN
        PERFORM pg_notify('{channel}', said);
    END IF;
END $$;
