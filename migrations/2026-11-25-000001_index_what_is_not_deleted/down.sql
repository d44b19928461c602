DROP INDEX api_keys_live_user_idx;
DROP INDEX api_keys_live_idx;
DROP INDEX endpoints_present_idx;
