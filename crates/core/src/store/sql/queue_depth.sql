SELECT (SELECT count(*) FROM (
            SELECT FROM delivery_queue WHERE due_at IS NULL AND NOT express LIMIT 100000
        ) ready) AS ready,
       (SELECT count(*) FROM (
            SELECT FROM delivery_queue WHERE due_at IS NULL AND express LIMIT 100000
        ) express) AS express,
       (SELECT count(*) FROM (
            SELECT FROM delivery_queue WHERE due_at < 'infinity' LIMIT 100000
        ) waiting) AS waiting,
       (SELECT count(*) FROM (
            SELECT FROM delivery_queue WHERE due_at = 'infinity' LIMIT 100000
        ) kept_back) AS kept_back
