//! What the tests begin with: a database, tenants, endpoints, deliveries in the queue, and ways to look at all of it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use diesel::dsl::sql;
use diesel::sql_types::{BigInt, Text};
use diesel_async::{
    AnsiTransactionManager, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection,
    TransactionManager,
};
use reprise_core::custom_headers::CustomHeaders;
use reprise_core::delivery::Delivery;
use reprise_core::endpoint::{Endpoint, EndpointLimits, EndpointSettings, EndpointStatus};
use reprise_core::endpoint_url::EndpointUrl;
use reprise_core::event_type::{EventPattern, EventType};
use reprise_core::fair_share::{Caps, InFlight};
use reprise_core::ids::{
    AttemptId, DeliveryId, DispatcherId, EndpointId, EventId, TenantId, UserId,
};
use reprise_core::retry::{RetryDelays, RetryPolicy, RetrySchedule};
use reprise_core::scope::Scopes;
use reprise_core::sealing::{KeyRing, SecretKey};
use reprise_core::signing::{SignatureScheme, SigningSecret, SigningSecrets};
use reprise_core::store::delivery_queue::{
    self, Candidate, Claim, ClaimRequest, Claimant, ExpressLimits, LimitedClaim, LimitedRequest,
    WalkPosition, claim_limited,
};
use reprise_core::store::endpoints::{self, Changed, EndpointChange, NewEndpoint};
use reprise_core::store::events::{self, NewEvent, Published};
use reprise_core::store::{deliveries, subscriptions, tenants, users};
use reprise_testkit::claims::claim_fairly;
use reprise_testkit::database::TestDatabase;
use reprise_testkit::fixture::SECRET_KEY;

/// The margin of the tests' leases.
pub(crate) const MARGIN: Duration = Duration::from_secs(15);

/// The timeout of the tests' endpoints.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// Every table that a result, a claim or a settling could change.
const TABLES: [&str; 6] = [
    "tenants",
    "endpoints",
    "events",
    "deliveries",
    "attempts",
    "delivery_queue",
];

/// A database, and a connection to it.
pub(crate) struct World {
    pub(crate) conn: AsyncPgConnection,
    keys: KeyRing,
    /// Who claims, unless a test says otherwise.
    pub(crate) dispatcher: DispatcherId,
    database: TestDatabase,
}

/// A tenant and its user.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account {
    pub(crate) tenant: TenantId,
    pub(crate) owner: UserId,
}

/// Settings that most tests are content with: everything wanted, one retry after a minute.
pub(crate) fn settings() -> EndpointSettings {
    EndpointSettings {
        url: EndpointUrl::from_stored("https://receiver.example/hook").expect("a URL"),
        description: None,
        event_patterns: patterns(&["*"]),
        timeout: TIMEOUT,
        retry: retries(&[Duration::from_mins(1)]),
        custom_headers: CustomHeaders::default(),
        signature: SignatureScheme::default(),
        secrets: SigningSecrets::new(SigningSecret::generate_for(&SignatureScheme::default())),
        limits: EndpointLimits::default(),
    }
}

/// Event patterns.
pub(crate) fn patterns(texts: &[&str]) -> Vec<EventPattern> {
    texts
        .iter()
        .map(|text| EventPattern::parse(text).expect("a pattern"))
        .collect()
}

/// A policy that retries after these delays.
pub(crate) fn retries(delays: &[Duration]) -> RetryPolicy {
    let delays = RetryDelays::new(delays.to_vec()).expect("few delays");
    RetryPolicy::new(RetrySchedule::Delays(delays), None).expect("a policy")
}

/// An event of type `invoice.paid`.
pub(crate) fn event(payload: &[u8]) -> NewEvent {
    NewEvent {
        id: EventId::new(),
        event_type: EventType::parse("invoice.paid").expect("a type"),
        event_group: None,
        payload: payload.to_vec(),
    }
}

