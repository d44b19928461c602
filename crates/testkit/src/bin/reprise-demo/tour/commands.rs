//! The commands to copy, with real ids and a real key.

use crate::{
    keepsake::{DemoEndpoint, DemoTenant},
    screen,
};

/// Shows what to try next.
pub(crate) fn show(api_url: &str, tenant: &DemoTenant, endpoint: &DemoEndpoint, delivery_id: &str) {
    let key = format!("-H 'X-API-Key: {}'", tenant.api_key);
    let hook_id = &endpoint.endpoint_id;
    let post = format!("curl -sS -X POST {key}");
    screen::gap();
    screen::command(
        "Publish an event:",
        &[
            format!("curl -sS {key}"),
            "-H 'content-type: application/json'".to_owned(),
            r#"-d '{"event_type": "invoice.paid", "payload": {"invoice": "in_1002"}}'"#.to_owned(),
            format!("{api_url}/v1/webhooks/events"),
        ],
    );
    screen::command(
        "List the deliveries:",
        &[
            format!("curl -sS {key}"),
            format!("'{api_url}/v1/webhooks/deliveries?limit=5'"),
        ],
    );
    screen::command(
        "Replay a delivery; it is queued and answered at once:",
        &[
            post.clone(),
            format!("{api_url}/v1/webhooks/deliveries/{delivery_id}/replay"),
        ],
    );
    screen::command(
        "Redeliver it; the answer carries the receiver's status:",
        &[
            post,
            format!("{api_url}/hooks/{hook_id}/requests/{delivery_id}/redeliver"),
        ],
    );
    screen::fact("Docs", format_args!("{api_url}/docs"));
    screen::fact("Stop", "Ctrl-C stops everything");
    screen::gap();
}
