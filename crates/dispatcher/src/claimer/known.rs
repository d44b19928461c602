//! Endpoints that have, or had a moment ago, ready deliveries: what can be claimed from without a walk.
//!
//! Behind what was claimed of an endpoint lie dead entries of the index until vacuum comes, so the next look begins
//! after them. Deliveries may come late, or come back below that, as retries do: so the newest are never passed over,
//! and the look begins at the start whenever something may have come back, and every second in any case.

mod crowd;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use reprise_core::ids::{DeliveryId, EndpointId, TenantId, first_uuid_at};
use reprise_core::store::delivery_queue::{Candidate, Claim, ReadyClaim};
use time::OffsetDateTime;

use self::crowd::Crowd;

/// Endpoints remembered at most. More, and a claim has more to share among than it needs; those that are not remembered
/// are found again by the walk. Of a tenant that has more which hang, the others are not asked for until one of these
/// gives way: so it gives way to other tenants.
const MAX_KNOWN: usize = 1_024;
/// Of these, endpoints that had nothing more when they were looked at. Each costs a probe at the next hint.
const MAX_QUIET: usize = 64;
/// Deliveries made within this time are looked at again: they are committed in another order than their ids were made
/// in, and on machines whose clocks differ. Longer, and more dead entries are read; shorter, and such a one waits for
/// the next look from the start.
const LATECOMERS: Duration = Duration::from_millis(500);
/// How often an endpoint is looked at from the start.
const FROM_START: Duration = Duration::from_secs(1);

/// How often to ask whether an endpoint of which nothing is had has got a limit: what it has waits for so long then.
/// More often, and each look at a quiet endpoint costs two.
const DOUBT_INTERVAL: Duration = Duration::from_secs(1);

type Key = (TenantId, EndpointId);

/// The endpoints.
#[derive(Debug, Default)]
pub(super) struct KnownEndpoints {
    by_key: HashMap<Key, Known>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    /// The last delivery that the last claim took here.
    last_claimed: Option<DeliveryId>,
    /// When it was looked at from the start.
    from_start_at: Option<Instant>,
    /// When something was found here.
    found_at: Instant,
    /// Whether it had nothing more when it was looked at.
    is_quiet: bool,
    /// When it was asked whether nothing is had of it because it has got a limit.
    doubted_at: Option<Instant>,
}

impl Known {
    fn after(&self, now: Instant, latecomers_from: DeliveryId) -> Option<DeliveryId> {
        let is_recent = |at: Instant| now.saturating_duration_since(at) < FROM_START;
        self.last_claimed
            .filter(|_| self.from_start_at.is_some_and(is_recent))
            .map(|id| id.min(latecomers_from))
    }
}

/// What became of endpoints that were found to have something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Remembered {
    /// All of them are remembered, and what was known before.
    pub(super) are_all: bool,
    /// One is that was not before.
    pub(super) is_any_new: bool,
}

