//! Pages of events: in which index a filter is looked up, and how far that is followed.
//!
//! One filter is looked up in the index of its column. Of several it is the one that fits the fewest events, and the others are compared with
//! what it finds: so many events are looked at for one page, and the next page continues from there.

use std::ops::Range;

use sqlx::QueryBuilder;

use super::event_search::{Criterion, Engine, Order, criteria, push_common_events, push_events, push_numbers};
use super::events::{EventRow, recorded};
use super::{Connection, event_times, explain};
use crate::gateway::store::place::{Doing, Place};
use crate::gateway::store::{EventFilter, EventPage, LinePage, RecordedEvent, StoreError, event};

/// What may be spent on one page of several filters: the entries of an index that are looked at. An event that has to be read costs
/// [`EVENT`] of them.
const BUDGET: i64 = 50_000;
/// See [`BUDGET`].
const EVENT: i64 = 5;
/// Events that are looked at first; each further time four times as many.
const FIRST: i64 = 256;
/// How far each of several filters is followed to find out which one fits the fewest events.
const PROBED: i64 = 1000;
/// Ranges of numbers that one page looks into.
const MOST_RANGES: usize = 64;

/// A page of the events that are wanted, the newest first.
pub async fn page(
    connection: &mut Connection,
    limit: u32,
    filter: &EventFilter,
    place: &Place,
) -> Result<EventPage, StoreError> {
    let order = if filter.after.is_some() { Order::OldestFirst } else { Order::NewestFirst };
    let search = Search { connection, filter, order, limit: limit.into() };
    let (mut rows, next) = search.run().await.map_err(|error| explain(place, &error, Doing::Read))?;
    if order == Order::OldestFirst {
        rows.reverse();
    }
    let events: Result<Vec<RecordedEvent>, StoreError> = rows.into_iter().map(|row| recorded(row, place)).collect();
    let mut events = events?;
    if let Some(own) = &filter.own {
        events.retain(|event| own.has(event));
    }
    Ok(EventPage { events, next })
}

/// The stored lines of the first events that are wanted, the oldest first.
pub async fn lines(
    connection: &mut Connection,
    limit: u32,
    filter: &EventFilter,
    place: &Place,
) -> Result<LinePage, StoreError> {
    let search = Search { connection, filter, order: Order::OldestFirst, limit: limit.into() };
    let (rows, next) = search.run().await.map_err(|error| explain(place, &error, Doing::Read))?;
    // Those of a version before this one are in no log until the next event.
    let rows = rows.into_iter().filter(|row| row.13.is_some());
    let lines = rows.filter_map(|row| row.12.map(|line| (row.0, line)));
    let is_wanted = |(id, line): &(i64, String)| {
        filter.own.as_ref().is_none_or(|own| event::read(*id, line).is_ok_and(|event| own.has(&event)))
    };
    Ok(LinePage { lines: lines.filter(is_wanted).map(|(_, line)| line).collect(), next })
}

/// A search for one page.
struct Search<'a> {
    connection: &'a mut Connection,
    filter: &'a EventFilter,
    order: Order,
    limit: i64,
}

