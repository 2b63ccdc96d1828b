//! `gateway usage`.

use std::str::FromStr;

use clap::{Args, ValueEnum};

use jiff::civil::Date;

use super::audit::TimeArg;
use super::database::DatabaseArgs;

/// Show what people and keys used: requests, tokens and time
///
/// Counts what the upstream server reported for each request. Tokens that it did not report are estimated, and shown as such.
///
/// A date means the whole day in the gateway's time zone, and 30d means today and the 29 days before. The last two days are added up by the
/// hour unless you give a date.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
# Show what each person used in the last 30 days
ollama-auth gateway usage

# Divide the cost of a month: person and model, for a spreadsheet
ollama-auth gateway usage --by person,model --since 2026-11-01 \\
    --until 2026-12-01 --csv

# See by the hour which keys of an account are used
ollama-auth gateway usage --user ada --by hour,key --since 1d")]
pub struct GatewayUsageArgs {
    /// What a line is for: person, key, model, day, hour, or several of them
    #[arg(
        long,
        value_name = "WHAT",
        value_enum,
        value_delimiter = ',',
        default_value = "person",
        hide_possible_values = true
    )]
    pub by: Vec<UsageByArg>,
    /// From this time on: 2026-11-01, 30d, 12h or 2026-11-01T08:00:00Z
    #[arg(long, value_name = "TIME", default_value = "30d")]
    pub since: UsageTimeArg,
    /// Before this time, such as the day after the last one
    #[arg(long, value_name = "TIME")]
    pub until: Option<UsageTimeArg>,
    /// Only of this account
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Print CSV, for spreadsheets
    #[arg(long)]
    pub csv: bool,
    /// Which database
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// A point in time. In contrast to [`TimeArg`] a date stays one: which time it is depends on the time zone of the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageTimeArg {
    /// The day begins.
    Date(Date),
    /// Another time.
    Time(TimeArg),
}

impl FromStr for UsageTimeArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(date) if text.len() == 10 => Ok(Self::Date(date)),
            _ => text.parse().map(Self::Time),
        }
    }
}

/// What a line is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum UsageByArg {
    /// A person, or a workload.
    Person,
    /// An API key with its replacements, or a device.
    Key,
    /// A model.
    Model,
    /// A day.
    Day,
    /// An hour.
    Hour,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_stays_a_date() {
        assert_eq!("2026-11-01".parse(), Ok(UsageTimeArg::Date(Date::constant(2026, 11, 1))));
        assert_eq!("30d".parse(), Ok(UsageTimeArg::Time(TimeArg::Ago(30 * 86_400))));
        assert_eq!("1970-01-01T00:00:07Z".parse(), Ok(UsageTimeArg::Time(TimeArg::At(7))));
        for wrong in ["", "2026-11", "2026-11-31", "2026-11-01T08:00:00", "yesterday"] {
            assert!(wrong.parse::<UsageTimeArg>().is_err(), "{wrong}");
        }
    }
}
