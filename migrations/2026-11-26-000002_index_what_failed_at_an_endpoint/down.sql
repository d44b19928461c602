SET LOCAL lock_timeout = '5s';
DROP INDEX deliveries_endpoint_unsuccessful_idx;
