-- Schemas of tenants' own: a tenant may have its content apart from the others', in the schema tenant_<id>.
--
-- What a tenant stores in bulk is partitioned by tenant. The tables of before are the default partitions (*_shared; nothing is
-- copied), where all live who have no schema; a tenant that has one has a partition of each table in it. Every statement names
-- the same table as ever. Keys and policies are those of the whole. Foreign keys, however, are those of the partitions: each
-- schema is whole by itself, so that DROP SCHEMA ... CASCADE takes nothing along that is not in it, and pg_dump -n is complete.
--
-- Events are not among them. Their order is one for all tenants, and what holds across partitions (a position, once) no key
-- of a partitioned table can promise.

-- Give a table the wall of another: row-level security with its policies, grants, and triggers for statements.
CREATE FUNCTION aiw.wall_like(p_table regclass, p_model regclass) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    wanted text;
BEGIN
    FOR wanted IN
        SELECT format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', p_table)
        UNION ALL
        SELECT format('CREATE POLICY %I ON %s FOR %s TO %s', p.polname, p_table,
                CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
                (SELECT string_agg(CASE r WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r)) END, ', ') FROM unnest(p.polroles) r))
            || coalesce(' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')', '')
            || coalesce(' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')', '')
        FROM pg_policy p WHERE p.polrelid = p_model
        UNION ALL
        SELECT format('GRANT %s ON %s TO %I', a.privilege_type, p_table, r.rolname)
        FROM pg_class c, aclexplode(c.relacl) a JOIN pg_roles r ON r.oid = a.grantee
        WHERE c.oid = p_model AND r.rolname IN ('aiw_app', 'aiw_system')
        UNION ALL
        SELECT replace(pg_get_triggerdef(t.oid), format(' ON %s ', p_model), format(' ON %s ', p_table))
        FROM pg_trigger t WHERE t.tgrelid = p_model AND NOT t.tgisinternal AND t.tgtype & 1 = 0
    LOOP
        EXECUTE wanted;
    END LOOP;
END
$$;

-- Bytes are kept once for all who live in the common tables (tenant = ''), and once for each who lives apart.
ALTER TABLE aiw.blob
    ADD COLUMN tenant text COLLATE "C" NOT NULL DEFAULT '',
    DROP CONSTRAINT blob_pkey,
    ADD CONSTRAINT blob_pkey PRIMARY KEY (sha256, tenant);
ALTER TABLE aiw.blob ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_tenant ON aiw.blob USING (tenant IN ('', current_setting('aiw.tenant', true)))
    WITH CHECK (tenant IN ('', current_setting('aiw.tenant', true)));
CREATE POLICY of_all ON aiw.blob TO aiw_system USING (true) WITH CHECK (true);

ALTER TABLE aiw.ai_calls DROP CONSTRAINT ai_calls_pkey, ADD CONSTRAINT ai_calls_pkey PRIMARY KEY (call_id, tenant);

CREATE VIEW aiw.partitioned_by_tenant AS
SELECT c.oid::regclass AS "table", c.relname::text AS name, (d.partdefid)::regclass AS common
FROM pg_partitioned_table d JOIN pg_class c ON c.oid = d.partrelid WHERE c.relnamespace = 'aiw'::regnamespace;
COMMENT ON VIEW aiw.partitioned_by_tenant IS 'The tables that a tenant may have a part of in a schema of its own.';

DROP TRIGGER count_storage ON aiw.document;
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['blob', 'document', 'parsed_document', 'document_analysis', 'chunk', 'chunk_place',
        'chunk_document', 'embedding_model', 'analysis_job', 'learning_progress', 'ai_calls', 'ai_memo']
    LOOP
        EXECUTE format('ALTER TABLE aiw.%I RENAME TO %I', name, name || '_shared');
        EXECUTE format('CREATE TABLE aiw.%I (LIKE aiw.%I INCLUDING ALL) PARTITION BY LIST (tenant)', name, name || '_shared');
        PERFORM aiw.wall_like(format('aiw.%I', name)::regclass, format('aiw.%I', name || '_shared')::regclass);
        EXECUTE format('ALTER TABLE aiw.%I ATTACH PARTITION aiw.%I DEFAULT', name, name || '_shared');
    END LOOP;
END
$$;
CREATE TRIGGER count_storage AFTER INSERT OR DELETE OR UPDATE OF size_bytes ON aiw.document
    FOR EACH ROW EXECUTE FUNCTION aiw.count_storage();

ALTER TABLE aiw.tenant ADD COLUMN own_schema boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN aiw.tenant.own_schema IS 'Its content is in the schema tenant_<id>';

