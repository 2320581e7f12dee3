//! A bounded cache of keys. The keys are in locked memory and are wiped when the last holder lets go.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

struct Held<V> {
    value: Arc<V>,
    used: u64,
}

struct Inner<K, V> {
    held: HashMap<K, Held<V>>,
    clock: u64,
}

/// At most `capacity` values; the one used longest ago makes room.
pub(super) struct Cache<K, V> {
    capacity: usize,
    inner: Mutex<Inner<K, V>>,
}

impl<K: Copy + Eq + Hash, V> Cache<K, V> {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, inner: Mutex::new(Inner { held: HashMap::new(), clock: 0 }) }
    }

    pub(super) fn get(&self, key: K) -> Option<Arc<V>> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.clock += 1;
        let now = inner.clock;
        let held = inner.held.get_mut(&key)?;
        held.used = now;
        Some(Arc::clone(&held.value))
    }

    /// Keeps `value`, unless another thread was first: then that one's, so that a key lies in memory once.
    pub(super) fn keep(&self, key: K, value: V) -> Arc<V> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.clock += 1;
        let used = inner.clock;
        if let Some(held) = inner.held.get(&key) {
            return Arc::clone(&held.value);
        }
        // A scan: capacities are a few hundred, and a miss has just read the database.
        if inner.held.len() >= self.capacity
            && let Some(oldest) = inner.held.iter().min_by_key(|(_, h)| h.used).map(|(k, _)| *k)
        {
            inner.held.remove(&oldest);
        }
        let value = Arc::new(value);
        inner.held.insert(key, Held { value: Arc::clone(&value), used });
        value
    }

    pub(super) fn forget(&self, key: K) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).held.remove(&key);
    }

    /// Those that are held.
    pub(super) fn keys(&self) -> Vec<K> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).held.keys().copied().collect()
    }

    pub(super) fn clear(&self) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).held.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_longest_ago_makes_room() {
        let cache = Cache::new(2);
        cache.keep(1, 'a');
        cache.keep(2, 'b');
        assert_eq!(cache.get(1).as_deref(), Some(&'a'));
        cache.keep(3, 'c');
        assert_eq!(cache.get(2), None);
        assert_eq!(cache.get(1).as_deref(), Some(&'a'));
        assert_eq!(cache.get(3).as_deref(), Some(&'c'));
        assert_eq!(*cache.keep(3, 'd'), 'c');
        cache.forget(3);
        assert_eq!(cache.get(3), None);
        cache.clear();
        assert_eq!(cache.get(1), None);
    }
}
