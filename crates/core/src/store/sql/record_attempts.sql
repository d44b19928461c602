-- Records attempts with what follows from them, for those whose leases are still held by their token: others have the rest.
--
-- Each row of held is read from what was deleted or rescheduled, so that the queue's rows are locked before the endpoints',
-- and these in the order of their keys.
--
-- Rows to change are looked up by a tenant that is any of one. Were it equal to that one, the planner could read all of the
-- table in the order of its key, and compare each row with what has finished. After a vacuum among few rows it does, and
-- keeps that plan while the table grows.
--
-- $1 dispatcher  $2 channel on which who waits is told
-- $3, $4 deliveries  $5 lease tokens  $6 endpoints  $7 whether the endpoint is to be disabled by the caller's transaction
-- $8 states  $9 milliseconds until the next attempt (null: none)  $10 next attempts' ids  $11 what deliveries show as error
-- $12 whole answers' status  $13 what to tell who waits (null: nobody waits)
-- the attempts: $14 id  $15 number  $16 start  $17 milliseconds  $18 request headers
-- $19..$22 response: status, headers, body, whether cut  $23, $24 error: kind, message  $25 address of the receiver
WITH finished AS MATERIALIZED (
    SELECT *
    FROM unnest($3::uuid[], $4::uuid[], $5::uuid[], $6::uuid[], $7::bool[], $8::text[], $9::int8[], $10::uuid[],
                $11::text[], $12::int4[], $13::text[], $14::uuid[], $15::int4[], $16::timestamptz[], $17::int4[],
                $18::text[], $19::int4[], $20::text[], $21::bytea[], $22::bool[], $23::text[], $24::text[], $25::text[])
        WITH ORDINALITY
        AS finished (tenant_id, delivery_id, lease_token, endpoint_id, is_gone, status, retry_after_ms, next_attempt_id,
                     delivery_error, answered_status, answer, attempt_id, number, started_at, duration_ms,
                     request_headers, response_status, response_headers, response_body, response_body_truncated,
                     error_kind, error_message, remote_ip, place)
),
ended AS (
    DELETE FROM delivery_queue q
    USING finished
    WHERE q.tenant_id = ANY (ARRAY[finished.tenant_id]) AND q.delivery_id = finished.delivery_id
      AND q.lease_token = finished.lease_token AND finished.retry_after_ms IS NULL
    RETURNING finished.*
),
rescheduled AS (
    UPDATE delivery_queue q
    SET attempt_id = finished.next_attempt_id,
        attempt_number = q.attempt_number + 1,
        -- A retry at once is ready at once.
        due_at = CASE WHEN finished.retry_after_ms > 0
                      THEN now() + finished.retry_after_ms * interval '1 millisecond' END,
        ready_at = now(), express = false, lease_token = NULL, leased_by = NULL, leased_at = NULL
    FROM finished
    WHERE q.tenant_id = ANY (ARRAY[finished.tenant_id]) AND q.delivery_id = finished.delivery_id
      AND q.lease_token = finished.lease_token AND finished.retry_after_ms IS NOT NULL
    RETURNING finished.*
),
held AS MATERIALIZED (
    SELECT * FROM ended
    UNION ALL
    SELECT * FROM rescheduled
),
attempt AS (
    INSERT INTO attempts (dispatcher_id, tenant_id, delivery_id, id, number, started_at, duration_ms, request_headers,
                          response_status, response_headers, response_body, response_body_truncated, error_kind,
                          error_message, remote_ip)
    SELECT $1, tenant_id, delivery_id, attempt_id, number, started_at, duration_ms, request_headers, response_status,
           response_headers, response_body, response_body_truncated, error_kind, error_message, remote_ip
    FROM held
),
delivery AS (
    UPDATE deliveries
    SET status = held.status,
        unsuccessful_status = CASE WHEN held.status IN ('failed', 'canceled', 'skipped') THEN held.status END,
        attempt_count = held.number,
        attempt_id = CASE WHEN held.retry_after_ms IS NULL THEN deliveries.attempt_id ELSE held.next_attempt_id END,
        attempt_enqueued_at = CASE WHEN held.retry_after_ms IS NULL THEN deliveries.attempt_enqueued_at ELSE now() END,
        next_retry_at = now() + held.retry_after_ms * interval '1 millisecond',
        last_attempt_at = held.started_at,
        delivered_at = CASE WHEN held.status = 'delivered' THEN now() END,
        final_http_status = CASE WHEN held.retry_after_ms IS NULL THEN held.answered_status END,
        error_message = held.delivery_error,
        updated_at = now()
    FROM held
    WHERE deliveries.tenant_id = ANY (ARRAY[held.tenant_id]) AND deliveries.id = held.delivery_id
),
-- What the last attempt at each endpoint says of its health. A lost one says nothing of the receiver.
outcome AS (
    SELECT DISTINCT ON (tenant_id, endpoint_id)
           tenant_id, endpoint_id, error_kind IS NULL AS has_succeeded,
           bool_or(is_gone) OVER (PARTITION BY tenant_id, endpoint_id) AS is_gone
    FROM held
    WHERE error_kind IS DISTINCT FROM 'lost'
    ORDER BY tenant_id, endpoint_id, place DESC
),
-- Those of which something new is known: the first failure, the first success after it, and a success at most every ten
-- seconds. Also those that are going to be disabled: locked later, they would be out of the order.
noted AS MATERIALIZED (
    SELECT endpoints.tenant_id, endpoints.id, outcome.has_succeeded
    FROM outcome
    JOIN endpoints ON endpoints.tenant_id = outcome.tenant_id AND endpoints.id = outcome.endpoint_id
    WHERE CASE WHEN outcome.has_succeeded
               THEN endpoints.failing_since IS NOT NULL OR endpoints.last_success_at IS NULL
                    OR endpoints.last_success_at < now() - interval '10 seconds'
               ELSE endpoints.failing_since IS NULL END
       OR (outcome.is_gone AND endpoints.status = 'enabled')
    ORDER BY endpoints.tenant_id, endpoints.id
    FOR NO KEY UPDATE OF endpoints
),
health AS (
    UPDATE endpoints
    SET failing_since = CASE WHEN noted.has_succeeded THEN NULL ELSE coalesce(endpoints.failing_since, now()) END,
        last_success_at = CASE WHEN noted.has_succeeded THEN now() ELSE endpoints.last_success_at END
    FROM noted
    WHERE endpoints.tenant_id = noted.tenant_id AND endpoints.id = noted.id
)
SELECT delivery_id, lease_token, CASE WHEN answer IS NOT NULL THEN pg_notify($2, answer) IS NULL END AS is_untold
FROM held
