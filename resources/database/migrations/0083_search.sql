-- Search by words and by meaning, within what is asked for.
--
-- A passage's text, words and vector are kept once a document under the hash of the text (chunk); where it stands is another,
-- narrow table (chunk_place). A new revision of a document that moves its passages writes places alone: neither the vectors' index
-- nor the words' is touched by what has not changed.
--
-- What a search can be narrowed by is a row a document (chunk_document).

CREATE EXTENSION IF NOT EXISTS btree_gin;

CREATE TABLE aiw.chunk_place (
    tenant text COLLATE "C" NOT NULL,
    document_id text COLLATE "C" NOT NULL,
    ordinal int NOT NULL CHECK (ordinal >= 0),
    sha256 bytea NOT NULL CHECK (length(sha256) = 32),
    start_offset int NOT NULL CHECK (start_offset >= 0),
    end_offset int NOT NULL CHECK (end_offset > start_offset),
    section text,
    PRIMARY KEY (tenant, document_id, ordinal)
);
CREATE INDEX chunk_place_by_content ON aiw.chunk_place (tenant, document_id, sha256, ordinal);
COMMENT ON TABLE aiw.chunk_place IS 'Where the passages of a document stand in its text.';
INSERT INTO aiw.chunk_place (tenant, document_id, ordinal, sha256, start_offset, end_offset, section)
SELECT tenant, document_id, ordinal, sha256, start_offset, end_offset, section FROM aiw.chunk;

CREATE TABLE aiw.chunk_document (
    tenant text COLLATE "C" NOT NULL,
    document_id text COLLATE "C" NOT NULL,
    chunks int NOT NULL DEFAULT 0 CHECK (chunks >= 0),
    media_type text,
    language text,
    difficulty text,
    quality double precision,
    tags text[] NOT NULL DEFAULT '{}',
    received_at timestamptz,
    PRIMARY KEY (tenant, document_id)
);
COMMENT ON TABLE aiw.chunk_document IS 'What a search can be narrowed by: a row for each document that has passages.';
INSERT INTO aiw.chunk_document (tenant, document_id, chunks, media_type, language, difficulty, quality, tags, received_at)
SELECT c.tenant, c.document_id, c.chunks, d.media_type, d.language, a.analysis ->> 'difficulty_level',
    (a.analysis ->> 'quality')::float8,
    coalesce(ARRAY(SELECT jsonb_array_elements_text(d.source -> 'tags')), '{}'), d.received_at
FROM (SELECT tenant, document_id, count(DISTINCT sha256) AS chunks FROM aiw.chunk GROUP BY tenant, document_id) c
LEFT JOIN aiw.document d ON d.tenant = c.tenant AND d.id = c.document_id
LEFT JOIN aiw.document_analysis a ON a.tenant = c.tenant AND a.document_id = c.document_id;

DROP INDEX aiw.chunk_nearest_384;
DELETE FROM aiw.chunk c USING aiw.chunk earlier
WHERE earlier.tenant = c.tenant AND earlier.document_id = c.document_id AND earlier.sha256 = c.sha256
    AND earlier.ordinal < c.ordinal;
ALTER TABLE aiw.chunk
    DROP CONSTRAINT chunk_pkey,
    DROP COLUMN ordinal, DROP COLUMN start_offset, DROP COLUMN end_offset, DROP COLUMN section,
    ADD PRIMARY KEY (tenant, document_id, sha256),
    ADD COLUMN words tsvector GENERATED ALWAYS AS (
        setweight(to_tsvector('english', coalesce(document_title, '')), 'B') || to_tsvector('english', content)
    ) STORED;
-- Most rows stay whole: a search that has to look at a thousand of them must not fetch their parts one by one.
ALTER TABLE aiw.chunk SET (toast_tuple_target = 4080);
ALTER TABLE aiw.chunk ALTER COLUMN words SET STORAGE MAIN;
ALTER TABLE aiw.chunk ALTER COLUMN words SET STATISTICS 200;

-- Half the bytes a number are enough to find who is near; how near is told from the whole vector.
CREATE INDEX chunk_nearest_384 ON aiw.chunk USING hnsw ((embedding::halfvec(384)) halfvec_cosine_ops)
    WHERE dimensions = 384;
CREATE INDEX chunk_by_words ON aiw.chunk USING gin (tenant, words) WITH (fastupdate = off);

-- The words of a question, the rarest first, each with the weight of its rarity (inverse document frequency, Spärck Jones 1972),
-- and those of which a passage must have one to be looked at; `others` are pairs of the common ones, for when few have any. How often a word occurs is what the planner's statistics say: they
-- cost nothing to keep. The words that are essential are together in about 1,500 passages at most, so that no question, however
-- common its words, has more to rank (after MaxScore, Turtle and Flood 1995).
--
-- It runs with its owner's rights because statistics of a table with row-level security are hidden; it tells none of them.
CREATE FUNCTION aiw.asked_words(question text, OUT essential tsquery, OUT others tsquery, OUT terms tsquery[], OUT weights real[])
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    most CONSTANT real := 1500;
    enough CONSTANT real := 200;
    total real;
    found_rows real := 0;
    asked record;
    one tsquery;
    rare tsquery[] := '{}';
BEGIN
    terms := '{}';
    weights := '{}';
    SELECT greatest(c.reltuples, 1) INTO total FROM pg_class c WHERE c.oid = 'aiw.chunk'::regclass;
    FOR asked IN
        WITH known AS MATERIALIZED (
            SELECT s.most_common_elems::text::text[] AS words, s.most_common_elem_freqs AS shares
            FROM pg_stats s WHERE s.schemaname = 'aiw' AND s.tablename = 'chunk' AND s.attname = 'words'
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
REVOKE ALL ON FUNCTION aiw.asked_words(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aiw.asked_words(text) TO aiw_app, aiw_system;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['chunk_place', 'chunk_document'] LOOP
        EXECUTE format('ALTER TABLE aiw.%I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE aiw.%I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY of_tenant ON aiw.%I USING (tenant = current_setting(''aiw.tenant'', true))
            WITH CHECK (tenant = current_setting(''aiw.tenant'', true))', name);
        EXECUTE format('CREATE POLICY of_all ON aiw.%I TO aiw_system USING (true) WITH CHECK (true)', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON aiw.%I TO aiw_app, aiw_system', name);
    END LOOP;
END
$$;
