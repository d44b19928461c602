//! Identifiers: one type each, so that a delivery's id can never stand where an endpoint's is meant.

use std::fmt;
use std::str::FromStr;

use time::OffsetDateTime;
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// A new id, later than all that this process has made before.
            #[expect(clippy::new_without_default, reason = "an id made by `default` would be a surprise")]
            #[must_use]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// The id with this value, as read from the database or a path.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The plain value, for the database.
            #[must_use]
            pub const fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

uuid_id!(
    /// A tenant: the account that owns everything below it.
    TenantId
);
uuid_id!(
    /// An endpoint (`endpoint_id`), called a hook in B's family (`hook_id`).
    EndpointId
);
uuid_id!(
    /// A published event; also the `webhook-id` that receivers see.
    EventId
);
uuid_id!(
    /// A delivery of one event to one endpoint.
    DeliveryId
);
uuid_id!(
    /// One HTTP request made, or scheduled, for a delivery.
    AttemptId
);
uuid_id!(
    /// An API key (its row, not its secret).
    ApiKeyId
);
uuid_id!(
    /// One run of a dispatcher process.
    DispatcherId
);

impl DeliveryId {
    /// When it was made, exact to a millisecond: the time that a UUIDv7 begins with.
    #[must_use]
    pub fn made_at(self) -> OffsetDateTime {
        let milliseconds = i128::try_from(self.0.as_u128() >> 80).unwrap_or(0);
        OffsetDateTime::from_unix_timestamp_nanos(milliseconds * 1_000_000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    /// A new id for what came of an earlier delivery: above that one's, however far the clocks of the machines are
    /// apart on which the two were made.
    #[must_use]
    pub fn new_above(earlier: Self) -> Self {
        const RANDOM_BITS: u128 = (1 << 80) - 1;
        let new = Self::new();
        if new > earlier {
            return new;
        }
        // In the millisecond after it, with the version and the random bits of the new one (RFC 9562 section 5.7).
        let next_millisecond = (earlier.0.as_u128() | RANDOM_BITS).saturating_add(1);
        let random = new.0.as_u128() & RANDOM_BITS;
        Self(Uuid::from_u128(next_millisecond | random))
    }
}

/// A user. An integer, since the contract's `user_id` is one; unique over all tenants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UserId(pub i64);

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A dispatcher's right to work on a delivery: random per claim, named by every later write. What one statement claims
/// has one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeaseToken(pub Uuid);

impl LeaseToken {
    /// Makes one that nobody has.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

/// The smallest UUIDv7 of an instant (RFC 9562 section 5.7: the first 48 bits are Unix milliseconds), so that ranges
/// of ids are ranges of time. Instants before 1970 and after the year 10889 are taken to the nearest end.
#[must_use]
pub fn first_uuid_at(instant: OffsetDateTime) -> Uuid {
    const LAST_MILLISECOND: i128 = (1 << 48) - 1;
    let milliseconds = (instant.unix_timestamp_nanos() / 1_000_000).clamp(0, LAST_MILLISECOND);
    Uuid::from_u128(milliseconds.unsigned_abs() << 80)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_lies_between_the_first_of_its_millisecond_and_the_first_of_the_next() {
        let before = first_uuid_at(OffsetDateTime::now_utc());
        let id = EventId::new().as_uuid();
        let after = first_uuid_at(OffsetDateTime::now_utc() + time::Duration::milliseconds(1));
        assert!(before <= id && id < after);
    }

    #[test]
    fn a_delivery_knows_when_it_was_made() {
        let instant = time::macros::datetime!(2026-11-26 10:20:30.456 UTC);
        let id = DeliveryId::from_uuid(first_uuid_at(instant));
        assert_eq!(id.made_at(), instant);
        let last = DeliveryId::from_uuid(Uuid::max());
        assert_eq!(last.made_at(), OffsetDateTime::UNIX_EPOCH, "no such year");
    }

    #[test]
    fn an_id_is_above_an_earlier_one_also_of_a_clock_that_is_ahead() {
        let now = DeliveryId::new();
        assert!(DeliveryId::new_above(now) > now);
        let hour = OffsetDateTime::now_utc() + time::Duration::hours(1);
        let ahead = DeliveryId::from_uuid(first_uuid_at(hour));
        let above = DeliveryId::new_above(ahead);
        assert!(above > ahead);
        assert!(DeliveryId::new_above(above) > above);
        assert_ne!(DeliveryId::new_above(ahead), above, "as random as any");
        assert_eq!(above.as_uuid().get_version_num(), 7);
    }

    #[test]
    fn instants_out_of_range_are_clamped() {
        assert_eq!(
            first_uuid_at(OffsetDateTime::UNIX_EPOCH - time::Duration::DAY),
            Uuid::nil()
        );
    }
}
