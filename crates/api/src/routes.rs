//! All routes, in one place.

mod known_path;

use actix_web::web::{self, PathConfig, ServiceConfig};

use crate::auth::login;
use crate::error::ApiError;
use crate::{
    api_keys, deliveries, docs, endpoints, events, health, hooks, metrics, openapi, replays,
};
use known_path::path;

/// Adds every route to the application.
pub fn configure(config: &mut ServiceConfig) {
    config
        .app_data(PathConfig::default().error_handler(|_, _| ApiError::UnknownPath.into()))
        // Paths are tried in this order: the one that is asked for by far most often comes first.
        .configure(events)
        .configure(open)
        .configure(api_keys)
        .configure(endpoints)
        .configure(deliveries)
        .configure(hooks)
        .default_service(web::to(async || ApiError::UnknownPath.answer()));
}

/// What needs no credentials.
fn open(config: &mut ServiceConfig) {
    config
        .service(path("/healthz").get_and_head(health::live))
        .service(path("/readyz").get_and_head(health::ready))
        .service(path("/metrics").get(metrics::show))
        .service(path("/openapi.json").get(openapi::json))
        .service(path("/docs").get(docs::lead))
        .service(path("/docs/").get(docs::page))
        .service(path("/docs/{file}").get(docs::file))
        .service(path("/v1/auth/token").post(login::create_token));
}

fn api_keys(config: &mut ServiceConfig) {
    config
        .service(
            path("/v1/auth/api-keys")
                .get(api_keys::list)
                .post(api_keys::create),
        )
        .service(path("/v1/auth/api-keys/{api_key_id}").delete(api_keys::revoke));
}

fn endpoints(config: &mut ServiceConfig) {
    config
        .service(
            path("/v1/webhooks/endpoints")
                .get(endpoints::list)
                .post(endpoints::create),
        )
        .service(
            path("/v1/webhooks/endpoints/{endpoint_id}")
                .get(endpoints::get)
                .patch(endpoints::update)
                .delete(endpoints::delete),
        )
        .service(
            path("/v1/webhooks/endpoints/{endpoint_id}/rotate-secret")
                .post(endpoints::rotation::rotate),
        )
        .service(path("/v1/webhooks/endpoints/{endpoint_id}/test").post(endpoints::trial::test))
        .service(
            path("/v1/webhooks/endpoints/{endpoint_id}/verify").post(endpoints::trial::verify),
        );
}

fn events(config: &mut ServiceConfig) {
    config
        .service(
            path("/v1/webhooks/events")
                .get(events::reading::list)
                .post(events::publish),
        )
        .service(path("/v1/webhooks/events/batch").post(events::publish_batch))
        .service(path("/v1/webhooks/events/{event_id}").get(events::reading::get))
        .service(
            path("/v1/webhooks/events/{event_id}/deliveries").get(events::reading::list_deliveries),
        );
}

fn deliveries(config: &mut ServiceConfig) {
    config
        .service(path("/v1/webhooks/deliveries").get(deliveries::list))
        .service(path("/v1/webhooks/deliveries/{delivery_id}").get(deliveries::get))
        .service(
            path("/v1/webhooks/deliveries/{delivery_id}/attempts").get(deliveries::list_attempts),
        )
        .service(path("/v1/webhooks/deliveries/{delivery_id}/cancel").post(deliveries::cancel))
        .service(path("/v1/webhooks/deliveries/{delivery_id}/replay").post(replays::replay));
}

fn hooks(config: &mut ServiceConfig) {
    config
        .service(path("/hooks").get(hooks::list).post(hooks::create))
        .service(
            path("/hooks/{hook_id}")
                .get(hooks::get)
                .put(hooks::put)
                .patch(hooks::update)
                .delete(hooks::delete),
        )
        .service(path("/hooks/{hook_id}/requests").get(hooks::requests::list))
        .service(
            path("/hooks/{hook_id}/requests/{request_id}/redeliver")
                .post(hooks::redelivery::redeliver),
        );
}
