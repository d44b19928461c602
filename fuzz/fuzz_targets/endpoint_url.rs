#![no_main]

#[path = "../checks/endpoint_url.rs"]
mod endpoint_url;

libfuzzer_sys::fuzz_target!(|data: &[u8]| endpoint_url::check(data));
