//! The schema as Diesel knows it. `make check-schema` compares it with a migrated database.

diesel::table! {
    tenants (id) {
        id -> Uuid,
        name -> Text,
        endpoints_version -> BigInt,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    users (tenant_id, id) {
        tenant_id -> Uuid,
        id -> BigInt,
        username -> Text,
        password_hash -> Text,
        password_version -> Integer,
        scopes -> Array<Nullable<Text>>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    api_keys (tenant_id, id) {
        tenant_id -> Uuid,
        id -> Uuid,
        user_id -> BigInt,
        name -> Text,
        prefix -> Text,
        key_hash -> Binary,
        scopes -> Array<Nullable<Text>>,
        expires_at -> Nullable<Timestamptz>,
        last_used_at -> Nullable<Timestamptz>,
        revoked_at -> Nullable<Timestamptz>,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    endpoint_limits (tenant_id, endpoint_id) {
        tenant_id -> Uuid,
        endpoint_id -> Uuid,
        next_slot_at -> Timestamptz,
        circuit_open_until -> Nullable<Timestamptz>,
        circuit_openings -> Integer,
        circuit_closing_since -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    endpoints (tenant_id, id) {
        tenant_id -> Uuid,
        id -> Uuid,
        user_id -> BigInt,
        url -> Text,
        description -> Nullable<Text>,
        event_patterns -> Array<Nullable<Text>>,
        timeout_seconds -> Integer,
        max_retries -> Nullable<Integer>,
        retry_schedule -> Nullable<Jsonb>,
        custom_headers_sealed -> Binary,
        secret_sealed -> Binary,
        secret_hint -> Text,
        signature_scheme -> Text,
        signature_header -> Nullable<Text>,
        signature_prefix -> Nullable<Text>,
        version -> BigInt,
        status -> Text,
        disabled_reason -> Nullable<Text>,
        unsettled_since -> Nullable<Timestamptz>,
        failing_since -> Nullable<Timestamptz>,
        last_success_at -> Nullable<Timestamptz>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        signature_algorithm -> Text,
        previous_secret_sealed -> Nullable<Binary>,
        previous_secret_expires_at -> Nullable<Timestamptz>,
        previous_secret_signs_first -> Bool,
        verified_at -> Nullable<Timestamptz>,
        rate_limit_per_second -> Nullable<Integer>,
        max_in_flight -> Nullable<Integer>,
        circuit_opened_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    events (tenant_id, id) {
        tenant_id -> Uuid,
        id -> Uuid,
        event_type -> Text,
        event_group -> Nullable<Text>,
        payload -> Binary,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    deliveries (tenant_id, id) {
        tenant_id -> Uuid,
        id -> Uuid,
        endpoint_id -> Uuid,
        event_id -> Uuid,
        user_id -> BigInt,
        event_type -> Text,
        event_group -> Nullable<Text>,
        status -> Text,
        attempt_count -> Integer,
        attempt_id -> Uuid,
        attempt_enqueued_at -> Timestamptz,
        first_delivery_id -> Uuid,
        replay_of_delivery_id -> Nullable<Uuid>,
        next_retry_at -> Nullable<Timestamptz>,
        last_attempt_at -> Nullable<Timestamptz>,
        delivered_at -> Nullable<Timestamptz>,
        final_http_status -> Nullable<Integer>,
        error_message -> Nullable<Text>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        unsuccessful_status -> Nullable<Text>,
    }
}

diesel::table! {
    attempts (tenant_id, id) {
        tenant_id -> Uuid,
        id -> Uuid,
        delivery_id -> Uuid,
        number -> Integer,
        started_at -> Timestamptz,
        duration_ms -> Nullable<Integer>,
        request_headers -> Nullable<Text>,
        response_status -> Nullable<Integer>,
        response_headers -> Nullable<Text>,
        response_body -> Nullable<Binary>,
        response_body_truncated -> Bool,
        error_kind -> Nullable<Text>,
        error_message -> Nullable<Text>,
        remote_ip -> Nullable<Text>,
        dispatcher_id -> Nullable<Uuid>,
    }
}

diesel::table! {
    dispatchers (id) {
        id -> Uuid,
        hostname -> Text,
        version -> Text,
        started_at -> Timestamptz,
        heartbeat_at -> Timestamptz,
    }
}

diesel::table! {
    delivery_queue (tenant_id, delivery_id) {
        tenant_id -> Uuid,
        delivery_id -> Uuid,
        endpoint_id -> Uuid,
        event_id -> Uuid,
        attempt_id -> Uuid,
        attempt_number -> Integer,
        payload_bytes -> Integer,
        express -> Bool,
        due_at -> Nullable<Timestamptz>,
        lease_token -> Nullable<Uuid>,
        leased_by -> Nullable<Uuid>,
        leased_at -> Nullable<Timestamptz>,
        limited -> Bool,
        replay_of_delivery_id -> Nullable<Uuid>,
        ready_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    idempotency_keys (tenant_id, key, method, path) {
        tenant_id -> Uuid,
        key -> Text,
        method -> Text,
        path -> Text,
        fingerprint -> Binary,
        response_body -> Nullable<Binary>,
        created_at -> Timestamptz,
    }
}

diesel::allow_tables_to_appear_in_same_query!(api_keys, users);
diesel::allow_tables_to_appear_in_same_query!(attempts, deliveries);
diesel::allow_tables_to_appear_in_same_query!(endpoints, tenants);
diesel::allow_tables_to_appear_in_same_query!(deliveries, delivery_queue, endpoints, events);