/// A generous claim: whoever wants it narrower changes the field.
pub(crate) fn request(dispatcher_id: DispatcherId, in_flight: &InFlight) -> ClaimRequest<'_> {
    ClaimRequest {
        claimant: Claimant::new(dispatcher_id),
        max_rows: 1_000,
        free: 1_000,
        max_payload_bytes: i64::MAX,
        lease_margin: MARGIN,
        caps: Caps {
            per_endpoint: 1_000,
            per_tenant: 1_000,
        },
        in_flight,
    }
}

impl World {
    pub(crate) async fn create() -> Self {
        let database = TestDatabase::create().await;
        let key = SecretKey::parse(SECRET_KEY).expect("the testkit's key");
        Self {
            conn: database.connect().await,
            keys: KeyRing::new(key, Vec::new()),
            dispatcher: DispatcherId::new(),
            database,
        }
    }

    /// A world with one tenant that has one endpoint.
    pub(crate) async fn with_endpoint(settings: EndpointSettings) -> (Self, Account, EndpointId) {
        let mut world = Self::create().await;
        let account = world.account().await;
        let endpoint = world.endpoint_with(account, settings).await;
        (world, account, endpoint)
    }

    /// The URL of the database.
    pub(crate) fn url(&self) -> &str {
        self.database.url()
    }

    /// Another connection.
    pub(crate) async fn connect(&self) -> AsyncPgConnection {
        self.database.connect().await
    }

    pub(crate) async fn account(&mut self) -> Account {
        let tenant = TenantId::new();
        tenants::insert(&mut self.conn, tenant, "test")
            .await
            .expect("a tenant");
        let name = format!("user-{tenant}");
        let owner = users::insert(&mut self.conn, tenant, &name, "no hash", &Scopes::all())
            .await
            .expect("a user");
        Account { tenant, owner }
    }

    pub(crate) async fn endpoint(&mut self, account: Account) -> EndpointId {
        self.endpoint_with(account, settings()).await
    }

    pub(crate) async fn endpoint_with(
        &mut self,
        account: Account,
        settings: EndpointSettings,
    ) -> EndpointId {
        let id = EndpointId::new();
        let Account { tenant, owner } = account;
        let new = NewEndpoint {
            id,
            owner,
            settings,
            status: EndpointStatus::Enabled,
        };
        endpoints::insert(&mut self.conn, &self.keys, tenant, &new)
            .await
            .expect("an endpoint");
        id
    }

    pub(crate) async fn find_endpoint(&mut self, account: Account, id: EndpointId) -> Endpoint {
        endpoints::find(&mut self.conn, &self.keys, account.tenant, id)
            .await
            .expect("readable")
            .expect("there")
    }

    /// Changes the endpoint's status as the API does.
    pub(crate) async fn set_status(
        &mut self,
        account: Account,
        id: EndpointId,
        status: EndpointStatus,
    ) {
        let mut conn = self.connect().await;
        change_status(&mut conn, &self.keys, account.tenant, id, status).await;
    }

    /// The keys that endpoints are sealed with.
    pub(crate) fn keys(&self) -> &KeyRing {
        &self.keys
    }

    /// Publishes an event to whoever wants it.
    pub(crate) async fn publish(&mut self, account: Account, event: &NewEvent) -> Published {
        let subscriptions = subscriptions::list(&mut self.conn, account.tenant)
            .await
            .expect("subscriptions");
        events::publish(
            &mut self.conn,
            account.tenant,
            &subscriptions,
            std::slice::from_ref(event),
        )
        .await
        .expect("published")
    }

    /// Puts deliveries of small events into the queue, as publishing does, quickly.
    pub(crate) async fn enqueue(
        &mut self,
        account: Account,
        endpoint: EndpointId,
        count: usize,
    ) -> Vec<DeliveryId> {
        self.enqueue_sized(account, endpoint, &vec![2; count]).await
    }

