//! What requests used, as the store has it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::{Directory, ending};
use crate::gateway::store::{KeyRecord, StoreError, UsageQuery, UsageRow};
use crate::keyspec::KeyId;

impl Directory {
    /// Totals, in the order of their groups.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn usage_totals(&self, query: UsageQuery) -> Result<Vec<UsageRow>, StoreError> {
        let inner = self.0.clone();
        // Who leaves while it waits here frees its place.
        let few_at_a_time = self.0.usage_queries.clone().acquire_owned().await;
        let asked = self.0.runtime.spawn(async move {
            let _until_done = few_at_a_time;
            inner.store.usage_totals(&query).await
        });
        asked.await.map_err(|_| ending())?
    }

    /// What the newest key of each line of replacements is called, by the first key of the line. Lines of which all keys have ended are left out.
    pub fn key_line_names(&self) -> HashMap<KeyId, String> {
        let memory = self.read();
        let mut newest: HashMap<&KeyId, &KeyRecord> = HashMap::with_capacity(memory.keys.len());
        for key in memory.keys.values() {
            match newest.entry(key.first.as_ref().unwrap_or(&key.id)) {
                Entry::Vacant(place) => drop(place.insert(key)),
                Entry::Occupied(mut known) => {
                    let age = |key: &KeyRecord| (key.created_at, key.id.clone());
                    if age(known.get()) < age(key) {
                        known.insert(key);
                    }
                }
            }
        }
        newest.into_iter().map(|(first, key)| (first.clone(), key.name.clone())).collect()
    }
}
