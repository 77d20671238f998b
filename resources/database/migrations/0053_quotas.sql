-- What tenants use of what they may. Documents are counted by the table itself, so that no way in goes past the count.
CREATE TABLE aiw.tenant_runs (
    tenant text COLLATE "C" NOT NULL,
    day date NOT NULL,
    runs bigint NOT NULL,
    PRIMARY KEY (tenant, day)
) WITH (fillfactor = 70);
COMMENT ON TABLE aiw.tenant_runs IS 'Runs that a tenant has started, by day (UTC)';

CREATE TABLE aiw.tenant_storage (
    tenant text COLLATE "C" PRIMARY KEY,
    documents bigint NOT NULL,
    bytes bigint NOT NULL
) WITH (fillfactor = 70);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['tenant_runs', 'tenant_storage'] LOOP
        EXECUTE format('ALTER TABLE aiw.%I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE aiw.%I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY of_tenant ON aiw.%I USING (tenant = current_setting(''aiw.tenant'', true))
            WITH CHECK (tenant = current_setting(''aiw.tenant'', true))', name);
        EXECUTE format('CREATE POLICY of_all ON aiw.%I TO aiw_system USING (true) WITH CHECK (true)', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON aiw.%I TO aiw_app, aiw_system', name);
    END LOOP;
END
$$;

-- One more run of today, if the tenant may: then whether it was taken, and how many it may start.
CREATE FUNCTION aiw.take_run(p_tenant text, p_day date, OUT taken boolean, OUT most bigint) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('role', 'aiw_app', true), set_config('aiw.tenant', p_tenant, true),
        set_config('synchronous_commit', 'off', true);
    SELECT (t.limits ->> 'runs_per_day')::bigint INTO most FROM aiw.tenant t WHERE t.id = p_tenant;
    INSERT INTO aiw.tenant_runs AS r (tenant, day, runs) SELECT p_tenant, p_day, 1 WHERE most IS NULL OR most > 0
        ON CONFLICT (tenant, day) DO UPDATE SET runs = r.runs + 1 WHERE most IS NULL OR r.runs < most;
    taken := FOUND;
END
$$;

-- For who decides which runs may begin: it works on Dagster's tables, as nobody's tenant.
CREATE FUNCTION aiw.concurrent_runs(p_tenant text) RETURNS bigint LANGUAGE sql STABLE SET role = 'aiw_system'
RETURN (SELECT (t.limits ->> 'concurrent_runs')::bigint FROM aiw.tenant t WHERE t.id = p_tenant);

CREATE FUNCTION aiw.all_concurrent_runs() RETURNS TABLE (tenant text, most bigint) LANGUAGE sql STABLE SET role = 'aiw_system'
BEGIN ATOMIC
    SELECT t.id, (t.limits ->> 'concurrent_runs')::bigint FROM aiw.tenant t WHERE t.limits ? 'concurrent_runs';
END;

CREATE FUNCTION aiw.count_storage() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    owner text := coalesce(NEW.tenant, OLD.tenant);
    more bigint := coalesce(NEW.size_bytes, 0) - coalesce(OLD.size_bytes, 0);
    another int := (TG_OP = 'INSERT')::int - (TG_OP = 'DELETE')::int;
    most bigint;
    held bigint;
BEGIN
    IF more = 0 AND another = 0 THEN
        RETURN NULL;
    END IF;
    INSERT INTO aiw.tenant_storage AS s (tenant, documents, bytes) VALUES (owner, another, more)
        ON CONFLICT (tenant) DO UPDATE SET documents = s.documents + another, bytes = s.bytes + more RETURNING bytes INTO held;
    IF more > 0 THEN
        SELECT (t.limits ->> 'storage_bytes')::bigint INTO most FROM aiw.tenant t WHERE t.id = owner;
        IF held > most THEN
            RAISE check_violation USING MESSAGE = format('the documents of %s would hold %s bytes', owner, held),
                CONSTRAINT = 'storage_quota', DETAIL = most::text;
        END IF;
    END IF;
    RETURN NULL;
END
$$;

SET LOCAL ROLE aiw_system;
INSERT INTO aiw.tenant_storage (tenant, documents, bytes) SELECT tenant, count(*), sum(size_bytes) FROM aiw.document GROUP BY tenant;
RESET ROLE;
CREATE TRIGGER count_storage AFTER INSERT OR DELETE OR UPDATE OF size_bytes ON aiw.document
    FOR EACH ROW EXECUTE FUNCTION aiw.count_storage();
