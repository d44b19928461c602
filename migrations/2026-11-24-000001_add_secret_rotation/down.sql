ALTER TABLE endpoints
    DROP COLUMN verified_at,
    DROP COLUMN previous_secret_signs_first,
    DROP COLUMN previous_secret_expires_at,
    DROP COLUMN previous_secret_sealed,
    DROP COLUMN signature_algorithm;
