-- Circuits: what is sent to a receiver that is dead slows down for all of its deliveries together. A circuit that is not
-- closed is a limit like any other, kept where limits are; the endpoint only says that there is one, so that claims for
-- the others read nothing more than they did.

SET LOCAL lock_timeout = '5s';
ALTER TABLE endpoints ADD COLUMN circuit_opened_at timestamptz;
COMMENT ON COLUMN endpoints.circuit_opened_at IS
    'Since when its receiver counts as dead; null: its circuit is closed. The rest is in endpoint_limits';

ALTER TABLE endpoint_limits
    ADD COLUMN circuit_open_until timestamptz,
    ADD COLUMN circuit_openings integer NOT NULL DEFAULT 0,
    ADD COLUMN circuit_closing_since timestamptz;
COMMENT ON COLUMN endpoint_limits.circuit_open_until IS
    'Until when nothing is claimed but express deliveries; afterwards one at a time. Null: the circuit is closed';
COMMENT ON COLUMN endpoint_limits.circuit_openings IS 'How often it has opened since it was closed: each time for longer';
COMMENT ON COLUMN endpoint_limits.circuit_closing_since IS
    'When the receiver answered again: how many may be in flight doubles every second since';
CREATE INDEX endpoint_limits_circuit_idx ON endpoint_limits (circuit_open_until) WHERE circuit_open_until IS NOT NULL;
