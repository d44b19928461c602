SELECT (SELECT count(*) FROM (
            SELECT FROM endpoint_limits WHERE circuit_open_until > now() LIMIT 1000
        ) open) AS open,
       (SELECT count(*) FROM (
            SELECT FROM endpoint_limits
            WHERE circuit_open_until <= now() AND circuit_closing_since IS NULL LIMIT 1000
        ) half_open) AS half_open,
       (SELECT count(*) FROM (
            SELECT FROM endpoint_limits
            WHERE circuit_open_until <= now() AND circuit_closing_since IS NOT NULL LIMIT 1000
        ) closing) AS closing
