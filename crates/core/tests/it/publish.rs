//! Publishing: an event and all its deliveries, in one statement, or nothing.

use diesel_async::SimpleAsyncConnection;
use reprise_core::delivery::DeliveryStatus;
use reprise_core::event_type::{EventGroup, EventType};
use reprise_core::ids::EndpointId;
use reprise_core::ready_hint::ReadyHint;
use reprise_core::store::delivery_lists::{self, DeliveryFilter};
use reprise_core::store::endpoints;
use reprise_core::store::events::{self, NewEvent, Publication, Published, Telling};
use reprise_core::store::messages;
use reprise_core::store::subscriptions;
use reprise_core::subscriptions::Subscriptions;
use reprise_testkit::sql::ORPHANS;

use crate::leases::hear;
use crate::world::{Account, World, disabled, event, patterns, settings};

/// How many deliveries an event of this type gets.
async fn delivery_count(world: &mut World, account: Account, event_type: &str) -> usize {
    let event = NewEvent {
        event_type: EventType::parse(event_type).expect("a type"),
        ..event(b"{}")
    };
    match world.publish(account, &event).await {
        Published::Stored {
            delivery_counts, ..
        } => delivery_counts.into_iter().sum(),
        published @ (Published::SubscriptionsChanged
        | Published::TooManyDeliveries
        | Published::NoRoom) => panic!("{published:?}"),
    }
}

#[tokio::test]
async fn publishing_stores_the_event_with_a_delivery_and_a_queue_row_for_whoever_wants_it() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    let stranger = world.account().await;
    world.endpoint(stranger).await;
    let mut published = event(b"{\"a\": 1}");
    published.event_group = Some(EventGroup::parse("order-7").expect("a group"));
    let stored = world.publish(account, &published).await;
    let listed = delivery_lists::list(
        &mut world.conn,
        account.tenant,
        &DeliveryFilter::default(),
        None,
        10,
    )
    .await
    .expect("read")
    .items;
    assert_eq!(listed.len(), 1);
    let delivery = &listed[0];
    let created_at = delivery.created_at;
    assert_eq!(
        stored,
        Published::Stored {
            created_at,
            delivery_counts: vec![1]
        }
    );
    assert_eq!(delivery.status, DeliveryStatus::Pending);
    assert_eq!(delivery.endpoint_id, endpoint);
    assert_eq!(delivery.owner, account.owner);
    assert_eq!(delivery.event_id, published.id);
    assert_eq!(delivery.event_type, published.event_type);
    assert_eq!(delivery.event_group, published.event_group);
    assert_eq!(delivery.first_delivery_id, delivery.id);
    assert_eq!(delivery.replay_of, None);
    let attempt_id = delivery.attempt_id;
    let claims = world.claim(10).await;
    assert_eq!(claims.len(), 1);
    assert_eq!(claims[0].attempt_id, attempt_id);
    assert_eq!(claims[0].attempt_number, 1);
    assert_eq!(claims[0].payload_bytes, 8);
    assert_eq!(
        world.number("SELECT count(*) FROM deliveries").await,
        1,
        "the stranger gets none"
    );
}

#[tokio::test]
async fn a_stale_version_of_the_endpoints_stores_nothing() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    let stale = subscriptions::list(&mut world.conn, account.tenant)
        .await
        .expect("read");
    let changes = [world.endpoint(account).await, {
        world.set_status(account, endpoint, disabled()).await;
        endpoint
    }];
    let before = world.rows().await;
    let published = events::publish(&mut world.conn, account.tenant, &stale, &[event(b"{}")])
        .await
        .expect("no error");
    assert_eq!(published, Published::SubscriptionsChanged);
    assert_eq!(world.rows().await, before);
    let fresh = subscriptions::list(&mut world.conn, account.tenant)
        .await
        .expect("read");
    assert_eq!(fresh.list().len(), changes.len());
    assert!(fresh.version() > stale.version());
}

#[tokio::test]
async fn every_change_of_an_endpoint_makes_older_subscriptions_stale() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    let version = "SELECT endpoints_version FROM tenants";
    let mut last = world.number(version).await;
    for status in [
        disabled(),
        reprise_core::endpoint::EndpointStatus::Enabled,
        reprise_core::endpoint::EndpointStatus::Deleted,
    ] {
        world.set_status(account, endpoint, status).await;
        let now = world.number(version).await;
        assert!(now > last);
        last = now;
    }
    endpoints::disable(&mut world.conn, account.tenant, endpoint, 1, "gone")
        .await
        .expect("nothing to disable");
    assert_eq!(world.number(version).await, last, "nothing was changed");
}