    /// The same, with payloads that say they are this large.
    pub(crate) async fn enqueue_sized(
        &mut self,
        account: Account,
        endpoint: EndpointId,
        payload_bytes: &[i32],
    ) -> Vec<DeliveryId> {
        let ids: Vec<DeliveryId> = payload_bytes.iter().map(|_| DeliveryId::new()).collect();
        let Account { tenant, owner } = account;
        for (ids, sizes) in ids.chunks(5_000).zip(payload_bytes.chunks(5_000)) {
            let rows: Vec<String> = ids
                .iter()
                .zip(sizes)
                .map(|(id, size)| {
                    format!(
                        "('{id}', '{}', '{}', {size})",
                        EventId::new(),
                        AttemptId::new()
                    )
                })
                .collect();
            self.sql(&format!(
                "CREATE TEMP TABLE new ON COMMIT DROP AS
                 SELECT id::uuid, event_id::uuid, attempt_id::uuid, size
                 FROM (VALUES {rows}) AS new (id, event_id, attempt_id, size);
                 INSERT INTO events (tenant_id, id, event_type, payload)
                 SELECT '{tenant}', event_id, 'invoice.paid', '{{}}' FROM new;
                 INSERT INTO deliveries (tenant_id, id, endpoint_id, event_id, user_id, event_type, status,
                                         attempt_id, first_delivery_id)
                 SELECT '{tenant}', id, '{endpoint}', event_id, {owner}, 'invoice.paid', 'pending',
                        attempt_id, id FROM new;
                 INSERT INTO delivery_queue (tenant_id, delivery_id, endpoint_id, event_id, attempt_id,
                                             attempt_number, payload_bytes)
                 SELECT '{tenant}', id, '{endpoint}', event_id, attempt_id, 1, size FROM new;",
                rows = rows.join(",")
            ))
            .await;
        }
        ids
    }

    /// A delivery of the endpoint that is claimed.
    pub(crate) async fn claimed(&mut self, account: Account, endpoint: EndpointId) -> Claim {
        self.enqueue(account, endpoint, 1).await;
        let claims = self.claim(1).await;
        claims.into_iter().next().expect("one was ready")
    }

    /// Claims from the beginning, with nothing in flight.
    pub(crate) async fn claim(&mut self, max_rows: i32) -> Vec<Claim> {
        let nothing = InFlight::default();
        let request = ClaimRequest {
            max_rows,
            ..request(self.dispatcher, &nothing)
        };
        self.claim_as(&request).await
    }

    /// Claims from the beginning, as a request says.
    pub(crate) async fn claim_as(&mut self, request: &ClaimRequest<'_>) -> Vec<Claim> {
        claim_fairly(&mut self.conn, request, &WalkPosition::default())
            .await
            .claims
    }

    /// Claims from one endpoint as a dispatcher does that remembers it, whatever has become of it since.
    pub(crate) async fn claim_remembered(
        &mut self,
        account: Account,
        endpoint: EndpointId,
        after: Option<DeliveryId>,
    ) -> Vec<Claim> {
        let nothing = InFlight::default();
        let request = request(self.dispatcher, &nothing);
        let remembered = [Candidate {
            tenant_id: account.tenant,
            endpoint_id: endpoint,
            after,
        }];
        let taken = delivery_queue::claim_ready(&mut self.conn, &request, &remembered);
        taken.await.expect("claimed").claims
    }

    pub(crate) async fn claim_express(&mut self, max_rows: i32) -> Vec<Claim> {
        let limits = ExpressLimits {
            max_per_tenant: 100,
            in_flight_by_tenant: &HashMap::new(),
        };
        self.claim_express_within(max_rows, &limits).await
    }

    pub(crate) async fn claim_express_within(
        &mut self,
        max_rows: i32,
        limits: &ExpressLimits<'_>,
    ) -> Vec<Claim> {
        delivery_queue::claim_express(
            &mut self.conn,
            Claimant::new(self.dispatcher),
            max_rows,
            limits,
            MARGIN,
        )
        .await
        .expect("claimed")
        .claims
    }