impl Search<'_> {
    /// The events in the order of the page; and from which number the next page continues, if there may be more.
    async fn run(mut self) -> Result<(Vec<EventRow>, Option<i64>), sqlx::Error> {
        let mut rows = Vec::new();
        let Some(numbers) = self.numbers().await? else { return Ok((rows, None)) };
        let Some(mut criteria) = criteria(self.connection, self.filter).await? else { return Ok((rows, None)) };
        if self.limit == 0 {
            return Ok((rows, None));
        }
        let first = self.narrowest(&criteria, &numbers).await?.map(|at| criteria.swap_remove(at));
        let compares = !criteria.is_empty() || self.filter.since.is_some() || self.filter.until.is_some();
        // One more than wanted tells whether there are more.
        let wanted = self.limit.saturating_add(1);
        let (mut step, mut left) = (if compares { wanted.clamp(FIRST, BUDGET) } else { wanted }, BUDGET);
        for (count, mut range) in self.ranges(numbers).await?.into_iter().enumerate() {
            if count == MOST_RANGES {
                return Ok((rows, Some(self.order.cursor(&range))));
            }
            while range.start < range.end {
                if compares && left <= 0 {
                    return Ok((rows, Some(self.order.cursor(&range))));
                }
                let (part, rest) = self.split(first.as_ref(), &range, step).await?;
                let indexed = self.are_few(&criteria, &part, step).await?;
                let missing = wanted.saturating_sub(rows.len() as i64);
                let found = self.found(first.as_ref(), &criteria, indexed, &part, missing).await?;
                let is_full = found.len() as i64 == missing;
                rows.extend(found);
                // An event can fit one filter in two ways.
                rows.dedup_by_key(|row| row.0);
                if is_full {
                    rows.truncate(usize::try_from(self.limit).unwrap_or(usize::MAX));
                    let last = rows.last().map(|row| row.0);
                    return Ok((rows, last));
                }
                step = step.saturating_mul(4);
                if compares {
                    let cost = if indexed { 1 } else { EVENT };
                    left -= (step / 4).min(part.end - part.start) * cost;
                    step = step.min(left / cost).max(1);
                }
                range = rest;
            }
        }
        Ok((rows, None))
    }

    /// The numbers that are wanted, as far as there are events.
    async fn numbers(&mut self) -> Result<Option<Range<i64>>, sqlx::Error> {
        let statement = "SELECT (SELECT min(id) FROM events), (SELECT max(id) FROM events)";
        let (first, last): (Option<i64>, Option<i64>) =
            sqlx::query_as(statement).fetch_one(&mut *self.connection).await?;
        let (Some(first), Some(last)) = (first, last) else { return Ok(None) };
        let start = self.filter.after.map_or(first, |after| first.max(after.saturating_add(1)));
        let end = last.saturating_add(1).min(self.filter.before.unwrap_or(i64::MAX));
        Ok((start < end).then_some(start..end))
    }

    /// The ranges of numbers in which there can be events of the wanted times, in the order of the page.
    async fn ranges(&mut self, numbers: Range<i64>) -> Result<Vec<Range<i64>>, sqlx::Error> {
        let (since, until) = (self.filter.since, self.filter.until);
        if since.is_none() && until.is_none() {
            return Ok(vec![numbers]);
        }
        let all = event_times::ranges(self.connection, since.unwrap_or(i64::MIN), until.unwrap_or(i64::MAX)).await?;
        let within = |range: Range<i64>| range.start.max(numbers.start)..range.end.min(numbers.end);
        let mut ranges: Vec<_> = all.into_iter().map(within).filter(|range| range.start < range.end).collect();
        if self.order == Order::NewestFirst {
            ranges.reverse();
        }
        Ok(ranges)
    }

    /// Which of the filters fits the fewest events, as far as can be told soon.
    async fn narrowest(&mut self, criteria: &[Criterion], numbers: &Range<i64>) -> Result<Option<usize>, sqlx::Error> {
        if criteria.len() < 2 {
            return Ok((!criteria.is_empty()).then_some(0));
        }
        let mut best = (0, 0);
        for (at, criterion) in criteria.iter().enumerate() {
            let Some(edge) = self.edge(criterion, numbers, PROBED).await? else { return Ok(Some(at)) };
            let reach = match self.order {
                Order::NewestFirst => numbers.end - edge,
                Order::OldestFirst => edge - numbers.start,
            };
            if reach > best.1 {
                best = (at, reach);
            }
        }
        Ok(Some(best.0))
    }

    /// Whether each of the filters fits few events in that range: then the events need not be read to compare them.
    async fn are_few(&mut self, criteria: &[Criterion], range: &Range<i64>, step: i64) -> Result<bool, sqlx::Error> {
        for criterion in criteria {
            if self.edge(criterion, range, step.saturating_mul(2)).await?.is_some() {
                return Ok(false);
            }
        }
        Ok(!criteria.is_empty())
    }

    /// The part of a range with the next `step` events that fit the filter, or that there are; and the rest.
    async fn split(
        &mut self,
        first: Option<&Criterion>,
        range: &Range<i64>,
        step: i64,
    ) -> Result<(Range<i64>, Range<i64>), sqlx::Error> {
        let edge = match (first, self.order) {
            (Some(criterion), _) => self.edge(criterion, range, step).await?,
            // There is one event for each number at most.
            (None, Order::NewestFirst) => Some(range.end.saturating_sub(step)),
            (None, Order::OldestFirst) => Some(range.start.saturating_add(step - 1)),
        };
        let Range { start, end } = *range;
        Ok(match (edge.filter(|edge| range.contains(edge)), self.order) {
            (None, _) => (start..end, end..end),
            (Some(edge), Order::NewestFirst) => (edge..end, start..edge),
            (Some(edge), Order::OldestFirst) => (start..edge + 1, edge + 1..end),
        })
    }

    /// The number of the `count`-th event in that range that fits the filter, in the order of the page.
    async fn edge(
        &mut self,
        criterion: &Criterion,
        range: &Range<i64>,
        count: i64,
    ) -> Result<Option<i64>, sqlx::Error> {
        let (mut query, order) = (QueryBuilder::<Engine>::new(""), self.order.keyword());
        push_numbers(&mut query, criterion, range, Some((self.order, count)));
        query.push(format_args!(" ORDER BY id {order} LIMIT 1 OFFSET {}", count - 1));
        query.build_query_scalar().persistent(false).fetch_optional(&mut *self.connection).await
    }

    /// The first events in that range that fit all filters and times.
    async fn found(
        &mut self,
        first: Option<&Criterion>,
        others: &[Criterion],
        indexed: bool,
        range: &Range<i64>,
        most: i64,
    ) -> Result<Vec<EventRow>, sqlx::Error> {
        let mut query = QueryBuilder::<Engine>::new("");
        let times = |query: &mut QueryBuilder<Engine>| {
            if let Some(since) = self.filter.since {
                query.push(format_args!(" AND coalesce(last_at, at) >= {since}"));
            }
            if let Some(until) = self.filter.until {
                query.push(format_args!(" AND at <= {until}"));
            }
        };
        match first.filter(|_| indexed) {
            Some(first) => {
                let has_times = self.filter.since.is_some() || self.filter.until.is_some();
                let numbers = if has_times { BUDGET } else { most };
                push_common_events(&mut query, (first, others), range, self.order, (numbers, most), times);
            }
            None => push_events(&mut query, first, range, self.order, most, |query| {
                others.iter().for_each(|other| other.push_comparison(query));
                times(query);
            }),
        }
        query.build_query_as().persistent(false).fetch_all(&mut *self.connection).await
    }
}
