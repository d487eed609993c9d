//! Reading what users type: durations, times, methods, names, patterns.

use std::time::Duration;

use crate::limits::METHOD_BYTES_MAX;
use crate::types::{Micros, Version, format_time, parse_time};

/// A size: a number of bytes, or with `KiB`, `MiB` or `GiB` behind it.
pub fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err("expected a size like 512MiB or 4GiB".into()),
    };
    let number: u64 = number.parse().map_err(|_| "expected a size like 512MiB or 4GiB")?;
    number.checked_mul(factor).ok_or_else(|| "too large".into())
}

/// The longest duration that is believed: a hundred years.
const DURATION_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// A duration with its unit: `500ms`, `30s`, `1.5m`, `2h`, `7d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        "" => return Err("the unit is missing: write 500ms, 30s, 5m, 2h or 7d".to_owned()),
        _ => return Err("expected a number and a unit: 500ms, 30s, 5m, 2h or 7d".to_owned()),
    };
    let number: f64 = number.parse().map_err(|_| "expected a number and a unit: 500ms, 30s, 5m".to_owned())?;
    match Duration::try_from_secs_f64(number * seconds) {
        Ok(duration) if duration <= DURATION_MAX => Ok(duration),
        _ => Err("too long".to_owned()),
    }
}

/// A duration that is not zero.
pub fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("must be longer than zero".to_owned()),
        duration => Ok(duration),
    }
}

/// From one time to the next; zero for `off`.
pub fn interval(text: &str) -> Result<Duration, String> {
    match text {
        "off" | "0" => Ok(Duration::ZERO),
        text => duration(text).map_err(|why| format!("{why}, or off")),
    }
}

/// A duration as it is shown: `830ms`, `4.2s`, `4m12s`, `3h5m`, `2d4h`.
pub fn show_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{}ms", duration.as_millis()),
        1..=9 => format!("{:.1}s", duration.as_secs_f64()),
        10..=59 => format!("{seconds}s"),
        60..=3599 => format!("{}m{}s", seconds / 60, seconds % 60),
        3600..=86_399 => format!("{}h{}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d{}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// A moment: RFC 3339, or how long ago (`10m`).
pub fn moment(text: &str) -> Result<Micros, String> {
    if let Some(time) = parse_time(text) {
        return Ok(time);
    }
    match duration(text) {
        Ok(ago) => Ok(now().saturating_sub(u64::try_from(ago.as_micros()).unwrap_or(u64::MAX))),
        Err(_) => Err(format!("expected a time such as {} or how long ago, as 10m", format_time(now()))),
    }
}

/// This machine's clock.
pub fn now() -> Micros {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// A place in the log: 1 or more.
pub fn version(text: &str) -> Result<Version, String> {
    match text.parse() {
        Ok(0) => Err("versions start at 1".to_owned()),
        Ok(version) => Ok(version),
        Err(_) => Err("expected a version, a number from 1".to_owned()),
    }
}

/// A method: `[a-z][a-z0-9_]{0,63}`.
pub fn method(text: &str) -> Result<String, String> {
    if is_method(text) {
        Ok(text.to_owned())
    } else {
        Err("a method is a lower-case letter and then up to 63 of a-z, 0-9 and _".to_owned())
    }
}

/// Whether the text is a method.
pub fn is_method(text: &str) -> bool {
    let rest = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'_';
    text.len() <= METHOD_BYTES_MAX
        && text.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
        && text.as_bytes().iter().all(rest)
}

/// The name of a node.
pub fn node_name(text: &str) -> Result<String, String> {
    if crate::node::dir::is_name(text) {
        Ok(text.to_owned())
    } else {
        Err("a node's name is a letter or digit and then up to 63 of letters, digits, '.', '_' and '-'".to_owned())
    }
}

/// A pattern for methods: `*` stands for any number of characters, `?` for one.
pub fn glob(text: &str) -> Result<String, String> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '*' | '?');
    match text {
        "" => Err("the pattern is empty".to_owned()),
        _ if text.chars().all(good) => Ok(text.to_owned()),
        _ => Err("a pattern is made of a-z, 0-9, _ and of * and ?".to_owned()),
    }
}

/// A size as it is shown: `512 B`, `4.0 KiB`, `182 MiB`.
pub fn show_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    if size < 10.0 { format!("{size:.1} {}", UNITS[unit]) } else { format!("{size:.0} {}", UNITS[unit]) }
}

/// A number with its thousands apart: `501,042`.
pub fn show_number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        for (text, millis) in
            [("500ms", 500), ("30s", 30_000), ("1.5m", 90_000), ("2h", 7_200_000), ("1d", 86_400_000), ("0s", 0)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in ["30", "", "s", "-1s", "1y", "1.2.3s", "1 s", "1e9d", "99999999999999999999d", "nans", "infs"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert!(positive_duration("0ms").is_err());
        for (text, seconds) in [("off", 0), ("0", 0), ("0s", 0), ("1h", 3600)] {
            assert_eq!(interval(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert!(interval("never").unwrap_err().ends_with("or off"));
    }

    #[test]
    fn a_moment_is_a_time_or_how_long_ago() {
        assert_eq!(moment("2026-01-01T00:00:00Z"), Ok(1_767_225_600_000_000));
        let then = moment("10m").unwrap();
        let ago = now() - then;
        assert!((600_000_000..601_000_000).contains(&ago), "{ago}");
        assert!(moment("yesterday").is_err());
    }

    #[test]
    fn methods_versions_names_and_patterns_are_checked_here() {
        assert!(method("user_create").is_ok() && method(&"a".repeat(64)).is_ok());
        for bad in ["", "User", "1a", "_a", "a-b", "a b", &"a".repeat(65)] {
            assert!(method(bad).is_err(), "{bad}");
        }
        assert_eq!(version("18446744073709551615"), Ok(u64::MAX));
        for bad in ["0", "-1", "", "1.0", "18446744073709551616"] {
            assert!(version(bad).is_err(), "{bad}");
        }
        assert!(glob("user_*").is_ok() && glob("").is_err() && glob("[a]").is_err());
        assert!(node_name("n1").is_ok() && node_name("../n1").is_err());
    }

    #[test]
    fn numbers_are_shown_for_people() {
        assert_eq!(show_number(0), "0");
        assert_eq!(show_number(999), "999");
        assert_eq!(show_number(1_501_042), "1,501,042");
        assert_eq!(show_bytes(1023), "1023 B");
        assert_eq!(show_bytes(4096), "4.0 KiB");
        assert_eq!(show_bytes(190_840_832), "182 MiB");
        for (millis, text) in
            [(830, "830ms"), (4200, "4.2s"), (252_000, "4m12s"), (11_100_000, "3h5m"), (187_200_000, "2d4h")]
        {
            assert_eq!(show_duration(Duration::from_millis(millis)), text);
        }
    }
}
