-- What has expired is found without reading what has not.
CREATE INDEX ai_memo_by_expiry ON aiw.ai_memo (expires_at) WHERE expires_at IS NOT NULL;
