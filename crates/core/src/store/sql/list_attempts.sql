-- The attempts of a delivery ($1, $2): no row where there is no such delivery, one without an attempt where none has ended.
-- Attempts are read in the order of all their index's columns, so that the planner has one way to go.
SELECT listed.*
FROM deliveries
LEFT JOIN (
    SELECT * FROM attempts
    WHERE tenant_id = $1 AND delivery_id >= $2 AND delivery_id <= $2
    ORDER BY tenant_id, delivery_id, id
) listed ON true
WHERE deliveries.tenant_id = $1 AND deliveries.id = $2
