//! Where deliveries have become ready, short enough to be told in a notification.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::ids::{EndpointId, TenantId};

/// Endpoints that one hint names at most: PostgreSQL's notifications hold less than 8,000 bytes (its documentation,
/// NOTIFY), and each takes up to 74.
const MAX_ENDPOINTS: usize = 100;

/// Where to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadyHint {
    /// It may be anywhere.
    Anywhere,
    /// At these endpoints.
    At(BTreeSet<(TenantId, EndpointId)>),
}

/// Nowhere.
impl Default for ReadyHint {
    fn default() -> Self {
        Self::At(BTreeSet::new())
    }
}

impl ReadyHint {
    /// Adds an endpoint; of too many none is named.
    pub fn add(&mut self, tenant_id: TenantId, endpoint_id: EndpointId) {
        if let Self::At(endpoints) = self {
            endpoints.insert((tenant_id, endpoint_id));
            if endpoints.len() > MAX_ENDPOINTS {
                *self = Self::Anywhere;
            }
        }
    }

    /// Adds what another hint says.
    pub fn merge(&mut self, other: &Self) {
        match other {
            Self::Anywhere => *self = Self::Anywhere,
            Self::At(endpoints) => {
                for (tenant_id, endpoint_id) in endpoints {
                    self.add(*tenant_id, *endpoint_id);
                }
            }
        }
    }

    /// Takes endpoints out. Where it may be anywhere it still may.
    pub fn take_out(
        &mut self,
        is_taken: impl Fn(&(TenantId, EndpointId)) -> bool,
    ) -> BTreeSet<(TenantId, EndpointId)> {
        let Self::At(endpoints) = self else {
            return BTreeSet::new();
        };
        let (taken, left) = std::mem::take(endpoints).into_iter().partition(is_taken);
        *endpoints = left;
        taken
    }

    /// Whether there is nothing to tell.
    #[must_use]
    pub fn is_nowhere(&self) -> bool {
        matches!(self, Self::At(endpoints) if endpoints.is_empty())
    }
}

/// `tenant/endpoint`, separated by commas; nothing at all for anywhere.
impl fmt::Display for ReadyHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::At(endpoints) = self else {
            return Ok(());
        };
        for (place, (tenant_id, endpoint_id)) in endpoints.iter().enumerate() {
            let separator = if place == 0 { "" } else { "," };
            write!(f, "{separator}{tenant_id}/{endpoint_id}")?;
        }
        Ok(())
    }
}

/// The text is no hint, or one of another version of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("expected tenants and endpoints")]
pub struct ReadyHintError;

impl FromStr for ReadyHint {
    type Err = ReadyHintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Ok(Self::Anywhere);
        }
        let endpoint = |text: &str| {
            let (tenant_id, endpoint_id) = text.split_once('/')?;
            Some((tenant_id.parse().ok()?, endpoint_id.parse().ok()?))
        };
        let endpoints = text.split(',').map(endpoint);
        let endpoints = endpoints.collect::<Option<_>>().ok_or(ReadyHintError)?;
        Ok(Self::At(endpoints))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(count: usize) -> ReadyHint {
        let mut hint = ReadyHint::default();
        for _ in 0..count {
            hint.add(TenantId::new(), EndpointId::new());
        }
        hint
    }

    #[test]
    fn a_hint_is_read_as_it_was_written() {
        for hint in [ReadyHint::Anywhere, hint(1), hint(MAX_ENDPOINTS)] {
            let text = hint.to_string();
            assert!(text.len() < 8_000);
            assert_eq!(text.parse(), Ok(hint));
        }
    }

    #[test]
    fn of_too_many_endpoints_none_is_named() {
        assert_eq!(hint(MAX_ENDPOINTS + 1), ReadyHint::Anywhere);
    }

    #[test]
    fn merged_hints_say_what_both_say() {
        let (mut one, other) = (hint(2), hint(3));
        one.merge(&other);
        let ReadyHint::At(endpoints) = &one else {
            panic!("{one:?}");
        };
        assert_eq!(endpoints.len(), 5);
        one.merge(&ReadyHint::Anywhere);
        assert_eq!(one, ReadyHint::Anywhere);
    }

    #[test]
    fn what_is_no_hint_is_refused() {
        for text in ["a", "a/b", ",", &format!("{},", hint(1))] {
            assert_eq!(text.parse::<ReadyHint>(), Err(ReadyHintError), "{text}");
        }
    }
}