#[tokio::test]
async fn a_pattern_decides_which_events_an_endpoint_gets() {
    let mut world = World::create().await;
    let account = world.account().await;
    for wanted in [&["invoice.paid", "order:*"][..], &["invoice.*"], &["*"]] {
        let mut settings = settings();
        settings.event_patterns = patterns(wanted);
        world.endpoint_with(account, settings).await;
    }
    for (event_type, count) in [
        ("invoice.paid", 3),
        ("invoice.paid.late", 2),
        ("order.made", 2),
        ("order:made:twice", 2),
        ("invoice", 1),
        ("other", 1),
    ] {
        assert_eq!(
            delivery_count(&mut world, account, event_type).await,
            count,
            "{event_type}"
        );
    }
}

#[tokio::test]
async fn an_event_that_nobody_wants_is_stored_all_the_same() {
    let mut world = World::create().await;
    let account = world.account().await;
    assert_eq!(delivery_count(&mut world, account, "invoice.paid").await, 0);
    assert_eq!(world.number("SELECT count(*) FROM events").await, 1);
}

#[tokio::test]
async fn a_disabled_endpoint_gets_a_skipped_delivery_that_is_never_sent() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    world.set_status(account, endpoint, disabled()).await;
    assert_eq!(delivery_count(&mut world, account, "invoice.paid").await, 1);
    let status = world.texts("SELECT status FROM deliveries").await;
    assert_eq!(status, ["skipped"]);
    assert_eq!(world.number("SELECT count(*) FROM delivery_queue").await, 0);
}

#[tokio::test]
async fn a_deleted_endpoint_gets_none() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    world
        .set_status(
            account,
            endpoint,
            reprise_core::endpoint::EndpointStatus::Deleted,
        )
        .await;
    assert_eq!(delivery_count(&mut world, account, "invoice.paid").await, 0);
}

#[tokio::test]
async fn an_endpoint_that_is_not_the_tenants_fails_the_whole_commit() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    let stranger = world.account().await;
    let foreign = world.endpoint(stranger).await;
    let subscriptions = subscriptions::list(&mut world.conn, account.tenant)
        .await
        .expect("read");
    assert_eq!(subscriptions.list()[0].endpoint_id, endpoint);
    let before = world.rows().await;
    for other in [foreign, reprise_core::ids::EndpointId::new()] {
        // A second delivery of the event.
        let mut list = subscriptions.list().to_vec();
        let mut impossible = list[0].clone();
        impossible.endpoint_id = other;
        list.push(impossible);
        let mistaken = Subscriptions::new(subscriptions.version(), list);
        let of_one = [event(b"{}")];
        let published = events::publish(&mut world.conn, account.tenant, &mistaken, &of_one).await;
        published.expect_err("there is no such endpoint");
        assert_eq!(world.rows().await, before);
    }
}

#[tokio::test]
async fn the_same_event_is_not_stored_twice() {
    let (mut world, account, _) = World::with_endpoint(settings()).await;
    let event = event(b"{}");
    world.publish(account, &event).await;
    let before = world.rows().await;
    let subscriptions = subscriptions::list(&mut world.conn, account.tenant)
        .await
        .expect("read");
    events::publish(&mut world.conn, account.tenant, &subscriptions, &[event])
        .await
        .expect_err("the id is taken");
    assert_eq!(world.rows().await, before);
}

#[tokio::test]
async fn payloads_are_kept_byte_for_byte() {
    let (mut world, account, _) = World::with_endpoint(settings()).await;
    let every_byte: Vec<u8> = (0..=u8::MAX).collect();
    let mut largest = vec![b'x'; 1_048_576];
    largest[0] = 0;
    for payload in [
        &b"{ \"b\" : 1.0, \"a\":1e2,\"a\":\"\\u0000\" }\r\n"[..],
        b"\\x00",
        b"",
        &every_byte,
        &largest,
    ] {
        world.publish(account, &event(payload)).await;
        let claims = world.claim(1).await;
        assert_eq!(usize::try_from(claims[0].payload_bytes), Ok(payload.len()));
        let messages = messages::load_messages(&mut world.conn, &claims)
            .await
            .expect("read");
        let message = messages[&claims[0].event_id].as_ref().expect("readable");
        let read = message.payload.as_slice();
        assert!(read == payload, "{} bytes were changed", payload.len());
    }
    // One byte more is a mistake of ours, and refused.
    largest.push(b'x');
    let subscriptions = subscriptions::list(&mut world.conn, account.tenant)
        .await
        .expect("read");
    events::publish(
        &mut world.conn,
        account.tenant,
        &subscriptions,
        &[event(&largest)],
    )
    .await
    .expect_err("too large");
}