    /// Lets the leases of all deliveries expire, by the database's clock.
    pub(crate) async fn expire_leases(&mut self) {
        self.sql(
            "UPDATE delivery_queue SET due_at = now() - interval '1 second'
             WHERE lease_token IS NOT NULL",
        )
        .await;
    }

    pub(crate) async fn delivery(&mut self, account: Account, id: DeliveryId) -> Delivery {
        deliveries::find(&mut self.conn, account.tenant, id)
            .await
            .expect("readable")
            .expect("there")
    }

    pub(crate) async fn sql(&mut self, statements: &str) {
        // One transaction, so that temporary tables go with it.
        self.conn
            .batch_execute(&format!("BEGIN; {statements}; COMMIT"))
            .await
            .unwrap_or_else(|error| {
                panic!("{error}: {}", &statements[..statements.len().min(400)])
            });
    }

    /// The one number that a query gives.
    pub(crate) async fn number(&mut self, query: &str) -> i64 {
        sql::<BigInt>(query)
            .get_result(&mut self.conn)
            .await
            .unwrap_or_else(|error| panic!("{error}: {query}"))
    }

    /// The column of texts that a query gives.
    pub(crate) async fn texts(&mut self, query: &str) -> Vec<String> {
        sql::<Text>(query)
            .load(&mut self.conn)
            .await
            .unwrap_or_else(|error| panic!("{error}: {query}"))
    }

    /// All rows of all tables that belong to deliveries, to compare before and after.
    pub(crate) async fn rows(&mut self) -> BTreeMap<&'static str, Vec<String>> {
        let mut rows = BTreeMap::new();
        for table in TABLES {
            let query = format!("SELECT t::text FROM {table} t ORDER BY 1");
            rows.insert(table, self.texts(&query).await);
        }
        rows
    }
}

/// Changes an endpoint's status on a connection of the caller's.
pub(crate) async fn change_status(
    conn: &mut AsyncPgConnection,
    keys: &KeyRing,
    tenant: TenantId,
    id: EndpointId,
    status: EndpointStatus,
) {
    let changed: Changed<()> = endpoints::change(conn, keys, tenant, id, |endpoint| {
        Ok(EndpointChange {
            settings: endpoint.settings.clone(),
            status,
        })
    })
    .await
    .expect("changed");
    assert!(matches!(changed, Changed::Done(_)), "{changed:?}");
}

/// Disabled by its owner.
pub(crate) fn disabled() -> EndpointStatus {
    EndpointStatus::Disabled {
        reason: "by its owner".to_owned(),
    }
}

/// Begins a transaction that the store's own become parts of.
pub(crate) async fn begin(conn: &mut AsyncPgConnection) {
    AnsiTransactionManager::begin_transaction(conn)
        .await
        .expect("begun");
}

/// Commits what [`begin`] began.
pub(crate) async fn commit(conn: &mut AsyncPgConnection) {
    AnsiTransactionManager::commit_transaction(conn)
        .await
        .expect("committed");
}

/// Claims for one endpoint with a limit, from a connection that others may claim beside.
pub(crate) async fn claim_for_limited(
    conn: &mut AsyncPgConnection,
    world: &World,
    account: Account,
    endpoint: EndpointId,
) -> LimitedClaim {
    let request = LimitedRequest {
        claimant: Claimant::new(world.dispatcher),
        endpoints: &[((account.tenant, endpoint), 100)],
        max_rows: 100,
        max_payload_bytes: i64::MAX,
        lease_margin: MARGIN,
    };
    claim_limited(conn, &request).await.expect("claimed")
}

/// [`claim_for_limited`] on a connection of its own.
pub(crate) async fn claim_once(
    world: &World,
    account: Account,
    endpoint: EndpointId,
) -> LimitedClaim {
    let mut conn = world.connect().await;
    claim_for_limited(&mut conn, world, account, endpoint).await
}
