-- Makes events number :from to :to, each with a delivery and a ready queue row for every endpoint of :tenant. Their ids
-- are in the order of their numbers, a hundred a millisecond, and begin :age milliseconds ago.
WITH event AS MATERIALIZED (
    SELECT n AS number, bench_id('event', n, :base::int8 + n / 100) AS id
    FROM generate_series(:from::int8, :to::int8 - 1) n
),
stored_event AS (
    INSERT INTO events (tenant_id, id, event_type, payload)
    SELECT ':tenant', id, 'bench.event',
           convert_to(format('{"seq":"%s","at":"%s","customer":"%s"}', lpad(number::text, 10, '0'), repeat('0', 20),
                             repeat('abcdefghij', 43)), 'UTF8')
    FROM event
),
delivery AS MATERIALIZED (
    SELECT bench_id('delivery' || endpoint.id, event.number, :base::int8 + event.number / 100) AS id,
           bench_id('attempt' || endpoint.id, event.number, :base::int8 + event.number / 100) AS attempt_id,
           event.id AS event_id, endpoint.id AS endpoint_id, endpoint.user_id
    FROM event, endpoints endpoint
    WHERE endpoint.tenant_id = ':tenant'
),
stored_delivery AS (
    INSERT INTO deliveries (tenant_id, id, endpoint_id, event_id, user_id, event_type, status, attempt_id,
                            first_delivery_id)
    SELECT ':tenant', id, endpoint_id, event_id, user_id, 'bench.event', 'pending', attempt_id, id FROM delivery
)
INSERT INTO delivery_queue (tenant_id, delivery_id, endpoint_id, event_id, attempt_id, attempt_number, payload_bytes)
SELECT ':tenant', id, endpoint_id, event_id, attempt_id, 1, 500 FROM delivery