-- Under which name the bytes of a tenant's documents are kept.
CREATE FUNCTION aiw.home_of(p_tenant text) RETURNS text LANGUAGE sql STABLE
RETURN (SELECT coalesce((SELECT t.id FROM aiw.tenant t WHERE t.id = p_tenant AND t.own_schema), ''));

-- The tables of a tenant's schema, not yet attached: like the common ones in columns, indexes, storage and walls.
CREATE FUNCTION aiw.make_schema(p_tenant text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    place text := 'tenant_' || p_tenant;
    part record;
    target record;
BEGIN
    EXECUTE format('CREATE SCHEMA %I', place);
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO aiw_app, aiw_system', place);
    FOR part IN SELECT p.*, array_to_string(c.reloptions, ', ') AS options
        FROM aiw.partitioned_by_tenant p JOIN pg_class c ON c.oid = p.common
    LOOP
        EXECUTE format('CREATE TABLE %I.%I (LIKE %s INCLUDING ALL)', place, part.name, part.common)
            || coalesce(' WITH (' || part.options || ')', '');
        FOR target IN SELECT a.attname, a.attstattarget FROM pg_attribute a
            WHERE a.attrelid = part.common AND a.attnum > 0 AND NOT a.attisdropped AND a.attstattarget IS NOT NULL
        LOOP
            EXECUTE format('ALTER TABLE %I.%I ALTER COLUMN %I SET STATISTICS %s', place, part.name, target.attname, target.attstattarget);
        END LOOP;
        PERFORM aiw.wall_like(format('%I.%I', place, part.name)::regclass, part."table");
    END LOOP;
    FOR target IN
        SELECT p.name, replace(pg_get_constraintdef(k.oid), format('REFERENCES %s(', r.common), format('REFERENCES %I.%I(', place, r.name)) AS key
        FROM pg_constraint k JOIN aiw.partitioned_by_tenant p ON p.common = k.conrelid
        JOIN aiw.partitioned_by_tenant r ON r.common = k.confrelid WHERE k.contype = 'f'
    LOOP
        EXECUTE format('ALTER TABLE %I.%I ADD %s', place, target.name, target.key);
    END LOOP;
END
$$;

-- As before (0083), but by the statistics of the partition that the tenant's passages are in.
CREATE OR REPLACE FUNCTION aiw.asked_words(question text, OUT essential tsquery, OUT others tsquery, OUT terms tsquery[], OUT weights real[])
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    most CONSTANT real := 1500;
    enough CONSTANT real := 200;
    place CONSTANT regclass := coalesce(to_regclass(format('%I.chunk', 'tenant_' || current_setting('aiw.tenant', true))),
        'aiw.chunk_shared');
    total real;
    found_rows real := 0;
    asked record;
    one tsquery;
    rare tsquery[] := '{}';
BEGIN
    terms := '{}';
    weights := '{}';
    SELECT greatest(c.reltuples, 1) INTO total FROM pg_class c WHERE c.oid = place;
    FOR asked IN
        WITH known AS MATERIALIZED (
            SELECT s.most_common_elems::text::text[] AS words, s.most_common_elem_freqs AS shares
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            JOIN pg_stats s ON s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = 'words'
            WHERE c.oid = place
        ), rarest AS MATERIALIZED (
            SELECT k.shares[cardinality(k.words) + 1] AS share FROM known k
        ), listed AS MATERIALIZED (
            SELECT w.word, w.share FROM known k, unnest(k.words, k.shares) AS w (word, share) WHERE w.word IS NOT NULL
        )
        SELECT q.word, coalesce(l.share, (SELECT r.share FROM rarest r) / 2, 1 / total) AS share
        FROM unnest(tsvector_to_array(to_tsvector('english', question))) AS q (word) LEFT JOIN listed l ON l.word = q.word
        ORDER BY share, length(q.word) DESC, q.word LIMIT 16
    LOOP
        one := ('''' || replace(replace(asked.word, '\', '\\'), '''', '''''') || '''')::tsquery;
        terms := terms || one;
        weights := weights || ln(1 + 1 / greatest(asked.share, 1e-6))::real;
        IF found_rows + asked.share * total <= most THEN
            found_rows := found_rows + asked.share * total;
            essential := coalesce(essential || one, one);
        ELSIF cardinality(rare) < 4 THEN
            rare := rare || one;
        END IF;
    END LOOP;
    IF found_rows >= enough THEN
        RETURN;
    END IF;
    FOR i IN 1 .. cardinality(rare) LOOP
        FOR j IN i + 1 .. cardinality(rare) LOOP
            others := coalesce(others || (rare[i] && rare[j]), rare[i] && rare[j]);
        END LOOP;
    END LOOP;
    others := coalesce(others, rare[1]);
END
$$;
