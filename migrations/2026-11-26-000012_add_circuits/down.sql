DROP INDEX endpoint_limits_circuit_idx;
ALTER TABLE endpoint_limits
    DROP COLUMN circuit_closing_since,
    DROP COLUMN circuit_openings,
    DROP COLUMN circuit_open_until;
ALTER TABLE endpoints DROP COLUMN circuit_opened_at;
