//! What came, by event.

use crate::stamp::Stamp;

/// How an event came.
#[derive(Clone, Copy, Debug, Default)]
pub struct Receipt {
    /// When it was to be published.
    pub published_ns: u64,
    /// When it came first.
    pub first_ns: u64,
    /// When it came last.
    pub last_ns: u64,
    /// How often it came.
    pub count: u32,
}

/// How many of some events did not come once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Events that never came.
    pub lost: usize,
    /// Events that came more than once.
    pub doubled: usize,
}

/// The receipts of a lane. Events are numbered without gaps, so a vector holds them.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    receipts: Vec<Receipt>,
    arrived: usize,
}

impl Ledger {
    pub(super) fn record(&mut self, stamp: Stamp, now_ns: u64) {
        let Ok(index) = usize::try_from(stamp.sequence) else {
            return;
        };
        if index >= self.receipts.len() {
            self.receipts.resize(index + 1, Receipt::default());
        }
        let receipt = &mut self.receipts[index];
        if receipt.count == 0 {
            receipt.published_ns = stamp.published_ns;
            receipt.first_ns = now_ns;
            self.arrived += 1;
        }
        receipt.last_ns = now_ns;
        receipt.count += 1;
    }

    pub(super) fn arrived(&self) -> usize {
        self.arrived
    }

    pub(super) fn find(&self, sequence: u64) -> Option<&Receipt> {
        let receipt = self.receipts.get(usize::try_from(sequence).ok()?)?;
        (receipt.count > 0).then_some(receipt)
    }

    pub(super) fn judge(&self, sequences: &[u64]) -> Verdict {
        let mut verdict = Verdict::default();
        for sequence in sequences {
            match self.find(*sequence).map_or(0, |receipt| receipt.count) {
                0 => verdict.lost += 1,
                1 => {}
                2.. => verdict.doubled += 1,
            }
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_that_are_missing_or_came_twice_are_counted() {
        let mut ledger = Ledger::default();
        for (sequence, now_ns) in [(0, 10), (3, 20), (3, 30)] {
            let published_ns = 5;
            let stamp = Stamp {
                sequence,
                published_ns,
            };
            ledger.record(stamp, now_ns);
        }
        let verdict = Verdict {
            lost: 2,
            doubled: 1,
        };
        assert_eq!(ledger.judge(&[0, 1, 3, 4]), verdict);
        assert_eq!(ledger.arrived(), 2);
        let twice = ledger.find(3).expect("it came");
        assert_eq!((twice.first_ns, twice.last_ns, twice.count), (20, 30, 2));
    }
}
