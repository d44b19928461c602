//! Plans that were made while the tables were empty, and are kept: none of them may look a row up by its tenant alone,
//! which is as good as by its whole key in an empty table, and reads all that a tenant has in a full one.

use std::fmt::Write as _;
use std::time::Duration;

use diesel_async::SimpleAsyncConnection;
use reprise_core::delivery::DeliveryStatus;
use reprise_core::endpoint::EndpointStatus;
use reprise_core::event_type::{EventGroup, EventType};
use reprise_core::ids::{AttemptId, DeliveryId, EndpointId, EventId};
use reprise_core::store::delivery_lists::{self, DeliveryFilter};
use reprise_core::store::delivery_queue::{self, Claimant, LimitedRequest};
use reprise_core::store::published_events::{self, EventFilter};
use reprise_core::store::replays::{self, ReplayOrder, Urgency};
use reprise_core::store::{
    attempts, deliveries, direct_events, dispatchers, events, hook_requests, leases, lost,
    recording, settling,
};

use crate::attempts::{delivered, gone, retried};
use crate::world::{Account, MARGIN, World, disabled, event, settings};

/// The tables that grow with what a tenant sends, with and without their partitions.
const GROWING: [&str; 4] = [
    " on events",
    " on deliveries",
    " on attempts",
    " on delivery_queue",
];

fn filters() -> Vec<DeliveryFilter> {
    let nothing = DeliveryFilter::default();
    let status = |status| DeliveryFilter {
        status: Some(status),
        ..DeliveryFilter::default()
    };
    let endpoint_id = Some(EndpointId::new());
    vec![
        nothing.clone(),
        status(DeliveryStatus::Failed),
        status(DeliveryStatus::Delivered),
        status(DeliveryStatus::Pending),
        status(DeliveryStatus::Delivering),
        DeliveryFilter {
            endpoint_id,
            ..nothing.clone()
        },
        DeliveryFilter {
            endpoint_id,
            ..status(DeliveryStatus::Failed)
        },
        DeliveryFilter {
            endpoint_id,
            ..status(DeliveryStatus::Delivering)
        },
        DeliveryFilter {
            event_type: Some(EventType::parse("a").expect("a type")),
            ..nothing.clone()
        },
        DeliveryFilter {
            event_group: Some(EventGroup::parse("a").expect("a group")),
            ..nothing.clone()
        },
        DeliveryFilter {
            event_id: Some(EventId::new()),
            ..nothing.clone()
        },
        DeliveryFilter {
            replay_of: Some(DeliveryId::new()),
            ..nothing
        },
    ]
}

/// Has the session prepare what reads deliveries, among no rows.
async fn read(world: &mut World, account: Account, endpoint: EndpointId) {
    let tenant = account.tenant;
    for filter in filters() {
        delivery_lists::list(&mut world.conn, tenant, &filter, None, 20)
            .await
            .expect("read");
    }
    hook_requests::list(&mut world.conn, tenant, endpoint, None, 20)
        .await
        .expect("read");
    published_events::list(&mut world.conn, tenant, &EventFilter::default(), None, 20)
        .await
        .expect("read");
    deliveries::find(&mut world.conn, tenant, DeliveryId::new())
        .await
        .expect("read");
    attempts::find(&mut world.conn, tenant, AttemptId::new())
        .await
        .expect("read");
    attempts::list(&mut world.conn, tenant, DeliveryId::new())
        .await
        .expect("read");
    events::find_stored(&mut world.conn, tenant, EventId::new())
        .await
        .expect("read");
    leases::is_any_live(&mut world.conn, tenant, endpoint)
        .await
        .expect("read");
}

/// Has the session prepare what writes them, among next to no rows.
async fn write(world: &mut World, account: Account, endpoint: EndpointId) {
    let tenant = account.tenant;
    for _ in 0..4 {
        world.publish(account, &event(b"{}")).await;
    }
    let challenge = EventType::challenge();
    direct_events::insert(&mut world.conn, tenant, endpoint, challenge, b"{}")
        .await
        .expect("stored");
    world.claim_express(1).await;
    let claims = world.claim(4).await;
    let ends = [
        delivered(&claims[0]),
        retried(&claims[1], Duration::from_secs(60)),
    ];
    recording::record(&mut world.conn, world.dispatcher, &ends)
        .await
        .expect("recorded");
    let order = ReplayOrder {
        delivery_id: claims[0].delivery_id,
        endpoint_id: None,
        urgency: Urgency::Normal,
    };
    replays::make(&mut world.conn, tenant, &order)
        .await
        .expect("no error");
    replays::find_source(&mut world.conn, tenant, &order)
        .await
        .expect("read");
    deliveries::cancel(&mut world.conn, tenant, claims[1].delivery_id, "a reason")
        .await
        .expect("no error");
    world.expire_leases().await;
    lost::take_over_expired(&mut world.conn, 10)
        .await
        .expect("taken over");
    lost::take_over_one(&mut world.conn, tenant, DeliveryId::new())
        .await
        .expect("no error");
    recording::record(&mut world.conn, world.dispatcher, &[gone(&claims[3])])
        .await
        .expect("no error");
}

