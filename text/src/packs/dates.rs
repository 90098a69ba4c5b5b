//! Dates: in digits, with a month in words, with the time of day, and years of which prose says that they are years.
//!
//! A date behind a word of birth is one of birth. Each reading is bounded; a day or a month that is none makes no date.

use crate::class::Class;
use crate::numbers::context;

const BORN: &[&str] = &[
    "dob",
    "birth",
    "born",
    "birthdate",
    "birthday",
    "date of birth",
    "geboren",
    "geburtsdatum",
    "date_of_birth",
    "née",
    "nacido",
];

/// Words by which two digits are known for a year's.
const DATED: &[&str] = &["on", "date", "dated", "today", "since", "until", "due", "expires", "valid", "from", "issued"];

/// Words right before a year.
const YEARS: &[&str] =
    &["in", "during", "since", "of", "year", "from", "until", "till", "circa", "by", "before", "after"];

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// A date that begins at `at`: where it ends, and whether it is one of birth.
pub(super) fn find_date(text: &[u8], at: usize) -> Option<(usize, Class)> {
    let end = if text[at].is_ascii_digit() {
        in_digits(text, at).or_else(|| day_first(text, at)).or_else(|| year_alone(text, at))
    } else {
        month_first(text, at)
    }?;
    Some((end, if context(text, at, BORN) { Class::Dob } else { Class::Date }))
}

/// Reads one to four digits: their number and where they end.
fn number(text: &[u8], at: usize) -> Option<(u32, usize)> {
    let n = text.get(at..)?.iter().take(5).take_while(|b| b.is_ascii_digit()).count();
    let value = text[at..at + n].iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    (1..=4).contains(&n).then_some((value, at + n))
}

/// Tells whether a date may end here.
fn ends(text: &[u8], end: usize) -> bool {
    let b = text.get(end).copied().unwrap_or(b' ');
    let goes_on = matches!(b, b'.' | b'-' | b'/') && text.get(end + 1).is_some_and(u8::is_ascii_digit);
    !(b.is_ascii_alphanumeric() || b == b'_' || goes_on)
}

fn day(value: u32) -> bool {
    (1..=31).contains(&value)
}

fn month(value: u32) -> bool {
    (1..=12).contains(&value)
}

/// `1968-07-09`, `7/9/1968`, `09.07.1968`, and with two digits for the year behind a word that says so.
fn in_digits(text: &[u8], at: usize) -> Option<usize> {
    let (first, one) = number(text, at)?;
    let sign = *text.get(one).filter(|b| matches!(b, b'-' | b'/' | b'.'))?;
    let (second, two) = number(text, one + 1)?;
    let (third, three) = (text.get(two) == Some(&sign)).then(|| number(text, two + 1))??;
    let lengths = (one - at, two - one - 1, three - two - 1);
    let end = match lengths {
        (4, 1 | 2, 1 | 2) if sign != b'.' && month(second) && day(third) => past_time(text, three),
        (1 | 2, 1 | 2, 4) => {
            let either = day(first) && month(second) || sign != b'.' && month(first) && day(second);
            either.then(|| past_time(text, three))?
        }
        (1 | 2, 1 | 2, 2) if sign != b'.' => {
            let either = day(first) && month(second) || month(first) && day(second);
            (either && (context(text, at, DATED) || context(text, at, BORN))).then_some(three)?
        }
        _ => return None,
    };
    // A year of today's people: what has other numbers is a release or a path.
    let year = if lengths.0 == 4 { first } else { third };
    (ends(text, end) && (lengths.2 == 2 && lengths.0 != 4 || (1800..2200).contains(&year))).then_some(end)
}

/// Skips the time of day: `T14:30:00.123Z`, ` 12:45:18`, `-05:00`.
fn past_time(text: &[u8], end: usize) -> usize {
    let two = |at: usize, most: u32| {
        number(text, at).filter(|(value, end)| *value <= most && end - at == 2).map(|(_, end)| end)
    };
    let colon = |at: usize| (text.get(at) == Some(&b':')).then_some(at + 1);
    let lead = matches!(text.get(end), Some(b'T' | b't' | b' '));
    let Some(mut at) = lead.then(|| two(end + 1, 23).and_then(colon).and_then(|at| two(at, 59))).flatten() else {
        return end;
    };
    if let Some(seconds) = colon(at).and_then(|at| two(at, 60)) {
        at = seconds;
        if text.get(at) == Some(&b'.') {
            at += 1 + text[at + 1..].iter().take(9).take_while(|b| b.is_ascii_digit()).count();
        }
    }
    match text.get(at) {
        Some(b'Z' | b'z') => at + 1,
        Some(b'+' | b'-') => two(at + 1, 14).map_or(at, |hours| colon(hours).and_then(|m| two(m, 59)).unwrap_or(hours)),
        _ => at,
    }
}

/// The month whose name, whole or its first three letters, stands at `at`: where the name ends.
fn month_name(text: &[u8], at: usize) -> Option<usize> {
    let n = text.get(at..)?.iter().take(10).take_while(|b| b.is_ascii_alphabetic()).count();
    let word = &text[at..at + n];
    let known = |name: &&str| {
        word.eq_ignore_ascii_case(name.as_bytes()) || n == 3 && word.eq_ignore_ascii_case(&name.as_bytes()[..3])
    };
    let dot = usize::from(n == 3 && text.get(at + n) == Some(&b'.'));
    (word.first().is_some_and(u8::is_ascii_uppercase) && MONTHS.iter().any(known)).then_some(at + n + dot)
}

