-- Documents: bytes, catalogue, parsed text, analysis; and their chunks with embeddings.
--
-- Tenants. Every key but that of the bytes begins with the tenant, and row-level security is forced as for events. Bytes are kept
-- once under their sha256, whoever sent them; only who has a document that names the hash is given them.
--
-- Vectors of several dimensions share one table: each dimension in use gets its own partial index on a cast.

CREATE EXTENSION IF NOT EXISTS vector;

CREATE TABLE aiw.blob (
    sha256 bytea PRIMARY KEY CHECK (length(sha256) = 32),
    content bytea NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE aiw.blob ALTER COLUMN content SET STORAGE EXTENDED;
COMMENT ON TABLE aiw.blob IS 'Documents as they came, by the sha256 of their bytes.';

CREATE TABLE aiw.document (
    tenant text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    source jsonb NOT NULL,
    media_type text NOT NULL,
    sha256 bytea NOT NULL CHECK (length(sha256) = 32),
    size_bytes bigint NOT NULL CHECK (size_bytes >= 0),
    status text NOT NULL,
    title text,
    language text,
    chunk_count int CHECK (chunk_count >= 0),
    concept_count int CHECK (concept_count >= 0),
    rejection_code text,
    rejection_reason text,
    received_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX document_by_content ON aiw.document (tenant, sha256);
CREATE INDEX document_by_status ON aiw.document (tenant, status, id);
CREATE INDEX document_by_id ON aiw.document (id);
COMMENT ON TABLE aiw.document IS 'The catalogue: one row a document, at its newest revision.';

CREATE TABLE aiw.parsed_document (
    tenant text COLLATE "C" NOT NULL,
    document_id text COLLATE "C" NOT NULL,
    sha256 bytea NOT NULL CHECK (length(sha256) = 32),
    parsed jsonb NOT NULL,
    PRIMARY KEY (tenant, document_id),
    FOREIGN KEY (tenant, document_id) REFERENCES aiw.document (tenant, id) ON DELETE CASCADE
);

CREATE TABLE aiw.document_analysis (
    tenant text COLLATE "C" NOT NULL,
    document_id text COLLATE "C" NOT NULL,
    sha256 bytea NOT NULL CHECK (length(sha256) = 32),
    analysis jsonb NOT NULL,
    PRIMARY KEY (tenant, document_id),
    FOREIGN KEY (tenant, document_id) REFERENCES aiw.document (tenant, id) ON DELETE CASCADE
);

CREATE TABLE aiw.chunk (
    tenant text COLLATE "C" NOT NULL,
    document_id text COLLATE "C" NOT NULL,
    ordinal int NOT NULL CHECK (ordinal >= 0),
    model_id text COLLATE "C" NOT NULL,
    dimensions int NOT NULL CHECK (dimensions > 0),
    start_offset int NOT NULL CHECK (start_offset >= 0),
    end_offset int NOT NULL CHECK (end_offset > start_offset),
    sha256 bytea NOT NULL CHECK (length(sha256) = 32),
    section text,
    document_title text,
    content text NOT NULL,
    embedding vector NOT NULL CHECK (vector_dims(embedding) = dimensions),
    PRIMARY KEY (tenant, document_id, ordinal)
);
CREATE INDEX chunk_by_content ON aiw.chunk (tenant, model_id, sha256);
CREATE INDEX chunk_nearest_384 ON aiw.chunk USING hnsw ((embedding::vector(384)) vector_cosine_ops)
    WHERE dimensions = 384;
COMMENT ON TABLE aiw.chunk IS 'Passages of documents, with the vector that says what they mean to the model model_id.';

CREATE TABLE aiw.embedding_model (
    tenant text COLLATE "C" NOT NULL,
    model_id text COLLATE "C" NOT NULL,
    dimensions int NOT NULL CHECK (dimensions > 0),
    PRIMARY KEY (tenant, model_id)
);
COMMENT ON TABLE aiw.embedding_model IS 'The models whose vectors a tenant has: a model has one dimension, for ever.';

GRANT SELECT, INSERT ON aiw.blob TO aiw_app, aiw_system;
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['document', 'parsed_document', 'document_analysis', 'chunk', 'embedding_model'] LOOP
        EXECUTE format('ALTER TABLE aiw.%I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE aiw.%I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY of_tenant ON aiw.%I USING (tenant = current_setting(''aiw.tenant'', true))
            WITH CHECK (tenant = current_setting(''aiw.tenant'', true))', name);
        EXECUTE format('CREATE POLICY of_all ON aiw.%I TO aiw_system USING (true) WITH CHECK (true)', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON aiw.%I TO aiw_app, aiw_system', name);
    END LOOP;
END
$$;
