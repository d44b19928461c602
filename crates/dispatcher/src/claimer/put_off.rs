//! Hints of endpoints where another dispatcher looks first.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use reprise_core::ids::{EndpointId, TenantId};
use reprise_core::ready_hint::ReadyHint;

use crate::homes::{HEAD_START, LONGEST_HEAD_START};

/// What is to be looked at later.
#[derive(Debug)]
pub(crate) struct PutOff {
    endpoints: BTreeSet<(TenantId, EndpointId)>,
    until: Option<Instant>,
    /// For how long, this time.
    head_start: Duration,
    /// Whether it is being looked at.
    is_looked_at: bool,
}

impl Default for PutOff {
    fn default() -> Self {
        Self {
            endpoints: BTreeSet::new(),
            until: None,
            head_start: HEAD_START,
            is_looked_at: false,
        }
    }
}

impl PutOff {
    /// Takes out of a hint what others look at first, and puts in what was put off for long enough. Whether anything
    /// was taken out.
    pub(super) fn exchange(
        &mut self,
        hint: &mut ReadyHint,
        is_home: impl Fn(EndpointId) -> bool,
        now: Instant,
    ) -> bool {
        let away = hint.take_out(|(_, endpoint_id)| !is_home(*endpoint_id));
        if self.until.is_some_and(|until| until <= now) {
            let due = std::mem::take(&mut self.endpoints);
            self.until = None;
            self.is_looked_at = true;
            if let ReadyHint::At(endpoints) = hint {
                endpoints.extend(due);
            }
        }
        let is_any = !away.is_empty();
        if is_any {
            self.endpoints.extend(away);
            self.until.get_or_insert(now + self.head_start);
        }
        is_any
    }

    /// Whether anything was found where it was looked: if not, there is less need to.
    pub(super) fn note(&mut self, is_found: bool) {
        if std::mem::take(&mut self.is_looked_at) {
            let longer = (self.head_start * 2).min(LONGEST_HEAD_START);
            self.head_start = if is_found { HEAD_START } else { longer };
        }
    }

    /// How long until something is to be looked at.
    pub(super) fn next_after(&self, now: Instant) -> Option<Duration> {
        self.until.map(|until| until.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(endpoints: &[EndpointId]) -> ReadyHint {
        let mut hint = ReadyHint::default();
        for endpoint_id in endpoints {
            hint.add(TenantId::from_uuid(endpoint_id.as_uuid()), *endpoint_id);
        }
        hint
    }

    #[test]
    fn only_what_is_elsewhere_at_home_is_put_off() {
        let (here, elsewhere) = (EndpointId::new(), EndpointId::new());
        let (mut put_off, now) = (PutOff::default(), Instant::now());
        let mut heard = hint(&[here, elsewhere]);
        assert!(put_off.exchange(&mut heard, |id| id == here, now));
        assert_eq!(heard, hint(&[here]));
        assert_eq!(put_off.next_after(now), Some(HEAD_START));

        let mut heard = hint(&[]);
        assert!(!put_off.exchange(&mut heard, |id| id == here, now + HEAD_START));
        assert_eq!(heard, hint(&[elsewhere]));
        assert_eq!(put_off.next_after(now + HEAD_START), None);
    }

    #[test]
    fn what_is_heard_again_and_again_is_put_off_once() {
        let elsewhere = EndpointId::new();
        let (mut put_off, now) = (PutOff::default(), Instant::now());
        let mut looks = 0;
        for milliseconds in 0..=60 {
            let mut heard = hint(&[elsewhere]);
            let now = now + Duration::from_millis(milliseconds);
            put_off.exchange(&mut heard, |_| false, now);
            looks += u32::from(!heard.is_nowhere());
        }
        assert_eq!(looks, 3);
    }

    #[test]
    fn looks_in_vain_become_rarer_until_one_finds_something() {
        let (mut put_off, mut now) = (PutOff::default(), Instant::now());
        let mut head_starts = Vec::new();
        for is_found in [false, false, false, false, false, true, false] {
            put_off.exchange(&mut hint(&[EndpointId::new()]), |_| false, now);
            let head_start = put_off.next_after(now).expect("something is put off");
            head_starts.push(head_start.as_millis());
            // Other looks, before it is time to, say nothing.
            put_off.note(!is_found);
            now += head_start;
            put_off.exchange(&mut hint(&[]), |_| false, now);
            put_off.note(is_found);
        }
        assert_eq!(head_starts, [20, 40, 80, 160, 160, 160, 20]);
    }

    #[test]
    fn what_may_be_anywhere_is_not_put_off() {
        let mut put_off = PutOff::default();
        let mut heard = ReadyHint::Anywhere;
        assert!(!put_off.exchange(&mut heard, |_| false, Instant::now()));
        assert_eq!(heard, ReadyHint::Anywhere);
        assert_eq!(put_off.next_after(Instant::now()), None);
    }
}
