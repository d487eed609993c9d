//! Time as records carry it: microseconds since 1970, UTC, written as RFC 3339.

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;

/// Microseconds since 1970-01-01T00:00:00Z.
pub type Micros = u64;

/// RFC 3339 in UTC with exactly six digits of a second; what does not fit a calendar is clamped to its end.
pub fn format_time(time: Micros) -> String {
    const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(6));
    let time = i64::try_from(time).unwrap_or(i64::MAX);
    let time = Timestamp::from_microsecond(time).unwrap_or(Timestamp::MAX);
    PRINTER.timestamp_to_string(&time)
}

/// Reads RFC 3339 back; `None` for anything else and for times before 1970.
pub fn parse_time(text: &str) -> Option<Micros> {
    let time: Timestamp = text.parse().ok()?;
    u64::try_from(time.as_microsecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_written_with_six_digits_and_read_back() {
        let text = format_time(1_767_225_600_000_120);
        assert_eq!(text, "2026-01-01T00:00:00.000120Z");
        assert_eq!(parse_time(&text), Some(1_767_225_600_000_120));
        assert_eq!(format_time(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(parse_time("yesterday"), None);
    }
}
