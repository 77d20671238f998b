-- Letters are tried in the order of their events, and forgotten a while after they are settled.
DROP INDEX aiw.dead_letter_retrying;
CREATE INDEX dead_letter_retrying ON aiw.dead_letter (subscription, position) WHERE status = 'retrying';
CREATE INDEX dead_letter_settled ON aiw.dead_letter (updated_at) WHERE status IN ('resolved', 'discarded');
