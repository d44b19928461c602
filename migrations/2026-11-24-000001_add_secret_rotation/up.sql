-- Secrets that overlap, Ed25519, and endpoints that have answered a challenge.

SET LOCAL lock_timeout = '5s';
ALTER TABLE endpoints
    ADD COLUMN signature_algorithm text NOT NULL DEFAULT 'hmac-sha256'
        CHECK (signature_algorithm IN ('hmac-sha256', 'ed25519')),
    ADD COLUMN previous_secret_sealed bytea,
    ADD COLUMN previous_secret_expires_at timestamptz,
    ADD COLUMN previous_secret_signs_first boolean NOT NULL DEFAULT false,
    ADD COLUMN verified_at timestamptz,
    ADD CHECK (signature_algorithm = 'hmac-sha256' OR signature_scheme = 'standard'),
    ADD CHECK ((previous_secret_sealed IS NULL) = (previous_secret_expires_at IS NULL));
CREATE INDEX endpoints_previous_secret_idx ON endpoints (previous_secret_expires_at)
    WHERE previous_secret_expires_at IS NOT NULL;
COMMENT ON COLUMN endpoints.previous_secret_sealed IS
    'The secret before the last rotation, encrypted; maintenance forgets it when it has expired';
COMMENT ON COLUMN endpoints.previous_secret_expires_at IS 'Until then it signs beside the present one';
COMMENT ON COLUMN endpoints.previous_secret_signs_first IS
    'Whether schemes with room for one signature use it until then';
COMMENT ON COLUMN endpoints.verified_at IS 'When the receiver echoed a challenge; null again when the URL changes';
