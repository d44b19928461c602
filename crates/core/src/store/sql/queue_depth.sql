SELECT (SELECT count(*) FROM (SELECT FROM delivery_queue WHERE due_at IS NULL AND NOT express LIMIT 100000) ready) AS ready,
       (SELECT count(*) FROM (SELECT FROM delivery_queue WHERE due_at IS NOT NULL LIMIT 100000) waiting) AS waiting