#[tokio::test]
async fn a_commit_takes_what_it_has_room_for_and_leaves_the_rest() {
    let mut world = World::create().await;
    let (wide, narrow) = (world.account().await, world.account().await);
    for _ in 0..6 {
        world.endpoint(wide).await;
    }
    world.endpoint(narrow).await;
    let read = subscriptions::list_of(&mut world.conn, &[wide.tenant, narrow.tenant])
        .await
        .expect("read");
    let many: Vec<NewEvent> = (0..200).map(|_| event(b"{}")).collect();
    let one = [event(b"{}")];
    let publication = |account: Account, events| Publication {
        tenant_id: account.tenant,
        subscriptions: &read[&account.tenant],
        events,
    };
    let wanted = [publication(wide, &many[..]), publication(narrow, &one[..])];
    let published = events::publish_together(&mut world.conn, &wanted, &Telling::Nobody)
        .await
        .expect("stored")
        .published;
    assert!(
        matches!(&published[0], Published::Stored { delivery_counts, .. } if delivery_counts == &[6; 200])
    );
    assert_eq!(published[1], Published::NoRoom);
    assert_eq!(world.number("SELECT count(*) FROM events").await, 200);
    let published = events::publish_together(&mut world.conn, &wanted[1..], &Telling::Nobody)
        .await
        .expect("stored")
        .published;
    assert!(
        matches!(&published[0], Published::Stored { delivery_counts, .. } if delivery_counts == &[1])
    );
}

#[tokio::test]
async fn a_commit_tells_also_what_earlier_ones_have_not_unless_it_stores_nothing() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    let mut listener = world.connect().await;
    listener
        .batch_execute("LISTEN reprise_ready")
        .await
        .expect("listening");
    let read = subscriptions::list_of(&mut world.conn, &[account.tenant])
        .await
        .expect("read");
    let one = [event(b"{}")];
    let wanted = [Publication {
        tenant_id: account.tenant,
        subscriptions: &read[&account.tenant],
        events: &one,
    }];
    let mut hint = ReadyHint::default();
    hint.add(account.tenant, EndpointId::new());
    let telling = Telling::Dispatchers(hint.clone());
    hint.add(account.tenant, endpoint);

    let stored = events::publish_together(&mut world.conn, &wanted, &telling)
        .await
        .expect("stored");
    assert_eq!(stored.untold, ReadyHint::default());
    assert_eq!(hear(&mut listener, 1).await, [hint.to_string()]);

    world.endpoint(account).await;
    let refused = events::publish_together(&mut world.conn, &wanted, &telling)
        .await
        .expect("answered");
    assert_eq!(refused.published, [Published::SubscriptionsChanged]);
    assert_eq!(refused.untold, hint, "still to be told");
}

#[tokio::test]
async fn a_tenant_whose_endpoints_changed_is_left_out_of_a_commit_alone() {
    let mut world = World::create().await;
    let mut accounts = Vec::new();
    for _ in 0..3 {
        let account = world.account().await;
        world.endpoint(account).await;
        accounts.push(account);
    }
    let tenants: Vec<_> = accounts.iter().map(|account| account.tenant).collect();
    let read = subscriptions::list_of(&mut world.conn, &tenants)
        .await
        .expect("read");
    let changed = accounts[1];
    world.endpoint(changed).await;
    let events = [(); 5].map(|()| event(b"{}"));
    let of = |place: usize| accounts[[0, 1, 2, 0, 1][place]];
    let wanted: Vec<Publication<'_>> = events
        .chunks(1)
        .enumerate()
        .map(|(place, events)| Publication {
            tenant_id: of(place).tenant,
            subscriptions: &read[&of(place).tenant],
            events,
        })
        .collect();
    let published = events::publish_together(&mut world.conn, &wanted, &Telling::Nobody)
        .await
        .expect("stored")
        .published;
    for (place, published) in published.into_iter().enumerate() {
        let tenant = of(place).tenant;
        let found = events::find_stored(&mut world.conn, tenant, events[place].id).await;
        let delivery_count = found.expect("read").map(|(_, count)| count);
        if tenant == changed.tenant {
            assert_eq!(published, Published::SubscriptionsChanged);
            assert_eq!(delivery_count, None);
        } else {
            assert!(matches!(published, Published::Stored { .. }));
            assert_eq!(delivery_count, Some(1));
        }
    }
    for table in ["events", "deliveries", "delivery_queue"] {
        let rows = world.number(&format!("SELECT count(*) FROM {table}")).await;
        assert_eq!(rows, 3, "{table}");
    }
    let orphans = world.texts(ORPHANS).await;
    assert!(orphans.is_empty(), "{orphans:?}");
}
