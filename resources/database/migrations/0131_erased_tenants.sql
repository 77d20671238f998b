-- Tenants that were erased: their events stay, and their id is never given again.
ALTER TABLE aiw.tenant ADD COLUMN erased_at timestamptz;
COMMENT ON COLUMN aiw.tenant.erased_at IS 'Since then nothing of it is there but its events';

-- Remove what a tenant has outside of its schema. Tables with parts in schemas have nothing of it any more; some are never deleted from.
CREATE FUNCTION aiw.erase_tenant(p_tenant text, p_now timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    name regclass;
BEGIN
    PERFORM set_config('aiw.tenant', p_tenant, true);
    FOR name IN
        SELECT c.oid FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant' AND NOT a.attisdropped
        WHERE c.relnamespace = 'aiw'::regnamespace AND c.relkind = 'r' AND NOT c.relispartition AND c.oid <> 'aiw.event'::regclass
    LOOP
        EXECUTE format('DELETE FROM %s WHERE tenant = $1', name) USING p_tenant;
    END LOOP;
    UPDATE aiw.tenant SET erased_at = p_now, name = id, limits = '{}' WHERE id = p_tenant;
END
$$;