fn blank(text: &[u8], at: usize) -> Option<usize> {
    matches!(text.get(at), Some(b' ' | b'-')).then_some(at + 1)
}

/// `st`, `nd`, `rd`, `th` behind a day.
fn past_ordinal(text: &[u8], at: usize) -> usize {
    let ending = [&b"st"[..], b"nd", b"rd", b"th"].into_iter().any(|end| text[at..].starts_with(end));
    at + if ending { 2 } else { 0 }
}

/// A year of four digits at `at`: where it ends.
fn year(text: &[u8], at: usize) -> Option<usize> {
    let (value, end) = number(text, at)?;
    (end - at == 4 && (1800..2200).contains(&value) && ends(text, end)).then_some(end)
}

/// `5 March 2020`, `5th of March 2020`.
fn day_first(text: &[u8], at: usize) -> Option<usize> {
    let (value, end) = number(text, at).filter(|(_, end)| end - at <= 2)?;
    let mut next = blank(text, past_ordinal(text, end)).filter(|_| day(value))?;
    if text[next..].starts_with(b"of ") {
        next += 3;
    }
    let named = month_name(text, next)?;
    let comma = named + usize::from(text.get(named) == Some(&b','));
    year(text, blank(text, comma)?)
}

/// `March 5, 2020`, `March 2020`.
fn month_first(text: &[u8], at: usize) -> Option<usize> {
    let next = blank(text, month_name(text, at)?)?;
    if let Some(end) = year(text, next) {
        return Some(end);
    }
    let (value, end) = number(text, next).filter(|(value, end)| end - next <= 2 && day(*value))?;
    let end = past_ordinal(text, end);
    let comma = end + usize::from(text.get(end) == Some(&b','));
    year(text, blank(text, comma)?).filter(|_| day(value))
}

/// A year right behind a word that goes before years: `in 1975`.
fn year_alone(text: &[u8], at: usize) -> Option<usize> {
    let (value, end) = number(text, at).filter(|(_, end)| end - at == 4)?;
    let lead = &text[at.saturating_sub(12)..at].strip_suffix(b" ")?;
    let word = lead.iter().rposition(|b| !b.is_ascii_alphabetic()).map_or(0, |i| i + 1);
    let said = YEARS.iter().any(|year| lead[word..].eq_ignore_ascii_case(year.as_bytes()));
    let range = (1900..2040).contains(&value);
    // `of 2000 bytes` counts something.
    let unit =
        text.get(end) == Some(&b' ') && text.get(end + 1).is_some_and(u8::is_ascii_lowercase) && value % 100 == 0;
    (said && range && !unit && ends(text, end) && text.get(end) != Some(&b'-')).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_in_every_dress_and_no_other_numbers() {
        for (case, text, found) in [
            ("ISO", "on 2024-03-15 it", Some("2024-03-15")),
            ("with the time", "On 2018-02-24 12:45:18, it", Some("2018-02-24 12:45:18")),
            ("with fractions and zone", "is,2024-03-15T14:30:00.123456Z or", Some("2024-03-15T14:30:00.123456Z")),
            ("with an offset", "2024-03-15T14:30:00-05:00 or", Some("2024-03-15T14:30:00-05:00")),
            ("without seconds", "2024-03-15T14:30Z", Some("2024-03-15T14:30Z")),
            ("dashes, the month first", "5-20-2021 is", Some("5-20-2021")),
            ("two digits for the year", "dated 21/05/21.", Some("21/05/21")),
            ("two digits that nothing speaks of", "ratio 21/05/21.", None),
            ("in words", "on 5 March 2020 we", Some("5 March 2020")),
            ("in words, with the ordinal", "the 5th of March 2020,", Some("5th of March 2020")),
            ("in words, the month first", "on Mar. 5, 2020 we", Some("Mar. 5, 2020")),
            ("a month and a year", "since March 2020.", Some("March 2020")),
            ("a year", "founded in 1975 (though", Some("1975")),
            ("a year of an act", "Act of 2004 says", Some("2004")),
            ("a number of things", "of 2000 bytes", None),
            ("a number alone", "took 1975 steps", None),
            ("a year that goes on", "in 1975-76", None),
            ("a verb", "may 5, 2020", None),
            ("a month that is none", "2024-13-15", None),
            ("a day that is none", "32.07.1968", None),
            ("a release", "version 10.20.3000", None),
        ] {
            let bytes = text.as_bytes();
            let begins =
                |at: &usize| *at == 0 || !(bytes[at - 1].is_ascii_alphanumeric() || b"-./".contains(&bytes[at - 1]));
            let at = (0..text.len()).filter(begins).find_map(|at| Some((at, find_date(bytes, at)?.0)));
            assert_eq!(at.map(|(start, end)| &text[start..end]), found, "{case}: {text}");
        }
    }

    #[test]
    fn a_date_behind_a_word_of_birth_is_one_of_birth() {
        for (text, class) in [
            ("born 1968-07-09", Class::Dob),
            ("dob: 9/7/68", Class::Dob),
            ("born on 9 July 1968", Class::Dob),
            ("built 1968-07-09", Class::Date),
        ] {
            let at = text.find(|c: char| c.is_ascii_digit()).expect("each has one");
            assert_eq!(find_date(text.as_bytes(), at).map(|(_, class)| class), Some(class), "{text}");
        }
    }
}
