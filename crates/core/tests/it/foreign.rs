//! What a list of the store tells a tenant of another's rows, asked for by their ids: nothing. Over HTTP such ids are
//! looked up first; that the lists do not rest on it shows here.

use reprise_core::store::delivery_lists::{self, DeliveryFilter};
use reprise_core::store::hook_requests;

use crate::world::{World, event, settings};

#[tokio::test]
async fn lists_by_the_ids_of_another_tenant_are_empty() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    let stranger = world.account().await;
    let new = event(b"1");
    world.publish(account, &new).await;
    let filters = [
        DeliveryFilter {
            event_id: Some(new.id),
            ..DeliveryFilter::default()
        },
        DeliveryFilter {
            endpoint_id: Some(endpoint),
            ..DeliveryFilter::default()
        },
    ];
    for (tenant, count) in [(account.tenant, 1), (stranger.tenant, 0)] {
        for filter in &filters {
            let page = delivery_lists::list(&mut world.conn, tenant, filter, None, 20).await;
            assert_eq!(page.expect("a page").items.len(), count, "{filter:?}");
        }
        let page = hook_requests::list(&mut world.conn, tenant, endpoint, None, 20).await;
        assert_eq!(
            page.expect("a page").items.len(),
            count,
            "requests of a hook"
        );
    }
}
