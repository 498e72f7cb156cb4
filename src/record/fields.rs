//! What a session holds under names: a small map in one piece of memory. A session has a handful of names, and there are
//! a million of sessions: a tree's nodes would be most of what they weigh.

use std::{cell::RefCell, collections::HashSet, fmt, marker::PhantomData, sync::Arc};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
};

use crate::record::FieldValue;

/// A field's name in normal form.
pub type FieldName = Arc<str>;

/// Field names (normal form) and values.
pub type FieldMap = NamedMap<FieldValue>;

/// Texts that are delivered once.
pub type FlashMap = NamedMap<Arc<str>>;

/// Values by name, in the order of the names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedMap<V>(Box<[(FieldName, V)]>);

impl<V> Default for NamedMap<V> {
    fn default() -> Self {
        Self(Box::default())
    }
}

impl<V> NamedMap<V> {
    fn place(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| (**known).cmp(name))
    }

    fn edit<T>(&mut self, edit: impl FnOnce(&mut Vec<(FieldName, V)>) -> T) -> T {
        let mut all = std::mem::take(&mut self.0).into_vec();
        let result = edit(&mut all);
        self.0 = all.into_boxed_slice();
        result
    }

    /// The value under a name.
    pub fn get(&self, name: &str) -> Option<&V> {
        self.place(name).ok().and_then(|at| self.0.get(at)).map(|(_, value)| value)
    }

    /// True if there is one.
    pub fn contains_key(&self, name: &str) -> bool {
        self.place(name).is_ok()
    }

    /// Sets a value; the one that was there.
    pub fn insert(&mut self, name: &FieldName, value: V) -> Option<V> {
        match self.place(name) {
            Ok(at) => self.0.get_mut(at).map(|(_, old)| std::mem::replace(old, value)),
            Err(at) => {
                self.edit(|all| {
                    all.reserve_exact(1);
                    all.insert(at, (shared(name), value));
                });
                None
            }
        }
    }

    /// Takes a value out.
    pub fn remove(&mut self, name: &str) -> Option<V> {
        let at = self.place(name).ok()?;
        Some(self.edit(|all| all.remove(at).1))
    }

    /// Keeps what this says.
    pub fn retain(&mut self, stays: impl Fn(&FieldName) -> bool) {
        self.edit(|all| all.retain(|(name, _)| stays(name)));
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&FieldName, &V)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// Names.
    pub fn keys(&self) -> impl Iterator<Item = &FieldName> {
        self.0.iter().map(|(name, _)| name)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True without any.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// So many texts of one thread are held in common.
const MOST_SHARED: usize = 1024;

thread_local! {
    static SHARED: RefCell<HashSet<FieldName>> = RefCell::default();
}

/// One copy for all sessions that hold the same text: names of fields and realms are few.
pub fn shared(text: &str) -> FieldName {
    SHARED.with_borrow_mut(|all| {
        if let Some(known) = all.get(text) {
            return Arc::clone(known);
        }
        // Cleared, not pruned: apps that make up names would otherwise make this grow; what is in
        // use is soon back.
        if all.len() >= MOST_SHARED {
            all.clear();
        }
        let new = FieldName::from(text);
        all.insert(Arc::clone(&new));
        new
    })
}

impl<V: Serialize> Serialize for NamedMap<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for NamedMap<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(NamedReader(PhantomData))
    }
}

struct NamedReader<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for NamedReader<V> {
    type Value = NamedMap<V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of names and values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        // The hint is what the bytes claim: it is believed up to a bound.
        let mut all: Vec<(FieldName, V)> = Vec::with_capacity(map.size_hint().unwrap_or(0).min(MOST_SHARED));
        while let Some((name, value)) = map.next_entry::<std::borrow::Cow<'de, str>, V>()? {
            all.push((shared(&name), value));
        }
        // Of two under one name the last, as when they are set one by one.
        all.reverse();
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all.dedup_by(|(a, _), (b, _)| a == b);
        Ok(NamedMap(all.into_boxed_slice()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_map(steps in proptest::collection::vec((0..3_u8, "[a-d]{1,2}", any::<u8>()), 0..60)) {
            let (mut plain, mut named) = (BTreeMap::<FieldName, u8>::new(), NamedMap::<u8>::default());
            for (step, name, value) in steps {
                let name = FieldName::from(name);
                match step {
                    0 => prop_assert_eq!(named.insert(&name, value), plain.insert(name.clone(), value)),
                    1 => prop_assert_eq!(named.remove(&name), plain.remove(&name)),
                    _ => {
                        named.retain(|known| *known >= name);
                        plain.retain(|known, _| *known >= name);
                    }
                }
                prop_assert_eq!(named.get(&name), plain.get(&name));
                prop_assert_eq!(named.contains_key(&name), plain.contains_key(&name));
                prop_assert_eq!((named.len(), named.is_empty()), (plain.len(), plain.is_empty()));
                prop_assert!(named.iter().eq(plain.iter()));
                let text = serde_json::to_string(&named).unwrap();
                prop_assert_eq!(&text, &serde_json::to_string(&plain).unwrap());
                prop_assert_eq!(&serde_json::from_str::<NamedMap<u8>>(&text).unwrap(), &named);
            }
        }
    }

    #[test]
    fn of_two_under_one_name_the_last_counts() {
        let named: NamedMap<u8> = serde_json::from_str("{\"b\":1,\"a\":2,\"b\":3}").unwrap();
        assert_eq!(
            named.iter().map(|(name, value)| (&**name, *value)).collect::<Vec<_>>(),
            [("a", 2), ("b", 3)]
        );
    }
}
