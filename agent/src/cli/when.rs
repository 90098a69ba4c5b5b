//! Times as people write and read them.
//!
//! It is told what time it is and where; it never asks.

use hearth_core::Moment;
use jiff::{Timestamp, Zoned, civil, tz::TimeZone};

use crate::config::{NotSo, Span};

/// A moment as a flag takes it: a date, a date and time, or a span that lies back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum When {
    /// So long ago.
    Ago(Span),
    /// The beginning of a day, or a time of it, where the reader is.
    Local(civil::DateTime),
    /// One moment, wherever.
    Exact(Timestamp),
}

impl std::str::FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let span: Result<Span, NotSo> = text.parse();
        match span {
            Ok(span) => Ok(Self::Ago(span)),
            Err(_) if text.parse::<Timestamp>().is_ok() => {
                text.parse().map(Self::Exact).map_err(|error: jiff::Error| error.to_string())
            }
            Err(_) => text
                .parse::<civil::DateTime>()
                .or_else(|_| text.parse::<civil::Date>().map(civil::Date::to_datetime_start))
                .map(Self::Local)
                .map_err(|_| {
                    format!("`{text}` is not a time; write 2026-03-24, 2026-03-24T18:30 or, for so long ago, 7d")
                }),
        }
    }
}

/// The start of a day.
trait Start {
    fn to_datetime_start(self) -> civil::DateTime;
}

impl Start for civil::Date {
    fn to_datetime_start(self) -> civil::DateTime {
        self.at(0, 0, 0, 0)
    }
}

impl When {
    /// As a moment, seen from `now` in `zone`. Times before 1970 are 1970.
    pub fn moment(&self, now: Moment, zone: &TimeZone) -> Moment {
        match self {
            Self::Ago(span) => now - span.duration(),
            Self::Exact(at) => of_timestamp(*at),
            Self::Local(at) => at.to_zoned(zone.clone()).map_or(Moment::START, |zoned| of_timestamp(zoned.timestamp())),
        }
    }
}

fn of_timestamp(at: Timestamp) -> Moment {
    Moment::from_millis(u64::try_from(at.as_millisecond()).unwrap_or(0))
}

/// What time it is there, `None` beyond the year 9999.
fn zoned(moment: Moment, zone: &TimeZone) -> Option<Zoned> {
    let at = Timestamp::from_millisecond(i64::try_from(moment.as_millis()).ok()?).ok()?;
    Some(at.to_zoned(zone.clone()))
}

/// A time in a few words: `just now`, `5 min ago`, `3 h ago`, `yesterday`, `6 days ago`, then the date.
pub fn ago(moment: Moment, now: Moment, zone: &TimeZone) -> String {
    let seconds = now.since(moment).as_secs();
    let days = match (zoned(moment, zone), zoned(now, zone)) {
        (Some(then), Some(now)) => then.date().until(now.date()).map_or(i32::MAX, |span| span.get_days()),
        _ => i32::MAX,
    };
    match (seconds, days) {
        // A clock may be a little ahead.
        _ if moment.since(now).as_secs() >= 60 => date(moment, zone),
        (0..60, _) => "just now".into(),
        (60..3600, _) => format!("{} min ago", seconds / 60),
        (_, 0) => format!("{} h ago", seconds / 3600),
        (_, 1) => "yesterday".into(),
        (_, 2..=6) => format!("{days} days ago"),
        _ => date(moment, zone),
    }
}

/// The day, such as `2026-03-24`.
pub fn date(moment: Moment, zone: &TimeZone) -> String {
    zoned(moment, zone).map_or_else(|| "in the far future".into(), |at| at.strftime("%Y-%m-%d").to_string())
}

/// The minute, such as `2026-03-24 18:30`.
pub fn minute(moment: Moment, zone: &TimeZone) -> String {
    zoned(moment, zone).map_or_else(|| "in the far future".into(), |at| at.strftime("%Y-%m-%d %H:%M").to_string())
}

/// The clock when it is today, else the minute.
pub fn clock(moment: Moment, now: Moment, zone: &TimeZone) -> String {
    match (zoned(moment, zone), zoned(now, zone)) {
        (Some(at), Some(today)) if at.date() == today.date() => at.strftime("%H:%M").to_string(),
        _ => minute(moment, zone),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment::from_millis(1_774_378_800_000); // 2026-03-24T19:00:00Z

    #[test]
    fn a_time_is_told_in_a_few_words() {
        let zone = TimeZone::UTC;
        let minutes = |n: u64| NOW - std::time::Duration::from_secs(n * 60);
        for (case, moment, expected) in [
            ("now", NOW, "just now"),
            ("minutes", minutes(5), "5 min ago"),
            ("today", minutes(180), "3 h ago"),
            ("yesterday evening", minutes(21 * 60), "yesterday"),
            ("this week", minutes(4 * 1440), "4 days ago"),
            ("long ago", minutes(40 * 1440), "2026-02-12"),
            ("a clock that was ahead", NOW + std::time::Duration::from_secs(86_400), "2026-03-25"),
            ("a clock a little ahead", NOW + std::time::Duration::from_secs(5), "just now"),
            ("beyond reckoning", Moment::from_millis(u64::MAX), "in the far future"),
        ] {
            assert_eq!(ago(moment, NOW, &zone), expected, "{case}");
        }
    }

    #[test]
    fn a_time_is_written_as_a_date_or_as_how_long_ago() {
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        for (case, text, expected) in [
            ("so long ago", "1d", Ok(1_774_292_400_000)),
            ("a day where the reader is", "2026-03-24", Ok(1_774_306_800_000)),
            ("a minute", "2026-03-24T18:30", Ok(1_774_373_400_000)),
            ("an exact moment", "2026-03-24T19:00:00Z", Ok(1_774_378_800_000)),
            ("before all time", "1950-01-01", Ok(0)),
            ("no time", "soon", Err(())),
        ] {
            let got = text.parse::<When>().map(|when| when.moment(NOW, &zone).as_millis()).map_err(|_| ());
            assert_eq!(got, expected, "{case}");
        }
    }
}
