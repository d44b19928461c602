-- Makes deliveries number :from to :to (of :all), the first of them twelve weeks old and the last one made now; and an
-- event for every fifth. Most are of tenant :tenant, the others of :other, so that ids of a tenant have gaps.
WITH numbered AS MATERIALIZED (
    SELECT n, bench_id('delivery', n, :all) AS id, bench_id('event', n / 5 * 5, :all) AS event_id,
           bench_instant(n, :all) AS made_at, n % 5 <> 4 AS is_ours
    FROM generate_series(:from::int8, :to::int8 - 1) n
),
event AS (
    INSERT INTO events (tenant_id, id, event_type, event_group, payload, created_at)
    SELECT ':tenant'::uuid, event_id, 'type.' || n / 5 % 50, 'group.' || n % 100000, '{}', made_at
    FROM numbered WHERE n % 5 = 0
)
INSERT INTO deliveries (tenant_id, id, endpoint_id, event_id, user_id, event_type, event_group, status,
                        unsuccessful_status, attempt_count, attempt_id, first_delivery_id, replay_of_delivery_id,
                        delivered_at, final_http_status, created_at, updated_at)
SELECT CASE WHEN is_ours THEN ':tenant'::uuid ELSE ':other'::uuid END, id,
       CASE WHEN is_ours THEN (ARRAY[:endpoints]::uuid[])[1 + n % 20] ELSE ':other_endpoint'::uuid END,
       event_id, CASE WHEN is_ours THEN :user ELSE :other_user END,
       CASE WHEN n % 1000000 = 0 THEN 'type.rare' ELSE 'type.' || n / 5 % 50 END,
       'group.' || n % 100000,
       CASE WHEN n % 50 = 0 THEN 'failed' WHEN n % 1001 = 0 THEN 'skipped' ELSE 'delivered' END,
       CASE WHEN n % 50 = 0 THEN 'failed' WHEN n % 1001 = 0 THEN 'skipped' END,
       1, bench_id('attempt', n, :all),
       CASE WHEN n % 1000 = 1 THEN bench_id('delivery', n - 1, :all) ELSE id END,
       CASE WHEN n % 1000 = 1 THEN bench_id('delivery', n - 1, :all) END,
       CASE WHEN n % 50 <> 0 AND n % 1001 <> 0 THEN made_at END,
       CASE WHEN n % 50 = 0 THEN 500 WHEN n % 1001 = 0 THEN NULL ELSE 200 END,
       made_at, made_at
FROM numbered
