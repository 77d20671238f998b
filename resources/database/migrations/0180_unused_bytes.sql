-- Bytes that no document names any more are deleted: with the document, or by the nightly sweep. Whoever keeps bytes that are there
-- already says that they are wanted again (stored_at), and nothing that was stored lately is deleted: the document's row follows.
CREATE INDEX document_by_bytes ON aiw.document (sha256);
DO $$
DECLARE
    part regclass;
BEGIN
    FOR part IN SELECT 'aiw.blob'::regclass UNION ALL SELECT inhrelid FROM pg_inherits WHERE inhparent = 'aiw.blob'::regclass LOOP
        EXECUTE format('GRANT UPDATE (stored_at) ON %s TO aiw_app, aiw_system', part);
        EXECUTE format('GRANT DELETE ON %s TO aiw_system', part);
    END LOOP;
END
$$;
