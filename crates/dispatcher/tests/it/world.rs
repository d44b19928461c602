//! What the tests begin with: a database with a tenant in it, endpoints, events, and ways to look at what came of them.
//!
//! Data is made and read through the store, which is what the API does too.

use std::time::Duration;

use diesel_async::RunQueryDsl as _;
use diesel_async::pooled_connection::AsyncDieselConnectionManager;
use diesel_async::pooled_connection::bb8::{Pool, PooledConnection};
use reprise_core::attempt::Attempt;
use reprise_core::custom_headers::CustomHeaders;
use reprise_core::delivery::{Delivery, DeliveryStatus};
use reprise_core::endpoint::{Endpoint, EndpointLimits, EndpointSettings, EndpointStatus};
use reprise_core::endpoint_url::EndpointUrl;
use reprise_core::event_type::{EventPattern, EventType};
use reprise_core::ids::{DeliveryId, EndpointId, EventId, TenantId, UserId};
use reprise_core::ready_hint::ReadyHint;
use reprise_core::retry::{RetryDelays, RetryPolicy, RetrySchedule};
use reprise_core::scope::Scopes;
use reprise_core::sealing::{KeyRing, SecretKey};
use reprise_core::signing::{SignatureScheme, SigningSecret, SigningSecrets};
use reprise_core::store::delivery_lists::{self, DeliveryFilter};
use reprise_core::store::direct_events::{self, DirectEvent};
use reprise_core::store::endpoints::{EndpointChange, NewEndpoint};
use reprise_core::store::events::{self, NewEvent, Published};
use reprise_core::store::replays::{self, ReplayOrder, Urgency};
use reprise_core::store::{
    AsyncPgConnection, attempts, deliveries, endpoints, notifications, subscriptions, tenants,
    users,
};
use reprise_testkit::fixture::SECRET_KEY;
use reprise_testkit::polling::poll_until;

/// Longer than anything that goes well takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A tenant in a database.
pub(crate) struct World {
    pool: Pool<AsyncPgConnection>,
    pub(crate) keys: KeyRing,
    pub(crate) tenant_id: TenantId,
    owner: UserId,
}

/// Settings of an endpoint that most tests are content with: no retries, ten seconds.
pub(crate) fn settings(url: &str) -> EndpointSettings {
    EndpointSettings {
        url: EndpointUrl::from_stored(url).expect("a URL"),
        description: None,
        event_patterns: vec![EventPattern::parse("*").expect("a pattern")],
        timeout: Duration::from_secs(10),
        retry: retries(&[]),
        custom_headers: CustomHeaders::default(),
        signature: SignatureScheme::default(),
        secrets: SigningSecrets::new(SigningSecret::generate_for(&SignatureScheme::default())),
        limits: EndpointLimits::default(),
    }
}

/// A policy that retries after these delays.
pub(crate) fn retries(delays: &[Duration]) -> RetryPolicy {
    let delays = RetryDelays::new(delays.to_vec()).expect("few delays");
    RetryPolicy::new(RetrySchedule::Delays(delays), None).expect("a policy")
}

/// The pool's own patience is by the clock on the wall.
async fn patient_connection(
    pool: &Pool<AsyncPgConnection>,
) -> PooledConnection<'_, AsyncPgConnection> {
    let found = poll_until(PATIENCE, async || pool.get().await.ok());
    found.await.expect("a connection")
}

impl World {
    /// A tenant with a user in the database at `url`.
    pub(crate) async fn create(url: &str) -> Self {
        let key = SecretKey::parse(SECRET_KEY).expect("the testkit's key");
        let tenant_id = TenantId::new();
        // Looked after before each use, so that it outlives its server.
        let manager = AsyncDieselConnectionManager::new(url);
        let pool = Pool::builder().max_size(2).build_unchecked(manager);
        let mut conn = patient_connection(&pool).await;
        tenants::insert(&mut conn, tenant_id, "test")
            .await
            .expect("a tenant");
        let name = format!("user-{tenant_id}");
        let owner = users::insert(&mut conn, tenant_id, &name, "no hash", &Scopes::all())
            .await
            .expect("a user");
        drop(conn);
        Self {
            pool,
            keys: KeyRing::new(key, Vec::new()),
            tenant_id,
            owner,
        }
    }

