-- A document that is received starts a run, and so takes one of the day's: counted by the table itself, like its bytes, so that no
-- way in goes past the count, and in the transaction that stores it, so that no document is kept whose run may not start.
CREATE FUNCTION aiw.count_document_run() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    most bigint;
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.received_at IS NOT DISTINCT FROM OLD.received_at THEN
        RETURN NULL;
    END IF;
    SELECT (t.limits ->> 'runs_per_day')::bigint INTO most FROM aiw.tenant t WHERE t.id = NEW.tenant;
    INSERT INTO aiw.tenant_runs AS r (tenant, day, runs) SELECT NEW.tenant, (now() AT TIME ZONE 'UTC')::date, 1
        WHERE most IS NULL OR most > 0
        ON CONFLICT (tenant, day) DO UPDATE SET runs = r.runs + 1 WHERE most IS NULL OR r.runs < most;
    IF NOT FOUND THEN
        RAISE check_violation USING MESSAGE = format('%s may start no more runs today', NEW.tenant),
            CONSTRAINT = 'runs_quota', DETAIL = most::text;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER count_run AFTER INSERT OR UPDATE OF received_at ON aiw.document
    FOR EACH ROW EXECUTE FUNCTION aiw.count_document_run();
