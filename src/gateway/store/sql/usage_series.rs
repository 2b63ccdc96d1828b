//! The numbers of series. Those that are missing are added. No number is used up for one that is there: they have to be enough for ever.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sqlx::{Error, QueryBuilder};

use super::Connection;
use super::usage_values::{ROWS, text};
use crate::gateway::store::series_cache::SeriesCache;
use crate::gateway::store::{UsageBatch, UsageSeries};

type Engine = <Connection as sqlx::Connection>::Database;

/// Account, credential and model as they are stored; the first two are empty for everybody.
type Key = (String, String, String);

/// The numbers of a batch's series.
pub(super) struct Numbers<'a> {
    series: HashMap<&'a UsageSeries, u32>,
    /// Of everybody with a model.
    models: HashMap<&'a str, u32>,
}

impl<'a> Numbers<'a> {
    /// That of a series.
    pub fn of(&self, series: &UsageSeries) -> Option<u32> {
        self.series.get(series).copied()
    }

    /// That of everybody with the same model.
    pub fn of_everybody(&self, series: &UsageSeries) -> Option<u32> {
        self.models.get(series.model.as_str()).copied()
    }

    fn add(&mut self, wanted: &[Wanted<'a>], found: &BTreeMap<Key, u32>) {
        for wanted in wanted {
            match (found.get(&wanted.key()), wanted) {
                (Some(number), Wanted::Series(series)) => drop(self.series.insert(series, *number)),
                (Some(number), Wanted::Everybody(model)) => drop(self.models.insert(model, *number)),
                (None, _) => {}
            }
        }
    }
}

/// One whose number is wanted.
#[derive(Clone, Copy)]
enum Wanted<'a> {
    Series(&'a UsageSeries),
    /// Of everybody with that model.
    Everybody(&'a str),
}

impl Wanted<'_> {
    fn key(&self) -> Key {
        match self {
            Self::Series(UsageSeries { account, credential, model }) => {
                (account.to_string(), text(credential).into_owned(), text(model).into_owned())
            }
            Self::Everybody(model) => (String::new(), String::new(), text(model).into_owned()),
        }
    }
}

/// The numbers of all series of a batch.
pub(super) async fn numbers<'a>(
    connection: &mut Connection,
    batch: &'a UsageBatch,
    cache: Option<&SeriesCache>,
) -> Result<Numbers<'a>, Error> {
    // Until it is known, each has the number 0.
    let mut numbers = Numbers { series: HashMap::new(), models: HashMap::new() };
    for (_, series, _) in batch.hours.iter().chain(&batch.days) {
        numbers.series.insert(series, 0);
        numbers.models.insert(&series.model, 0);
    }
    numbers.series.extend(batch.records.iter().map(|record| (&record.series, 0)));
    let series: Vec<&UsageSeries> = numbers.series.drain().map(|(series, _)| series).collect();
    let models: Vec<&str> = numbers.models.drain().map(|(model, _)| model).collect();
    let mut unknown = Vec::new();
    let known = match cache {
        Some(cache) => cache.find(&series, &models),
        None => (vec![None; series.len()], vec![None; models.len()]),
    };
    for (series, number) in series.into_iter().zip(known.0) {
        match number {
            Some(number) => drop(numbers.series.insert(series, number)),
            None => unknown.push(Wanted::Series(series)),
        }
    }
    for (model, number) in models.into_iter().zip(known.1) {
        match number {
            Some(number) => drop(numbers.models.insert(model, number)),
            None => unknown.push(Wanted::Everybody(model)),
        }
    }
    if unknown.is_empty() {
        return Ok(numbers);
    }
    let mut wanted: BTreeSet<Key> = unknown.iter().map(Wanted::key).collect();
    let mut found = find(connection, &wanted).await?;
    numbers.add(&unknown, &found);
    if let Some(cache) = cache {
        // Not what this transaction adds: it may be undone.
        let of = |wanted: &&Wanted<'_>| found.get(&wanted.key()).copied();
        let series = unknown.iter().filter_map(|wanted| match wanted {
            Wanted::Series(series) => Some((*series, of(&wanted)?)),
            Wanted::Everybody(_) => None,
        });
        let models = unknown.iter().filter_map(|wanted| match wanted {
            Wanted::Everybody(model) => Some((*model, of(&wanted)?)),
            Wanted::Series(_) => None,
        });
        cache.add(series, models);
    }
    wanted.retain(|key| !found.contains_key(key));
    if !wanted.is_empty() {
        insert(connection, &wanted).await?;
        found = find(connection, &wanted).await?;
        numbers.add(&unknown, &found);
    }
    Ok(numbers)
}

async fn insert(connection: &mut Connection, wanted: &BTreeSet<Key>) -> Result<(), Error> {
    for keys in wanted.iter().collect::<Vec<_>>().chunks(ROWS) {
        let mut query = QueryBuilder::<Engine>::new("INSERT INTO usage_series (account, credential, model) ");
        query.push_values(keys, |mut row, (account, credential, model)| {
            row.push_bind(account).push_bind(credential).push_bind(model);
        });
        // Another gateway may have added it meanwhile.
        query.push(" ON CONFLICT (account, credential, model) DO NOTHING");
        query.build().persistent(false).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn find(connection: &mut Connection, wanted: &BTreeSet<Key>) -> Result<BTreeMap<Key, u32>, Error> {
    let mut numbers = BTreeMap::new();
    for keys in wanted.iter().collect::<Vec<_>>().chunks(ROWS) {
        let mut query = QueryBuilder::<Engine>::new("WITH wanted (account, credential, model) AS (");
        query.push_values(keys, |mut row, (account, credential, model)| {
            row.push_bind(account).push_bind(credential).push_bind(model);
        });
        query.push(
            ") SELECT s.number, s.account, s.credential, s.model FROM wanted CROSS JOIN usage_series AS s \
             WHERE s.account = wanted.account AND s.credential = wanted.credential AND s.model = wanted.model",
        );
        let query = query.build_query_as::<(i64, String, String, String)>().persistent(false);
        for (number, account, credential, model) in query.fetch_all(&mut *connection).await? {
            let number = u32::try_from(number).map_err(|error| Error::Decode(error.into()))?;
            numbers.insert((account, credential, model), number);
        }
    }
    Ok(numbers)
}
