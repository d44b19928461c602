//! Scopes: what a credential may do.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// One permission, as it stands in a token's `scope` (RFC 6749 section 3.3) and on an API key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Publish events.
    EventsWrite,
    /// Read endpoints, events, deliveries and attempts.
    WebhooksRead,
    /// Change endpoints; replay, redeliver and cancel.
    WebhooksWrite,
    /// Manage API keys.
    Admin,
}

/// The text names no scope.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown scope {0:?}; known are events:write, webhooks:read, webhooks:write, admin")]
pub struct UnknownScope(String);

impl Scope {
    /// All there are.
    pub const ALL: [Self; 4] = [
        Self::EventsWrite,
        Self::WebhooksRead,
        Self::WebhooksWrite,
        Self::Admin,
    ];

    /// The word in tokens, keys and documentation.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EventsWrite => "events:write",
            Self::WebhooksRead => "webhooks:read",
            Self::WebhooksWrite => "webhooks:write",
            Self::Admin => "admin",
        }
    }
}

impl Scope {
    /// What it allows, for people.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::EventsWrite => "Publish events",
            Self::WebhooksRead => "Read endpoints, events, deliveries and attempts",
            Self::WebhooksWrite => "Change endpoints; replay, redeliver and cancel",
            Self::Admin => "Manage API keys",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| UnknownScope(text.to_owned()))
    }
}

/// A set of scopes, in a stable order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes(Vec<Scope>);

impl Scopes {
    /// Every scope.
    #[must_use]
    pub fn all() -> Self {
        Self(Scope::ALL.to_vec())
    }

    /// Reads a list separated by spaces, as OAuth2 writes it.
    ///
    /// # Errors
    ///
    /// [`UnknownScope`] for the first word that is none.
    pub fn parse(text: &str) -> Result<Self, UnknownScope> {
        text.split_ascii_whitespace().map(Scope::from_str).collect()
    }

    /// Whether the set holds this scope.
    #[must_use]
    pub fn contains(&self, scope: Scope) -> bool {
        self.0.contains(&scope)
    }

    /// What both sets hold.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.0
            .iter()
            .copied()
            .filter(|scope| other.contains(*scope))
            .collect()
    }

    /// Their words.
    pub fn iter(&self) -> impl Iterator<Item = Scope> {
        self.0.iter().copied()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        let mut scopes: Vec<Scope> = scopes.into_iter().collect();
        scopes.sort_unstable();
        scopes.dedup();
        Self(scopes)
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { " " };
            write!(f, "{separator}{scope}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_and_written_in_one_order() {
        let scopes = Scopes::parse("webhooks:read  events:write webhooks:read").unwrap();
        assert_eq!(scopes.to_string(), "events:write webhooks:read");
        assert_eq!(Scopes::parse("root"), Err(UnknownScope("root".into())));
    }
}
