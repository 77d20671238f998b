-- The metrics of the platform tell how many runs wait and how many are being executed.
GRANT SELECT ON aiw.run_queue TO aiw_system;
