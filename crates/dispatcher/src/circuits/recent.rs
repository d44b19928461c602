//! A map of bounded size that forgets what was not used for longest.

use std::collections::HashMap;
use std::hash::Hash;

/// Two maps: what was used lately, and what was used before that. When the first is full it becomes the second, and
/// what is still in the second then is forgotten. So entries in use stay whatever else comes, at no cost but a second
/// look.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    /// Entries of each map at most.
    room: usize,
}

impl<K: Copy + Eq + Hash, V> Recent<K, V> {
    /// A map that keeps the `room` entries used last, and twice as many at most.
    pub(super) fn with_room_for(room: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            room,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.young.is_empty() && self.old.is_empty()
    }

    /// The entry of a key.
    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        if let Some(value) = self.old.remove(key) {
            self.insert(*key, value);
        }
        self.young.get_mut(key)
    }

    /// The entry of a key, made if there is none.
    pub(super) fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        let before = self.old.remove(&key);
        if self.young.len() >= self.room && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        let young = self.young.entry(key);
        young.or_insert_with(|| before.unwrap_or_else(make))
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        self.remove(&key);
        self.get_or_insert_with(key, || value);
    }

    pub(super) fn remove(&mut self, key: &K) {
        self.young.remove(key);
        self.old.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_however_much_else_comes() {
        let mut recent = Recent::with_room_for(3);
        recent.insert(0, "used");
        for key in 1..100 {
            recent.insert(key, "once");
            assert_eq!(recent.get_mut(&0), Some(&mut "used"), "after {key}");
            assert!(recent.young.len() + recent.old.len() <= 6);
        }
        assert_eq!(recent.get_mut(&1), None);
        assert_eq!(recent.get_mut(&99), Some(&mut "once"));
    }

    #[test]
    fn as_many_as_there_is_room_for_stay_when_each_is_used_in_turn() {
        let mut recent = Recent::with_room_for(5);
        for key in 0..5 {
            recent.insert(key, 0);
        }
        for round in 1..4 {
            for key in 0..5 {
                *recent.get_mut(&key).expect("it stays") += 1;
                let value = recent.get_mut(&key).map(|value| *value);
                assert_eq!(value, Some(round));
            }
        }
    }

    #[test]
    fn what_is_removed_or_replaced_does_not_come_back() {
        let mut recent = Recent::with_room_for(2);
        for key in 0..3 {
            recent.insert(key, "before");
        }
        recent.insert(0, "after");
        recent.remove(&1);
        assert_eq!(recent.get_mut(&0), Some(&mut "after"));
        assert_eq!(recent.get_mut(&1), None);
        recent.remove(&0);
        recent.remove(&2);
        assert!(recent.is_empty());
    }
}
