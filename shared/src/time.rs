//! Lengths of time and times, as people write them.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use crate::ids::quoted;

/// Which units a length of time may have, each with its seconds, the largest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Units {
    /// Weeks, days and hours: what retention rules say.
    ToHours,
    /// Minutes and seconds, too: how old an execution is that is made up.
    ToSeconds,
}

/// The word for minutes is `min`: `m` could be read as months.
const UNITS: [(&str, i64); 5] = [("w", 604_800), ("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];

impl Units {
    fn known(self) -> impl Iterator<Item = &'static (&'static str, i64)> {
        let count = match self {
            Self::ToHours => 3,
            Self::ToSeconds => 5,
        };
        UNITS.iter().take(count)
    }

    /// What to say of a text that has not the documented form.
    fn problem(self, input: &str) -> DurationError {
        let mut words = input.split(|letter: char| !letter.is_alphabetic());
        if words.clone().any(|word| word.eq_ignore_ascii_case("m")) {
            return DurationError::MinutesOrMonths(self);
        }
        let calendar = ["mo", "mos", "month", "months", "y", "yr", "yrs", "year", "years"];
        if words.any(|word| calendar.iter().any(|unit| word.eq_ignore_ascii_case(unit))) {
            return DurationError::NotFixed(self);
        }
        DurationError::Form(self)
    }

    const fn usage(self) -> &'static str {
        match self {
            Self::ToHours => "write weeks, days and hours, such as \"90d\", \"2w\" or \"1d 12h\"",
            Self::ToSeconds => {
                "write weeks, days, hours, minutes and seconds, such as \"90d\" or \"1h 59min 59s\""
            }
        }
    }
}

/// Why a text is no length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DurationError {
    /// It has not the documented form.
    Form(Units),
    /// It has the unit `m`.
    MinutesOrMonths(Units),
    /// It has months or years.
    NotFixed(Units),
    /// It has more seconds than can be counted.
    TooLong,
}

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form(units) => f.write_str(units.usage()),
            Self::MinutesOrMonths(units) => write!(f, "m could mean minutes or months; {}", units.usage()),
            Self::NotFixed(units) => write!(f, "months and years have no fixed length; {}", units.usage()),
            Self::TooLong => f.write_str("this is too long"),
        }
    }
}

/// Reads a length of time: `DURATION = Nw[ Nd][ Nh] | Nd[ Nh] | Nh`, where N is a whole number without a leading zero; with
/// [`Units::ToSeconds`] `min` and `s` follow `h` in the same way. A day has 24 hours.
///
/// # Errors
/// When the text has another form. There is no sign, no fraction and no other blank.
pub fn duration(input: &str, units: Units) -> Result<SignedDuration, DurationError> {
    let mut known = units.known();
    let mut total = 0_i64;
    for part in input.split(' ') {
        let unit = part.trim_start_matches(|letter: char| letter.is_ascii_digit());
        let number = part.strip_suffix(unit).unwrap_or_default();
        let has_leading_zero = number.len() > 1 && number.starts_with('0');
        // The units that were passed over cannot come any more: each is there once at most, the largest first.
        let seconds = known.find(|(name, _)| *name == unit).map(|(_, seconds)| seconds);
        let Some(seconds) = seconds.filter(|_| !number.is_empty() && !has_leading_zero) else {
            return Err(units.problem(input));
        };
        let length = number.parse::<i64>().ok().and_then(|number| number.checked_mul(*seconds));
        total = length.and_then(|length| total.checked_add(length)).ok_or(DurationError::TooLong)?;
    }
    Ok(SignedDuration::from_secs(total))
}

/// Reads a time, such as `2026-11-23T07:00:00Z`.
///
/// # Errors
/// When it is none, or before 1970.
pub fn timestamp(input: &str) -> Result<Timestamp, String> {
    let time = input.parse().ok().filter(|time| *time >= Timestamp::UNIX_EPOCH);
    time.ok_or_else(|| format!("{} must be a time such as 2026-11-23T07:00:00Z, from 1970 on", quoted(input)))
}

#[cfg(test)]
mod tests {
    use super::*;

    use Units::{ToHours, ToSeconds};

    #[test]
    fn a_length_of_time_has_the_documented_form() {
        let hours = |hours| Ok(SignedDuration::from_hours(hours));
        for (text, length) in [
            ("1h", 1),
            ("90d", 2160),
            ("36h", 36),
            ("1d 12h", 36),
            ("2w", 336),
            ("1w 1d 1h", 193),
            ("1w 1h", 169),
            ("0d", 0),
        ] {
            assert_eq!(duration(text, ToHours), hours(length), "{text}");
            assert_eq!(duration(text, ToSeconds), hours(length), "{text}");
        }
        let seconds = |seconds| Ok(SignedDuration::from_secs(seconds));
        for (text, length) in
            [("59min", 3540), ("1h 59min 59s", 7199), ("90s", 90), ("0s", 0), ("1d 1s", 86_401)]
        {
            assert_eq!(duration(text, ToHours), Err(DurationError::Form(ToHours)), "{text}");
            assert_eq!(duration(text, ToSeconds), seconds(length), "{text}");
        }
    }

    #[test]
    fn nothing_that_is_not_documented_is_a_length_of_time() {
        for text in [
            "",
            " ",
            "90",
            "d",
            "90 d",
            " 90d",
            "90d ",
            "90d\t",
            "90d\n",
            "1d  12h",
            "1d12h",
            "1d, 12h",
            "1d\t12h",
            "12h 1d",
            "1d 1d",
            "+1d",
            "-1d",
            "1d ago",
            "1 day ago",
            "1day",
            "1days",
            "1D",
            "1W",
            "1.5d",
            "1,000h",
            "1_000h",
            "01d",
            "00d",
            "P1D",
            "PT1H",
            "p1d",
            "24:00:00",
            "1d 24:00:00",
            "soon",
            "never",
            "１d",
            "1ｄ",
            "1h\0",
            "3600000ms",
            "1us",
            "1ns",
            "1hr",
            "1hour",
            "1wk",
            "0x1d",
            "1e3h",
        ] {
            for units in [ToHours, ToSeconds] {
                assert_eq!(duration(text, units), Err(DurationError::Form(units)), "{text:?}");
            }
        }
        for text in ["60m", "1h 30m", "1M", "P1M", "PT60M", "6 m"] {
            for units in [ToHours, ToSeconds] {
                assert_eq!(duration(text, units), Err(DurationError::MinutesOrMonths(units)), "{text:?}");
            }
        }
        for text in ["1mo", "2mos", "1 month", "6months", "1y", "1yr", "2 years", "P1Y"] {
            for units in [ToHours, ToSeconds] {
                assert_eq!(duration(text, units), Err(DurationError::NotFixed(units)), "{text:?}");
            }
        }
        for text in
            ["9223372036854775807w", "15250284452472w", "99999999999999999999s", "9223372036854775807s 1s"]
        {
            assert!(duration(text, ToSeconds).is_err(), "{text:?}");
        }
        assert_eq!(duration("99999999999999999999d", ToHours), Err(DurationError::TooLong));
    }

    #[test]
    fn a_time_is_from_1970_on() {
        assert_eq!(timestamp("1970-01-01T00:00:00Z"), Ok(Timestamp::UNIX_EPOCH));
        for text in ["1969-12-31T23:59:59Z", "-000001-01-01T00:00:00Z", "-009999-01-02T01:59:59Z", "noon", ""]
        {
            let told = format!("`{text}` must be a time such as 2026-11-23T07:00:00Z, from 1970 on");
            assert_eq!(timestamp(text), Err(told));
        }
    }
}
