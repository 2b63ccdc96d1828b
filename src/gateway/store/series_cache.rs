//! The numbers of series that were read before, so that a batch need not ask for them again.
//!
//! Only for a database that a single gateway uses: a number never changes there, and a series is never deleted.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::UsageSeries;

/// Numbers that are known at most.
const MOST: usize = 10_000;

/// See the module.
#[derive(Debug, Default)]
pub struct SeriesCache(Mutex<KnownNumbers>);

#[derive(Debug, Default)]
struct KnownNumbers {
    series: HashMap<UsageSeries, u32>,
    /// Of everybody with a model.
    models: HashMap<String, u32>,
}

impl SeriesCache {
    /// The numbers that are known, in the order of the series and models.
    pub fn find(&self, series: &[&UsageSeries], models: &[&str]) -> (Vec<Option<u32>>, Vec<Option<u32>>) {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let series = series.iter().map(|series| known.series.get(*series).copied()).collect();
        (series, models.iter().map(|model| known.models.get(*model).copied()).collect())
    }

    /// Notes numbers that are committed.
    pub fn add<'a>(
        &self,
        series: impl IntoIterator<Item = (&'a UsageSeries, u32)>,
        models: impl IntoIterator<Item = (&'a str, u32)>,
    ) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (series, number) in series {
            if known.series.len() >= MOST {
                known.series.clear();
            }
            known.series.insert(series.clone(), number);
        }
        for (model, number) in models {
            if known.models.len() >= MOST {
                known.models.clear();
            }
            known.models.insert(model.to_owned(), number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_finds_what_was_added_and_has_a_bound() {
        let cache = SeriesCache::default();
        let series = |number: u32| UsageSeries {
            account: uuid::Uuid::from_u128(number.into()),
            credential: String::new(),
            model: String::new(),
        };
        cache.add([(&series(1), 7)], [("m", 8)]);
        let found = cache.find(&[&series(1), &series(2)], &["n", "m"]);
        assert_eq!(found, (vec![Some(7), None], vec![None, Some(8)]));
        let many: Vec<_> = (0..25_000).map(|number| (series(number), number.to_string())).collect();
        let numbers = || many.iter().zip(0..);
        cache.add(numbers().map(|((series, _), n)| (series, n)), numbers().map(|((_, model), n)| (model.as_str(), n)));
        let known = cache.0.lock().unwrap();
        assert!(known.series.len() <= MOST && known.models.len() <= MOST);
        assert_eq!((known.series.get(&series(24_999)), known.models.get("24999")), (Some(&24_999), Some(&24_999)));
    }
}
