-- Single events handed to a subscription out of turn, by a routing rule or a replay: letters that are to be tried.
ALTER TABLE aiw.dead_letter ADD COLUMN replay_id uuid;
CREATE INDEX dead_letter_retrying ON aiw.dead_letter (subscription, id) WHERE status = 'retrying';

-- How many replays there are is up to people; those that run are looked for every second.
CREATE INDEX event_replay_running ON aiw.event_replay (started_at) WHERE state = 'running';
