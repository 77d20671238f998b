-- A login that is no superuser must not inherit aiw_system: policies for a role hold for all who inherit it, and a session
-- that has not switched to a role is to see nothing. It may switch (SET), and that is all.
DO $$
DECLARE
    wanted text;
BEGIN
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        FOREACH wanted IN ARRAY ARRAY['aiw_app', 'aiw_system'] LOOP
            IF pg_has_role(current_user, wanted, 'USAGE') THEN
                BEGIN
                    EXECUTE format('GRANT %I TO CURRENT_USER WITH INHERIT FALSE, SET TRUE', wanted);
                EXCEPTION WHEN insufficient_privilege THEN
                    NULL;  -- granted by somebody else; the check below tells what to do
                END;
            END IF;
            IF pg_has_role(current_user, wanted, 'USAGE') THEN
                RAISE EXCEPTION 'the role % inherits %', current_user, wanted
                    USING HINT = format('As a superuser: GRANT %I TO %I WITH INHERIT FALSE, SET TRUE', wanted, current_user);
            END IF;
        END LOOP;
    END IF;
END
$$;