impl KnownEndpoints {
    /// Remembers endpoints that were found to have something.
    pub(super) fn add<'a>(
        &mut self,
        found: impl IntoIterator<Item = &'a Key>,
        now: Instant,
    ) -> Remembered {
        let (mut crowd, mut is_any_new) = (None, false);
        for key in found {
            if let Some(known) = self.by_key.get_mut(key) {
                known.is_quiet = false;
                continue;
            }
            if self.by_key.len() >= MAX_KNOWN {
                let crowd = crowd.get_or_insert_with(|| self.crowd());
                let Some(gives_way) = crowd.make_room_for(*key) else {
                    continue;
                };
                self.by_key.remove(&gives_way);
            }
            let known = Known {
                last_claimed: None,
                from_start_at: None,
                found_at: now,
                is_quiet: false,
                doubted_at: None,
            };
            self.by_key.insert(*key, known);
            is_any_new = true;
        }
        Remembered {
            are_all: crowd.is_none(),
            is_any_new,
        }
    }

    /// All of them, those last that had nothing more.
    fn crowd(&self) -> Crowd {
        let are = |is_quiet| {
            let all = self.by_key.iter();
            all.filter(move |(_, known)| known.is_quiet == is_quiet)
                .map(|(key, _)| *key)
        };
        Crowd::of(are(false).chain(are(true)))
    }

    /// All of them, which the walk passes over.
    pub(super) fn keys(&self) -> Vec<Key> {
        self.by_key.keys().copied().collect()
    }

    /// Looks at all of them from the start next time.
    pub(super) fn look_from_start(&mut self) {
        for known in self.by_key.values_mut() {
            known.from_start_at = None;
        }
    }

    /// Something may have come to those that had nothing more.
    pub(super) fn wake_quiet(&mut self) {
        for known in self.by_key.values_mut() {
            known.is_quiet = false;
        }
    }

    /// Whether there is anything to claim from.
    pub(super) fn has_candidates(&self) -> bool {
        self.by_key.values().any(|known| !known.is_quiet)
    }

    /// What may be claimed from.
    pub(super) fn candidates(&self, now: Instant) -> Vec<Candidate> {
        let latecomers_from = OffsetDateTime::now_utc() - LATECOMERS;
        let latecomers_from = DeliveryId::from_uuid(first_uuid_at(latecomers_from));
        let waking = self.by_key.iter().filter(|(_, known)| !known.is_quiet);
        waking
            .map(|((tenant_id, endpoint_id), known)| Candidate {
                tenant_id: *tenant_id,
                endpoint_id: *endpoint_id,
                after: known.after(now, latecomers_from),
            })
            .collect()
    }

    /// Notes what came of a claim. `is_cut` says that there was no room for more of any of them.
    pub(super) fn note(
        &mut self,
        candidates: &[Candidate],
        taken: &ReadyClaim,
        is_cut: bool,
        now: Instant,
    ) {
        let mut last_claimed: HashMap<EndpointId, (DeliveryId, i32)> = HashMap::new();
        for claim in &taken.claims {
            let (last, count) = last_claimed
                .entry(claim.endpoint_id)
                .or_insert((claim.delivery_id, 0));
            *last = claim.delivery_id.max(*last);
            *count += 1;
        }
        for (candidate, share) in candidates.iter().zip(&taken.shares) {
            let Some(known) = self
                .by_key
                .get_mut(&(candidate.tenant_id, candidate.endpoint_id))
                .filter(|_| *share > 0)
            else {
                continue;
            };
            if candidate.after.is_none() {
                known.from_start_at = Some(now);
            }
            let claimed = last_claimed.get(&candidate.endpoint_id);
            if let Some((last, _)) = claimed {
                known.last_claimed = Some(*last);
                known.found_at = now;
            }
            known.is_quiet = claimed.map_or(0, |(_, count)| *count) < *share && !is_cut;
        }
        self.forget_quiet();
    }

    /// Those of which a claim has taken nothing: they may have got a limit, or a circuit that is not closed. Each is
    /// told now and then only.
    pub(super) fn doubtful(
        &mut self,
        candidates: &[Candidate],
        taken: &ReadyClaim,
        now: Instant,
    ) -> Vec<Key> {
        let is_recent = |at: Instant| now.saturating_duration_since(at) < DOUBT_INTERVAL;
        let mut doubtful = Vec::new();
        for (candidate, share) in candidates.iter().zip(&taken.shares) {
            let key = (candidate.tenant_id, candidate.endpoint_id);
            let is_claimed = |claim: &Claim| claim.endpoint_id == candidate.endpoint_id;
            if let Some(known) = self.by_key.get_mut(&key)
                && *share > 0
                && known.is_quiet
                && !known.doubted_at.is_some_and(is_recent)
                && !taken.claims.iter().any(is_claimed)
            {
                known.doubted_at = Some(now);
                doubtful.push(key);
            }
        }
        doubtful
    }

    /// Forgets endpoints, so that the walk looks there again.
    pub(super) fn forget(&mut self, keys: &[Key]) {
        for key in keys {
            self.by_key.remove(key);
        }
    }

    /// Forgets the endpoints that have been quiet for longest, where there are too many.
    fn forget_quiet(&mut self) {
        let quiet = self.by_key.iter().filter(|(_, known)| known.is_quiet);
        let mut quiet: Vec<_> = quiet.map(|(key, known)| (known.found_at, *key)).collect();
        if quiet.len() > MAX_QUIET {
            quiet.sort_unstable();
            for (_, key) in &quiet[..quiet.len() - MAX_QUIET] {
                self.by_key.remove(key);
            }
        }
    }
}

#[cfg(test)]
mod tests;
