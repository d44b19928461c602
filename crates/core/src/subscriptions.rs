//! Subscriptions: which endpoints of a tenant want which events.

use std::collections::HashMap;

use crate::event_type::{EventPattern, EventType};
use crate::ids::{EndpointId, UserId};

/// An endpoint as publishing sees it: who it is and what it wants.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// Its owner, copied to its deliveries.
    pub owner: UserId,
    /// Which events it gets.
    pub event_patterns: Vec<EventPattern>,
    /// Disabled endpoints get `skipped` deliveries.
    pub is_enabled: bool,
    /// Whether it has a limit of its own: dispatchers find its deliveries in another way.
    pub has_limit: bool,
}

/// All subscriptions of a tenant at one instant, found by what they want: a tenant may have 10,000 endpoints with 100
/// patterns each, and publish 1,000 events at a time.
#[derive(Clone, Debug)]
pub struct Subscriptions {
    version: i64,
    list: Vec<Subscription>,
    /// Places in the list.
    wanting_everything: Vec<usize>,
    /// The same, by the type that is wanted, its separators made alike.
    wanting_exactly: HashMap<String, Vec<usize>>,
    /// The same, by the prefix below which everything is wanted.
    wanting_below: HashMap<String, Vec<usize>>,
}

impl Subscriptions {
    /// The subscriptions of a tenant, deleted endpoints left out, when its `endpoints_version` was this.
    #[must_use]
    pub fn new(version: i64, list: Vec<Subscription>) -> Self {
        let mut subscriptions = Self {
            version,
            list: Vec::new(),
            wanting_everything: Vec::new(),
            wanting_exactly: HashMap::new(),
            wanting_below: HashMap::new(),
        };
        for (place, one) in list.iter().enumerate() {
            for pattern in &one.event_patterns {
                subscriptions.index(pattern, place);
            }
        }
        subscriptions.list = list;
        subscriptions
    }

    fn index(&mut self, pattern: &EventPattern, place: usize) {
        let places = if pattern.is_everything() {
            &mut self.wanting_everything
        } else if let Some(prefix) = pattern.prefix() {
            self.wanting_below.entry(normal(prefix)).or_default()
        } else {
            self.wanting_exactly
                .entry(normal(pattern.as_str()))
                .or_default()
        };
        places.push(place);
    }

    /// The tenant's `endpoints_version` that they belong to.
    #[must_use]
    pub fn version(&self) -> i64 {
        self.version
    }

    /// All of them.
    #[must_use]
    pub fn list(&self) -> &[Subscription] {
        &self.list
    }

    /// The subscriptions that want events of a type, each once.
    pub fn wanting(&self, event_type: &EventType) -> impl Iterator<Item = &Subscription> {
        let event_type = normal(event_type.as_str());
        let mut places = self.wanting_everything.clone();
        places.extend(self.wanting_exactly.get(&event_type).into_iter().flatten());
        for (end, _) in event_type.match_indices('.') {
            places.extend(
                self.wanting_below
                    .get(&event_type[..end])
                    .into_iter()
                    .flatten(),
            );
        }
        places.sort_unstable();
        places.dedup();
        places.into_iter().filter_map(|place| self.list.get(place))
    }
}

/// The separators match alike.
fn normal(text: &str) -> String {
    text.replace(':', ".")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn subscriptions(wanted: &[Vec<String>]) -> Subscriptions {
        let subscription = |patterns: &Vec<String>| Subscription {
            endpoint_id: EndpointId::new(),
            owner: UserId(1),
            event_patterns: patterns
                .iter()
                .map(|pattern| EventPattern::parse(pattern).expect("a pattern"))
                .collect(),
            is_enabled: true,
            has_limit: false,
        };
        Subscriptions::new(1, wanted.iter().map(subscription).collect())
    }

    proptest! {
        #[test]
        fn the_index_finds_whoever_has_a_pattern_that_matches_once(
            wanted in prop::collection::vec(
                prop::collection::vec("[ab]([.:][ab]){0,2}([.:]\\*)?|\\*", 1..4), 0..8),
            event_type in "[ab]([.:][ab]){0,3}",
        ) {
            let subscriptions = subscriptions(&wanted);
            let event_type = EventType::parse(&event_type).expect("a type");
            let found: Vec<_> = subscriptions.wanting(&event_type).map(|one| one.endpoint_id).collect();
            let matching = subscriptions.list().iter().filter(|one| {
                one.event_patterns.iter().any(|pattern| pattern.matches(&event_type))
            });
            let matching: Vec<_> = matching.map(|one| one.endpoint_id).collect();
            prop_assert_eq!(found, matching);
        }
    }
}