/// Has the session prepare what dispatchers do besides.
async fn keep_house(world: &mut World, account: Account, endpoint: EndpointId) {
    for status in [EndpointStatus::Deleted, disabled(), EndpointStatus::Enabled] {
        let other = world.endpoint(account).await;
        world.set_status(account, other, status).await;
    }
    settling::settle_one(&mut world.conn)
        .await
        .expect("settled");
    leases::give_back(&mut world.conn, &[])
        .await
        .expect("given back");
    delivery_queue::promote_due(&mut world.conn, 10)
        .await
        .expect("promoted");
    dispatchers::end_leases_of_silent(&mut world.conn, 3_600)
        .await
        .expect("ended");
    let request = LimitedRequest {
        claimant: Claimant::new(world.dispatcher),
        endpoints: &[((account.tenant, endpoint), 1)],
        max_rows: 1,
        max_payload_bytes: i64::MAX,
        lease_margin: MARGIN,
    };
    delivery_queue::claim_limited(&mut world.conn, &request)
        .await
        .expect("claimed");
}

/// An argument of a type; a uuid is one of today, so that its partition is in the plan.
fn argument(sql_type: &str) -> String {
    match sql_type {
        "uuid" => format!("'{}'", EventId::new()),
        array if array.ends_with("[]") => "'{}'".to_owned(),
        "text" => "'a'".to_owned(),
        "boolean" => "true".to_owned(),
        "timestamp with time zone" => "now()".to_owned(),
        "bytea" => "''".to_owned(),
        _ => "1".to_owned(),
    }
}

/// The plan's lookups in a growing table that compare the tenant and nothing else.
fn lookups_by_tenant_alone(plan: &[String]) -> Vec<String> {
    let pairs = plan.windows(2);
    let lookups = pairs.filter(|lines| {
        let (node, condition) = (&lines[0], lines[1].trim());
        let is_growing = GROWING.iter().any(|table| node.contains(table))
            || (node.contains("Bitmap Index Scan") && !node.contains("endpoint"));
        let is_of_tenant =
            condition.starts_with("Index Cond: (tenant_id = ") && !condition.contains(" AND ");
        is_growing && is_of_tenant
    });
    lookups
        .map(|lines| format!("{} {}", lines[0].trim(), lines[1].trim()))
        .collect()
}

/// The plan's scans of a growing table from one end to the other.
fn whole_scans(plan: &[String]) -> Vec<String> {
    let pairs = plan.windows(2);
    let scans = pairs.filter(|lines| {
        let node = lines[0].trim_start();
        let is_growing = GROWING.iter().any(|table| node.contains(table));
        let is_scan = node.contains("Scan using ") || node.contains("Seq Scan");
        is_growing && is_scan && !lines[1].trim().starts_with("Index Cond: ")
    });
    scans
        .map(|lines| format!("{} {}", lines[0].trim(), lines[1].trim()))
        .collect()
}

/// What is wrong with the plans that the session has prepared or makes now.
async fn faults_of_plans(world: &mut World) -> String {
    let prepared = world
        .texts(
            "SELECT name || ' ' || array_to_string(parameter_types, ',') FROM pg_prepared_statements
             WHERE statement !~ 'pg_prepared|^(BEGIN|COMMIT)' AND statement ~ 'deliver|attempts|events'",
        )
        .await;
    assert!(prepared.len() >= 34, "{}", prepared.len());
    let mut found = String::new();
    for one in prepared {
        let (name, types) = one.split_once(' ').expect("two words");
        let arguments: Vec<String> = types
            .split(',')
            .filter(|name| !name.is_empty())
            .map(argument)
            .collect();
        let arguments = match arguments.join(", ") {
            none if none.is_empty() => none,
            some => format!("({some})"),
        };
        let plan = world
            .texts(&format!("EXPLAIN EXECUTE \"{name}\" {arguments}"))
            .await;
        let faults = [lookups_by_tenant_alone(&plan), whole_scans(&plan)].concat();
        if !faults.is_empty() {
            let text = world
                .texts(&format!(
                    "SELECT statement FROM pg_prepared_statements WHERE name = '{name}'"
                ))
                .await
                .remove(0);
            writeln!(found, "{faults:#?} in {text}").expect("a string takes everything");
        }
    }
    found
}

#[tokio::test]
async fn no_plan_made_among_few_rows_looks_them_up_by_their_tenant_alone() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    read(&mut world, account, endpoint).await;
    write(&mut world, account, endpoint).await;
    keep_house(&mut world, account, endpoint).await;
    let faults = faults_of_plans(&mut world).await;
    assert!(faults.is_empty(), "{faults}");
}

/// What is vacuumed is known to be as small as it is, and reading all of it costs less than looking a few rows up. The
/// plan is kept while it grows.
#[tokio::test]
async fn no_plan_made_after_a_vacuum_among_few_rows_reads_all_of_them() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    read(&mut world, account, endpoint).await;
    write(&mut world, account, endpoint).await;
    keep_house(&mut world, account, endpoint).await;
    let mut other = world.connect().await;
    for emptying in ["SELECT", "DELETE FROM delivery_queue"] {
        for statement in [emptying, "VACUUM ANALYZE"] {
            other.batch_execute(statement).await.expect("done");
        }
        let faults = faults_of_plans(&mut world).await;
        assert!(faults.is_empty(), "{emptying}{faults}");
    }
}
