//! Endpoints that answer quickly: a place that one of them has is soon free again.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crate::ids::EndpointId;

/// An attempt that takes less is quick. Longer, and slow endpoints count as quick ones; shorter, and a distant receiver
/// counts as slow.
pub const QUICK: Duration = Duration::from_secs(1);
/// Endpoints that are remembered at least, and half of those at most. More costs memory; of those that are forgotten
/// the next attempt tells again.
const MAX_REMEMBERED: usize = 8_192;

/// The endpoints whose last attempt was quick, as far as they are remembered. Cloning it costs nothing.
#[derive(Clone, Debug, Default)]
pub struct QuickEndpoints {
    lately: Arc<HashSet<EndpointId>>,
    before: Arc<HashSet<EndpointId>>,
}

impl QuickEndpoints {
    /// An attempt at an endpoint has taken so long, whatever came of it.
    pub fn note(&mut self, id: EndpointId, took: Duration) {
        if took >= QUICK {
            for set in [&mut self.lately, &mut self.before] {
                if set.contains(&id) {
                    Arc::make_mut(set).remove(&id);
                }
            }
        } else if !self.lately.contains(&id) {
            if self.lately.len() >= MAX_REMEMBERED {
                self.before = std::mem::take(&mut self.lately);
            }
            Arc::make_mut(&mut self.lately).insert(id);
        }
    }

    /// Whether this one's last attempt was quick.
    #[must_use]
    pub fn contains(&self, id: &EndpointId) -> bool {
        self.lately.contains(id) || self.before.contains(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_attempt_tells() {
        let (mut quick, id) = (QuickEndpoints::default(), EndpointId::new());
        assert!(!quick.contains(&id), "nothing is known of it");
        quick.note(id, Duration::from_millis(999));
        assert!(quick.contains(&id));
        quick.note(id, QUICK);
        assert!(!quick.contains(&id));
    }

    #[test]
    fn no_more_are_remembered_than_may_be_and_those_of_late_are() {
        let mut quick = QuickEndpoints::default();
        let ids: Vec<_> = (0..3 * MAX_REMEMBERED).map(|_| EndpointId::new()).collect();
        for id in &ids {
            quick.note(*id, Duration::ZERO);
        }
        assert!(quick.lately.len() + quick.before.len() <= 2 * MAX_REMEMBERED);
        assert!(
            ids[2 * MAX_REMEMBERED..]
                .iter()
                .all(|id| quick.contains(id))
        );
        assert!(!quick.contains(&ids[0]));
    }
}
