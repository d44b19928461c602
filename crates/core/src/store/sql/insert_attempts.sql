INSERT INTO attempts (dispatcher_id, tenant_id, delivery_id, id, number, started_at, duration_ms, request_headers,
                      response_status, response_headers, response_body, response_body_truncated,
                      error_kind, error_message, remote_ip)
SELECT $1, ended.*
FROM unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::int4[], $6::timestamptz[], $7::int4[], $8::text[],
            $9::int4[], $10::text[], $11::bytea[], $12::bool[], $13::text[], $14::text[], $15::text[]) AS ended
