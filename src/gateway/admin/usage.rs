//! What was used, for `gateway usage` and the page of administrators.

use jiff::tz::TimeZone;

use super::error::AdminError;
use super::message::AdminReply;
use super::perform::AdminContext;
use super::usage_question::{UsageQuestion, UsageReply};
use crate::gateway::store::{UsagePeriod, UsageQuery};
use crate::gateway::usage::{UsageBy, UsageRange, groups, report};

/// The most rows in one reply.
const MOST_ROWS: usize = 50_000;

impl AdminContext<'_> {
    pub(super) async fn usage(&self, question: &UsageQuestion) -> Result<AdminReply, AdminError> {
        let UsageQuestion { by, since, until, user, time_zone } = question;
        let account = user.as_deref().map(|name| self.user(name)).transpose()?.map(|user| user.id);
        let zone = match self.running {
            Some(running) => running.config.get().time_zone.clone(),
            None => TimeZone::get(time_zone).unwrap_or(TimeZone::UTC),
        };
        let asked = by.iter().find_map(|by| match by {
            UsageBy::Hour => Some(UsagePeriod::Hour),
            UsageBy::Day => Some(UsagePeriod::Day),
            UsageBy::Person | UsageBy::Key | UsageBy::Model => None,
        });
        let range = UsageRange::new(*since, *until, asked, self.now, &zone).ok_or(AdminError::NoTime)?;
        let (from, until, time_zone) = (range.from(), range.until(), range.zone_name(&zone));
        let UsageRange { period, periods } = range;
        let query = UsageQuery { period, periods, account, group: groups(by), ..UsageQuery::default() };
        let rows = report(self.directory, query).await.map_err(|error| self.failed(&error))?;
        if rows.len() > MOST_ROWS {
            return Err(AdminError::TooMuchUsage(rows.len(), MOST_ROWS));
        }
        Ok(AdminReply::Usage(UsageReply { from, until, time_zone, rows }))
    }
}