    /// A connection to make and look at rows with.
    pub(crate) async fn conn(&self) -> PooledConnection<'_, AsyncPgConnection> {
        patient_connection(&self.pool).await
    }

    pub(crate) async fn endpoint(&self, settings: &EndpointSettings) -> EndpointId {
        let id = EndpointId::new();
        let mut conn = self.conn().await;
        let new = NewEndpoint {
            id,
            owner: self.owner,
            settings: settings.clone(),
            status: EndpointStatus::Enabled,
        };
        endpoints::insert(&mut conn, &self.keys, self.tenant_id, &new)
            .await
            .expect("an endpoint");
        id
    }

    pub(crate) async fn find_endpoint(&self, id: EndpointId) -> Endpoint {
        endpoints::find(&mut *self.conn().await, &self.keys, self.tenant_id, id)
            .await
            .expect("readable")
            .expect("there")
    }

    /// Publishes an event without waking a dispatcher.
    pub(crate) async fn publish_quietly(&self, payload: &[u8]) -> EventId {
        self.publish_quietly_as("invoice.paid", payload).await
    }

    /// The same with an event of some type.
    pub(crate) async fn publish_quietly_as(&self, event_type: &str, payload: &[u8]) -> EventId {
        let mut conn = self.conn().await;
        let event = NewEvent {
            id: EventId::new(),
            event_type: EventType::parse(event_type).expect("a type"),
            event_group: None,
            payload: payload.to_vec(),
        };
        let subscriptions = subscriptions::list(&mut conn, self.tenant_id)
            .await
            .expect("subscriptions");
        let published = events::publish(
            &mut conn,
            self.tenant_id,
            &subscriptions,
            std::slice::from_ref(&event),
        )
        .await
        .expect("published");
        assert!(
            matches!(published, Published::Stored { .. }),
            "{published:?}"
        );
        event.id
    }

    /// Publishes an event and wakes the dispatchers.
    pub(crate) async fn publish(&self, payload: &[u8]) -> EventId {
        let id = self.publish_quietly(payload).await;
        self.wake().await;
        id
    }

    pub(crate) async fn wake(&self) {
        self.hint(&ReadyHint::Anywhere).await;
    }

    /// Tells the dispatchers where something has become ready.
    pub(crate) async fn hint(&self, hint: &ReadyHint) {
        notifications::notify_ready(&mut *self.conn().await, hint)
            .await
            .expect("notified");
    }

    /// Replays a delivery, ahead of everything else.
    pub(crate) async fn replay_express(&self, id: DeliveryId) -> DeliveryId {
        let mut conn = self.conn().await;
        let order = ReplayOrder {
            delivery_id: id,
            endpoint_id: None,
            urgency: Urgency::Express,
        };
        replays::make(&mut conn, self.tenant_id, &order)
            .await
            .expect("inserted")
            .expect("the endpoint is enabled")
            .id
    }

    /// Sends an event to one endpoint, as tests and challenges are.
    pub(crate) async fn send_directly(
        &self,
        endpoint_id: EndpointId,
        event_type: EventType,
    ) -> DeliveryId {
        let mut conn = self.conn().await;
        let made =
            direct_events::insert(&mut conn, self.tenant_id, endpoint_id, event_type, b"{}").await;
        let DirectEvent::Stored { delivery, .. } = made.expect("inserted") else {
            panic!("the endpoint is disabled");
        };
        delivery.id
    }

    /// Waits until so many deliveries are kept back because their endpoint is disabled.
    pub(crate) async fn wait_for_kept_back(&self, count: i64) {
        self.wait_for_queue("due_at = 'infinity'", count).await;
    }

    /// Waits until so many rows of the queue are as `condition`, in SQL, says.
    pub(crate) async fn wait_for_queue(&self, condition: &str, count: i64) {
        #[derive(diesel::QueryableByName)]
        struct Count {
            #[diesel(sql_type = diesel::sql_types::BigInt)]
            count: i64,
        }
        let sql = format!("SELECT count(*) AS count FROM delivery_queue WHERE {condition}");
        let found = poll_until(PATIENCE, async || {
            let row: Count = diesel::sql_query(&sql)
                .get_result(&mut *self.conn().await)
                .await
                .expect("counted");
            (row.count == count).then_some(())
        });
        found
            .await
            .unwrap_or_else(|| panic!("never {count} rows where {condition}"));
    }

    /// Runs a statement that moves the clock, which the queue's rows show.
    async fn move_clock(&self, sql: &str) {
        diesel::sql_query(sql)
            .execute(&mut *self.conn().await)
            .await
            .expect("moved");
    }

    /// Lets the time pass for which deliveries are leased now.
    pub(crate) async fn pass_leases(&self) {
        let leased = "UPDATE delivery_queue SET due_at = now() WHERE lease_token IS NOT NULL";
        self.move_clock(leased).await;
    }

    /// Lets the time pass until all retries are due, in the same moment.
    pub(crate) async fn pass_retries(&self) {
        let waiting = "UPDATE delivery_queue SET due_at = now() WHERE due_at < 'infinity' AND lease_token IS NULL";
        self.move_clock(waiting).await;
    }

    /// Makes retries of all that is kept back, which are due much later.
    pub(crate) async fn make_retries(&self) {
        let kept_back =
            "UPDATE delivery_queue SET due_at = now() + interval '1 hour', attempt_number = 2
                         WHERE due_at = 'infinity'";
        self.move_clock(kept_back).await;
    }

    /// Waits until a delivery has a status.
    pub(crate) async fn wait_for_one(&self, id: DeliveryId, status: DeliveryStatus) -> Delivery {
        let found = poll_until(PATIENCE, async || {
            let mut conn = self.conn().await;
            let found = deliveries::find(&mut conn, self.tenant_id, id).await;
            let found = found.expect("readable").expect("there");
            (found.status == status).then_some(found)
        });
        found
            .await
            .unwrap_or_else(|| panic!("{id} never became {status}"))
    }

    /// Disables an endpoint.
    pub(crate) async fn disable(&self, id: EndpointId) {
        self.set_status(
            id,
            EndpointStatus::Disabled {
                reason: "a test".to_owned(),
            },
        )
        .await;
    }

    /// Enables an endpoint again.
    pub(crate) async fn enable(&self, id: EndpointId) {
        self.set_status(id, EndpointStatus::Enabled).await;
    }

    async fn set_status(&self, id: EndpointId, status: EndpointStatus) {
        let mut conn = self.conn().await;
        let change = |endpoint: &Endpoint| {
            let settings = endpoint.settings.clone();
            Ok::<_, std::convert::Infallible>(EndpointChange { settings, status })
        };
        endpoints::change(&mut conn, &self.keys, self.tenant_id, id, change)
            .await
            .expect("changed");
    }

    /// All deliveries to an endpoint, newest first.
    pub(crate) async fn deliveries(&self, endpoint_id: EndpointId) -> Vec<Delivery> {
        let filter = DeliveryFilter {
            endpoint_id: Some(endpoint_id),
            ..DeliveryFilter::default()
        };
        let mut conn = self.conn().await;
        let (mut all, mut before) = (Vec::new(), None);
        loop {
            let page = delivery_lists::list(&mut conn, self.tenant_id, &filter, before, 1_000)
                .await
                .expect("deliveries");
            all.extend(page.items);
            match page.next {
                Some(next) => before = Some(DeliveryId::from_uuid(next)),
                None => return all,
            }
        }
    }

    /// The one delivery to an endpoint.
    pub(crate) async fn delivery(&self, endpoint_id: EndpointId) -> Delivery {
        let mut all = self.deliveries(endpoint_id).await;
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    /// Waits until the one delivery to an endpoint is as `condition` says.
    pub(crate) async fn wait_for(
        &self,
        endpoint_id: EndpointId,
        condition: impl Fn(&Delivery) -> bool,
    ) -> Delivery {
        let found = poll_until(PATIENCE, async || {
            Some(self.delivery(endpoint_id).await).filter(&condition)
        });
        match found.await {
            Some(delivery) => delivery,
            None => panic!("in vain: {:?}", self.delivery(endpoint_id).await),
        }
    }

    /// Waits until the one delivery to an endpoint has a status.
    pub(crate) async fn wait_for_status(
        &self,
        endpoint_id: EndpointId,
        status: DeliveryStatus,
    ) -> Delivery {
        self.wait_for(endpoint_id, |delivery| delivery.status == status)
            .await
    }

    /// Waits until all `count` deliveries to an endpoint have a status.
    pub(crate) async fn wait_for_all(
        &self,
        endpoint_id: EndpointId,
        count: usize,
        status: DeliveryStatus,
    ) -> Vec<Delivery> {
        let found = poll_until(PATIENCE, async || {
            let all = self.deliveries(endpoint_id).await;
            let is_so = all.len() == count && all.iter().all(|one| one.status == status);
            is_so.then_some(all)
        });
        found
            .await
            .unwrap_or_else(|| panic!("not all {count} became {status}"))
    }

    /// The attempts of a delivery that have ended, the first one first.
    pub(crate) async fn attempts(&self, id: DeliveryId) -> Vec<Attempt> {
        attempts::list(&mut *self.conn().await, self.tenant_id, id)
            .await
            .expect("attempts")
            .expect("there is such a delivery")
    }

    /// The error kinds of a delivery's attempts; `None` where one succeeded.
    pub(crate) async fn error_kinds(&self, id: DeliveryId) -> Vec<Option<String>> {
        let attempts = self.attempts(id).await;
        let kind = |attempt: Attempt| attempt.error.map(|error| error.kind.to_string());
        attempts.into_iter().map(kind).collect()
    }
}
