//! Packs: numbers that states and offices give to people, companies and vehicles.
//!
//! Off unless asked for, since many are short. Each has a form; one with check digits may stand where it likes if the form
//! is rare, and the others need a word before them that says what they are, or a line of their own.

use std::{cell::OnceCell, sync::LazyLock};

use crate::checks::{day_month, luhn, mod11_10, number, rest97, verhoeff, weighted};
use crate::class::{Class, Span};
use crate::numbers::{Lead, alone};

mod countries;
mod dates;

pub use countries::{NoPack, Packs};

/// What a number needs beside its form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Needs {
    /// Nothing: form and check digits are rare enough.
    Nothing,
    /// A word of [`Rule::words`] before it, or a line of its own.
    WordOrLine,
    /// A word before it.
    Word,
}

/// One kind of number.
struct Rule {
    class: Class,
    /// `9` is a digit, `A` a letter, `X` either, `~` perhaps one separator, `:` exactly one; all else stands for itself.
    form: &'static str,
    /// What its characters, without separators and in capitals, must fulfil.
    check: fn(&[u8]) -> bool,
    needs: Needs,
    words: &'static [&'static str],
}

const fn rule(
    class: Class,
    form: &'static str,
    check: fn(&[u8]) -> bool,
    needs: Needs,
    words: &'static [&'static str],
) -> Rule {
    Rule { class, form, check, needs, words }
}

fn any(_: &[u8]) -> bool {
    true
}

/// The remainder by 11 of digits times weights, with `least` and the weights falling by one.
fn falling11(d: &[u8], from: u32) -> u32 {
    d.iter().zip((1..=from).rev()).map(|(b, weight)| u32::from(b - b'0') * weight).sum::<u32>() % 11
}

fn varied(d: &[u8]) -> bool {
    d.iter().any(|b| *b != d[0])
}

fn date6(d: &[u8]) -> bool {
    day_month(number(&d[4..6]), number(&d[2..4]))
}

fn nhs(d: &[u8]) -> bool {
    let rest = 11 - falling11(&d[..9], 10);
    varied(d) && (if rest == 11 { 0 } else { rest }) == u32::from(d[9] - b'0')
}

fn aba(d: &[u8]) -> bool {
    matches!(number(&d[..2]), 0..=12 | 21..=32 | 61..=72 | 80)
        && varied(d)
        && weighted(d, &[3, 7, 1, 3, 7, 1, 3, 7, 1]).is_multiple_of(10)
}

fn abn(d: &[u8]) -> bool {
    d[0] != b'0' && (weighted(d, &[10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19]) - 10).is_multiple_of(89)
}

fn acn(d: &[u8]) -> bool {
    varied(d) && (10 - weighted(&d[..8], &[8, 7, 6, 5, 4, 3, 2, 1]) % 10) % 10 == u32::from(d[8] - b'0')
}

fn tfn(d: &[u8]) -> bool {
    varied(d) && weighted(d, &[1, 4, 3, 7, 5, 8, 6, 9, 10]).is_multiple_of(11)
}

fn medicare(d: &[u8]) -> bool {
    matches!(d[0], b'2'..=b'6') && weighted(&d[..8], &[1, 3, 7, 9, 1, 3, 7, 9]) % 10 == u32::from(d[8] - b'0')
}

fn belgian(d: &[u8]) -> bool {
    let (body, check) = (number(&d[..9]), number(&d[9..]));
    rest97(body, check) || rest97(2_000_000_000 + body, check)
}

fn swiss(d: &[u8]) -> bool {
    (10 - weighted(&d[..12], &[1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3]) % 10) % 10 == u32::from(d[12] - b'0')
}

fn spanish(d: &[u8]) -> bool {
    const LETTERS: &[u8; 23] = b"TRWAGMYFPDXBNJZSQVHLCKE";
    let last = d[d.len() - 1];
    let body = match d[0] {
        b'X' => number(&d[1..d.len() - 1]),
        b'Y' => 10_000_000 + number(&d[1..d.len() - 1]),
        b'Z' => 20_000_000 + number(&d[1..d.len() - 1]),
        b'0'..=b'9' => number(&d[..d.len() - 1]),
        _ => return false,
    };
    LETTERS[(body % 23) as usize] == last
}

fn finnish(d: &[u8]) -> bool {
    const SIGNS: &[u8; 31] = b"0123456789ABCDEFHJKLMNPRSTUVWXY";
    let digits: Vec<u8> = d[..6].iter().chain(&d[d.len() - 4..d.len() - 1]).copied().collect();
    day_month(number(&d[..2]), number(&d[2..4])) && SIGNS[(number(&digits) % 31) as usize] == d[d.len() - 1]
}

fn french(d: &[u8]) -> bool {
    matches!(d[0], b'1' | b'2') && rest97(number(&d[..13]), number(&d[13..]))
}

fn german_pension(d: &[u8]) -> bool {
    let letter = d[8] - b'A' + 1;
    let digits: Vec<u8> = d[..8]
        .iter()
        .copied()
        .chain([b'0' + letter / 10, b'0' + letter % 10])
        .chain(d[9..11].iter().copied())
        .collect();
    let sum: u32 = digits
        .iter()
        .zip([2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1])
        .map(|(b, w)| {
            let p = u32::from(b - b'0') * w;
            p / 10 + p % 10
        })
        .sum();
    sum % 10 == u32::from(d[11] - b'0')
}

fn german_health(d: &[u8]) -> bool {
    let letter = d[0] - b'A' + 1;
    let digits: Vec<u8> = [b'0' + letter / 10, b'0' + letter % 10].into_iter().chain(d[1..9].iter().copied()).collect();
    let sum: u32 = digits
        .iter()
        .enumerate()
        .map(|(i, b)| {
            let p = u32::from(b - b'0') * if i % 2 == 0 { 1 } else { 2 };
            p / 10 + p % 10
        })
        .sum();
    sum % 10 == u32::from(d[9] - b'0')
}

/// Check digit 7-3-1 over letters (A = 10) and digits, as travel documents have it.
fn travel(d: &[u8]) -> bool {
    let value = |b: u8| if b.is_ascii_digit() { u32::from(b - b'0') } else { u32::from(b - b'A') + 10 };
    let Some((last, body)) = d.split_last() else { return false };
    last.is_ascii_digit()
        && body.iter().enumerate().map(|(i, b)| value(*b) * [7, 3, 1][i % 3]).sum::<u32>() % 10
            == u32::from(last - b'0')
}

fn german_tax(d: &[u8]) -> bool {
    d[0] != b'0' && varied(d) && mod11_10(d)
}

fn german_vat(d: &[u8]) -> bool {
    d[2] != b'0' && mod11_10(&d[2..])
}

fn italian(d: &[u8]) -> bool {
    const ODD: [u32; 36] = [
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16,
        10, 22, 25, 24, 23,
    ];
    let sum: u32 = d[..15]
        .iter()
        .enumerate()
        .map(|(i, b)| {
            let digit = b.is_ascii_digit();
            let value = if digit { b - b'0' } else { b - b'A' };
            if i % 2 == 0 { ODD[usize::from(value) + if digit { 0 } else { 10 }] } else { u32::from(value) }
        })
        .sum();
    d[15] == b'A' + (sum % 26) as u8
}

fn luhn_varied(d: &[u8]) -> bool {
    varied(d) && luhn(d)
}

fn swedish(d: &[u8]) -> bool {
    let ten = &d[d.len() - 10..];
    luhn_varied(ten) && (1..=12).contains(&number(&ten[2..4])) && matches!(number(&ten[4..6]), 1..=31 | 61..=91)
}

fn swedish_company(d: &[u8]) -> bool {
    luhn(d) && number(&d[2..4]) >= 20
}

fn dutch(d: &[u8]) -> bool {
    varied(d) && (weighted(&d[..8], &[9, 8, 7, 6, 5, 4, 3, 2]) + 10 * u32::from(d[8] - b'0')).is_multiple_of(11)
}

fn polish(d: &[u8]) -> bool {
    (10 - weighted(&d[..10], &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3]) % 10) % 10 == u32::from(d[10] - b'0')
        && (1..=31).contains(&number(&d[4..6]))
        && (1..=12).contains(&(number(&d[2..4]) % 20))
}

fn portuguese(d: &[u8]) -> bool {
    let rest = falling11(&d[..8], 9);
    matches!(d[0], b'1' | b'2' | b'3' | b'5' | b'6' | b'8' | b'9')
        && (if rest < 2 { 0 } else { 11 - rest }) == u32::from(d[8] - b'0')
}

fn turkish(d: &[u8]) -> bool {
    let v: Vec<i32> = d.iter().map(|b| i32::from(b - b'0')).collect();
    let odd: i32 = v[..9].iter().step_by(2).sum();
    let even: i32 = v[1..8].iter().step_by(2).sum();
    v[0] != 0 && (odd * 7 - even).rem_euclid(10) == v[9] && v[..10].iter().sum::<i32>() % 10 == v[10]
}

fn thai(d: &[u8]) -> bool {
    let sum: u32 = d[..12].iter().zip((2..=13).rev()).map(|(b, weight)| u32::from(b - b'0') * weight).sum();
    d[0] != b'0' && varied(d) && (11 - sum % 11) % 10 == u32::from(d[12] - b'0')
}

fn korean(d: &[u8]) -> bool {
    date6(d) && matches!(d[6], b'1'..=b'8')
}

fn korean_company(d: &[u8]) -> bool {
    let sum = weighted(&d[..9], &[1, 3, 7, 1, 3, 7, 1, 3, 5]) + u32::from(d[8] - b'0') * 5 / 10;
    (10 - sum % 10) % 10 == u32::from(d[9] - b'0')
}

fn npi(d: &[u8]) -> bool {
    let whole: Vec<u8> = b"80840".iter().chain(d).copied().collect();
    matches!(d[0], b'1' | b'2') && luhn(&whole)
}

fn itin(d: &[u8]) -> bool {
    d[0] == b'9' && matches!(number(&d[3..5]), 50..=65 | 70..=88 | 90..=92 | 94..=99)
}

fn dea(d: &[u8]) -> bool {
    let v: Vec<u32> = d[d.len() - 7..].iter().map(|b| u32::from(b - b'0')).collect();
    (v[0] + v[2] + v[4] + 2 * (v[1] + v[3] + v[5])) % 10 == v[6]
}

fn aadhaar(d: &[u8]) -> bool {
    d[0] >= b'2' && varied(d) && verhoeff(d)
}

fn pan(d: &[u8]) -> bool {
    matches!(d[3], b'A' | b'B' | b'C' | b'F' | b'G' | b'H' | b'J' | b'L' | b'P' | b'T')
}

fn nino(d: &[u8]) -> bool {
    !matches!(d[0], b'D' | b'F' | b'I' | b'Q' | b'U' | b'V')
        && !matches!(d[1], b'D' | b'F' | b'I' | b'O' | b'Q' | b'U' | b'V')
        && matches!(d[8], b'A'..=b'D')
        && !matches!(&d[..2], b"BG" | b"GB" | b"NK" | b"KN" | b"TN" | b"NT" | b"ZZ")
}

fn nric(d: &[u8]) -> bool {
    matches!(d[0], b'S' | b'T' | b'F' | b'G' | b'M')
}

fn south_african(d: &[u8]) -> bool {
    date6(d) && luhn(d)
}

fn brazilian(d: &[u8]) -> bool {
    let digit = |body: &[u8], first: u32| {
        body.iter().zip((2..=first).rev()).map(|(b, weight)| u32::from(b - b'0') * weight).sum::<u32>() * 10 % 11 % 10
    };
    varied(d) && digit(&d[..9], 10) == u32::from(d[9] - b'0') && digit(&d[..10], 11) == u32::from(d[10] - b'0')
}

fn imei(d: &[u8]) -> bool {
    varied(d) && luhn(d)
}

fn mobile_of_manila(d: &[u8]) -> bool {
    d.starts_with(b"09") || d.starts_with(b"639")
}

fn mobile_of_ankara(d: &[u8]) -> bool {
    d[d.len() - 10] == b'5'
}

fn plate_of_turkey(d: &[u8]) -> bool {
    const MONTHS: [&[u8]; 12] =
        [b"JAN", b"FEB", b"MAR", b"APR", b"MAY", b"JUN", b"JUL", b"AUG", b"SEP", b"OCT", b"NOV", b"DEC"];
    (1..=81).contains(&number(&d[..2])) && !MONTHS.iter().any(|month| d[2..].starts_with(month))
}

/// A surname filled up with nines, a date (fifty is added to a woman's month), initials filled up with a nine.
fn british_driver(d: &[u8]) -> bool {
    let name = d[..5].iter().take_while(|b| b.is_ascii_alphabetic()).count();
    let initial = |b: u8| b.is_ascii_alphabetic() || b == b'9';
    name > 0
        && d[name..5].iter().all(|b| *b == b'9')
        && day_month(number(&d[8..10]), number(&d[6..8]) % 50)
        && number(&d[6..8]) <= 62
        && initial(d[11])
        && initial(d[12])
}

fn chinese(d: &[u8]) -> bool {
    let sum = weighted(&d[..17], &[7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]);
    matches!(&d[6..8], b"19" | b"20")
        && day_month(number(&d[12..14]), number(&d[10..12]))
        && b"10X98765432"[(sum % 11) as usize] == d[17]
}

use Class as C;
use Needs::{Nothing, Word, WordOrLine};

const PASSPORT: &[&str] = &["passport", "passports", "pasaporte", "passaporto", "reisepass", "pass-nr"];
const PLATE: &[&str] = &[
    "plate",
    "plates",
    "license plate",
    "licence plate",
    "registration",
    "vehicle",
    "kennzeichen",
    "plaka",
    "number plate",
    "reg",
];

/// The kinds of numbers, country by country.
const RULES: &[Rule] = &[
    rule(C::AbaRoutingNumber, "9999~9999~9", aba, WordOrLine, &["routing", "aba", "routing number", "bank"]),
    rule(C::UsBankNumber, "999999999", any, Word, &["bank account", "bank_account", "account number", "acct"]),
    rule(C::UsBankNumber, "9999999999", any, Word, &["bank account", "bank_account", "account number", "acct"]),
    rule(C::UsBankNumber, "999999999999", any, Word, &["bank account", "bank_account", "account number", "acct"]),
    rule(C::UsItin, "999:99:9999", itin, Nothing, &[]),
    rule(C::UsItin, "999999999", itin, Word, &["itin", "tax id"]),
    rule(C::UsPassport, "A99999999", any, Word, PASSPORT),
    rule(C::UsPassport, "999999999", any, Word, PASSPORT),
    rule(
        C::UsDriverLicense,
        "A9999999",
        any,
        Word,
        &["driver license", "driver's license", "license number", "driving license", "drivers license", "dl"],
    ),
    rule(
        C::UsDriverLicense,
        "A99999999",
        any,
        WordOrLine,
        &["driver license", "driver's license", "license number", "driving license"],
    ),
    rule(
        C::UsDriverLicense,
        "9999999",
        any,
        Word,
        &["driver license", "driver's license", "license number", "driving license", "drivers license"],
    ),
    rule(
        C::UsDriverLicense,
        "99999999",
        any,
        Word,
        &["driver license", "driver's license", "license number", "driving license", "drivers license"],
    ),
    rule(C::UsNpi, "9999~999~999", npi, WordOrLine, &["npi", "provider"]),
    rule(C::UsMbi, "9AX9~AX9~AA99", any, Nothing, &[]),
    rule(C::MedicalLicense, "A~99999999", dea, Word, &["dea", "certificate", "license"]),
    rule(C::MedicalLicense, "AX9999999", dea, WordOrLine, &["dea", "certificate", "license"]),
    rule(C::CaSin, "999:999:999", |d| d[0] != b'0' && luhn_varied(d), Nothing, &[]),
    rule(C::CaSin, "999999999", |d| d[0] != b'0' && luhn_varied(d), Word, &["sin", "social insurance"]),
    rule(C::UkNhs, "999 999 9999", nhs, Nothing, &[]),
    rule(C::UkNhs, "999-999-9999", nhs, Nothing, &[]),
    rule(C::UkNhs, "9999999999", nhs, WordOrLine, &["nhs", "nhs number"]),
    rule(C::UkNino, "AA~99~99~99~A", nino, Nothing, &[]),
    rule(C::UkPassport, "AA9999999", any, Word, PASSPORT),
    rule(C::UkDrivingLicence, "XXXXX999999XXXAA", british_driver, Nothing, &[]),
    rule(C::UkVehicleRegistration, "AA99~AAA", any, WordOrLine, PLATE),
    rule(C::UkVehicleRegistration, "A999~AAA", any, WordOrLine, PLATE),
    rule(C::UkVehicleRegistration, "AAA~999A", any, WordOrLine, PLATE),
    rule(C::UkPostcode, "A9 9AA", any, WordOrLine, &["postcode", "post code", "address"]),
    rule(C::UkPostcode, "A99 9AA", any, WordOrLine, &["postcode", "post code", "address"]),
    rule(C::UkPostcode, "AA9 9AA", any, WordOrLine, &["postcode", "post code", "address"]),
    rule(C::UkPostcode, "AA99 9AA", any, WordOrLine, &["postcode", "post code", "address"]),
    rule(C::UkPostcode, "A9A 9AA", any, WordOrLine, &["postcode", "post code", "address"]),
    rule(C::UkPostcode, "AA9A 9AA", any, WordOrLine, &["postcode", "post code", "address"]),
    rule(C::UkUtr, "99999~99999", any, Word, &["utr", "tax reference"]),
    rule(
        C::DeTaxId,
        "99~999~999~999",
        german_tax,
        WordOrLine,
        &["steuer-id", "steuerid", "idnr", "steueridentifikationsnummer", "tax id", "steuer"],
    ),
    rule(C::DeTaxNumber, "99/999/9999", any, WordOrLine, &["steuernummer", "st.-nr", "stnr"]),
    rule(C::DeTaxNumber, "99/999/99999", any, WordOrLine, &["steuernummer", "st.-nr", "stnr"]),
    rule(C::DeTaxNumber, "999/999/99999", any, Nothing, &[]),
    rule(C::DeTaxNumber, "9999999999999", any, Word, &["steuernummer", "st.-nr", "stnr", "tax number"]),
    rule(C::DeVatId, "DE~999~999~999", german_vat, Nothing, &[]),
    rule(
        C::DePassport,
        "AXXXXXXX9",
        |d| matches!(d[0], b'C' | b'F' | b'G' | b'H' | b'J' | b'K') && travel(d),
        WordOrLine,
        PASSPORT,
    ),
    rule(
        C::DePassport,
        "AXXXXXXXX",
        |d| {
            matches!(d[0], b'C' | b'F' | b'G' | b'H' | b'J' | b'K')
                && d.iter().filter(|b| b.is_ascii_digit()).count() > 2
        },
        Word,
        PASSPORT,
    ),
    rule(
        C::DeIdCard,
        "AXXXXXXXX",
        |d| d.iter().filter(|b| b.is_ascii_digit()).count() > 3,
        Word,
        &["personalausweis", "ausweis", "ausweisnummer", "id card"],
    ),
    rule(
        C::DeFuehrerschein,
        "AX99999999A",
        |d| d[0].is_ascii_alphabetic(),
        WordOrLine,
        &["führerschein", "fuehrerschein", "fahrerlaubnis"],
    ),
    rule(C::DeSocialSecurity, "99~999999~A~999", german_pension, Nothing, &[]),
    rule(
        C::DeHealthInsurance,
        "A999999999",
        german_health,
        WordOrLine,
        &["versichertennummer", "kvnr", "krankenversicherung", "krankenkasse"],
    ),
    rule(C::DeKfz, "A:AA:9999", any, WordOrLine, PLATE),
    rule(C::DeKfz, "A:AA:999", any, WordOrLine, PLATE),
    rule(C::DeKfz, "AA:AA:9999", any, WordOrLine, PLATE),
    rule(C::DeKfz, "AA:AA:999", any, WordOrLine, PLATE),
    rule(C::DeKfz, "AAA:AA:9999A", any, WordOrLine, PLATE),
    rule(C::DeKfz, "AAA:AA:999", any, WordOrLine, PLATE),
    rule(C::DeHandelsregister, "HRB~999999", any, Nothing, &[]),
    rule(C::DeHandelsregister, "HRA~999999", any, Nothing, &[]),
    rule(C::DeHandelsregister, "HRB~99999", any, Nothing, &[]),
    rule(C::DeHandelsregister, "HRA~99999", any, Nothing, &[]),
    rule(C::DeHandelsregister, "HRB~9999", any, Nothing, &[]),
    rule(C::DeHandelsregister, "HRA~9999", any, Nothing, &[]),
    rule(C::DePlz, "99999", any, WordOrLine, &["plz", "postleitzahl"]),
    rule(
        C::DeLanr,
        "999999999",
        |d| (10 - weighted(&d[..6], &[4, 9, 4, 9, 4, 9]) % 10) % 10 == u32::from(d[6] - b'0'),
        WordOrLine,
        &["lanr", "arztnummer", "arzt"],
    ),
    rule(C::DeBsnr, "999999999", any, Word, &["bsnr", "betriebsstätte", "betriebsstättennummer"]),
    rule(C::FrNir, "9~99~99~99~999~999~99", french, Nothing, &[]),
    rule(C::EsNif, "99999999~A", spanish, Nothing, &[]),
    rule(C::EsNif, "9999999~A", spanish, WordOrLine, &["dni", "nif"]),
    rule(C::EsNie, "A~9999999~A", spanish, Nothing, &[]),
    rule(C::EsPassport, "AAA999999", any, Word, PASSPORT),
    rule(C::ItFiscalCode, "AAAAAA99A99A999A", italian, Nothing, &[]),
    rule(C::ItVatCode, "99999999999", luhn_varied, WordOrLine, &["partita iva", "p.iva", "iva", "vat"]),
    rule(C::ItDriverLicense, "AA9999999A", any, WordOrLine, &["patente"]),
    rule(C::ItIdentityCard, "AA99999AA", any, Word, &["carta", "identità", "cie"]),
    rule(C::ItIdentityCard, "AA9999999", any, Word, &["carta", "identità", "carta d'identità"]),
    rule(C::ItPassport, "AA9999999", any, Word, PASSPORT),
    rule(C::PtNif, "999~999~999", portuguese, Word, &["nif", "contribuinte", "nipc"]),
    rule(C::NlBsn, "9999~99~999", dutch, Word, &["bsn", "burgerservicenummer", "sofi"]),
    rule(C::BeNn, "99.99.99-999.99", belgian, Nothing, &[]),
    rule(C::BeNn, "99999999999", belgian, Word, &["rijksregisternummer", "registre national", "insz", "niss"]),
    rule(C::ChAhv, "756~9999~9999~99", swiss, Nothing, &[]),
    rule(
        C::AtSvnr,
        "9999~999999",
        |d| weighted(d, &[3, 7, 9, 0, 5, 8, 4, 2, 1, 6]) % 11 == u32::from(d[3] - b'0'),
        Word,
        &["svnr", "sozialversicherungsnummer", "sv-nummer"],
    ),
    rule(C::PlPesel, "99999999999", polish, WordOrLine, &["pesel"]),
    rule(
        C::PlNip,
        "999~999~99~99",
        |d| weighted(&d[..9], &[6, 5, 7, 2, 3, 4, 5, 6, 7]) % 11 == u32::from(d[9] - b'0'),
        Word,
        &["nip"],
    ),
    rule(C::CzRc, "999999/9999", |d| number(d).is_multiple_of(11), Nothing, &[]),
    rule(C::SePersonnummer, "999999~9999", swedish, WordOrLine, &["personnummer", "personnr", "samordningsnummer"]),
    rule(C::SePersonnummer, "99999999~9999", swedish, WordOrLine, &["personnummer", "personnr", "samordningsnummer"]),
    rule(C::SePersonnummer, "999999+9999", swedish, Nothing, &[]),
    rule(C::SeOrganisationsnummer, "999999-9999", swedish_company, Nothing, &[]),
    rule(
        C::NoFnr,
        "999999~99999",
        |d| {
            day_month(number(&d[..2]) % 40, number(&d[2..4]) % 40)
                && weighted(&d[..10], &[3, 7, 6, 1, 8, 9, 4, 5, 2, 1]).is_multiple_of(11)
        },
        Word,
        &["fødselsnummer", "fnr", "personnummer"],
    ),
    rule(C::DkCpr, "999999-9999", |d| day_month(number(&d[..2]), number(&d[2..4])), Word, &["cpr", "personnummer"]),
    rule(C::FiHetu, "999999-999X", finnish, Nothing, &[]),
    rule(C::FiHetu, "999999A999X", finnish, Nothing, &[]),
    rule(C::IePps, "9999999A", any, Word, &["pps", "ppsn"]),
    rule(C::IePps, "9999999AA", any, Word, &["pps", "ppsn"]),
    rule(C::TrNationalId, "99999999999", turkish, Nothing, &[]),
    rule(C::TrLicensePlate, "99 A 9999", plate_of_turkey, WordOrLine, PLATE),
    rule(C::TrLicensePlate, "99 A 999", plate_of_turkey, WordOrLine, PLATE),
    rule(C::TrLicensePlate, "99 AA 9999", plate_of_turkey, WordOrLine, PLATE),
    rule(C::TrLicensePlate, "99 AA 999", plate_of_turkey, WordOrLine, PLATE),
    rule(C::TrLicensePlate, "99 AAA 9999", plate_of_turkey, WordOrLine, PLATE),
    rule(C::TrLicensePlate, "99 AAA 999", plate_of_turkey, WordOrLine, PLATE),
    rule(C::TrLicensePlate, "99 AAA 99", plate_of_turkey, WordOrLine, PLATE),
    rule(C::TrPhoneNumber, "0~999~999~99~99", mobile_of_ankara, Nothing, &[]),
    rule(C::TrPhoneNumber, "999~999~99~99", mobile_of_ankara, WordOrLine, &["telefon", "tel", "gsm", "cep", "phone"]),
    rule(
        C::TrPhoneNumber,
        "90~999~999~99~99",
        mobile_of_ankara,
        WordOrLine,
        &["telefon", "tel", "gsm", "cep", "phone"],
    ),
    rule(C::IlId, "999999999", luhn_varied, Word, &["teudat", "israeli id", "zehut"]),
    rule(C::InAadhaar, "9999 9999 9999", aadhaar, Nothing, &[]),
    rule(C::InAadhaar, "9999-9999-9999", aadhaar, Nothing, &[]),
    rule(C::InAadhaar, "999999999999", aadhaar, WordOrLine, &["aadhaar", "aadhar", "uidai"]),
    rule(C::InPan, "AAAAA9999A", pan, Nothing, &[]),
    rule(C::InGstin, "99AAAAA9999AXZX", any, Nothing, &[]),
    rule(C::InPassport, "A9999999", any, Word, PASSPORT),
    rule(C::InVoter, "AAA9999999", any, WordOrLine, &["voter", "vote", "epic", "elector"]),
    rule(C::InVehicleRegistration, "AA99~AA~9999", any, WordOrLine, PLATE),
    rule(C::InVehicleRegistration, "AA9~AAA~9999", any, WordOrLine, PLATE),
    rule(C::InVehicleRegistration, "AA9~AA~9999", any, WordOrLine, PLATE),
    rule(C::AuAbn, "99:999:999:999", abn, Nothing, &[]),
    rule(C::AuAbn, "99999999999", abn, Word, &["abn", "business number"]),
    rule(C::AuAcn, "999:999:999", acn, WordOrLine, &["acn", "company number"]),
    rule(C::AuAcn, "999999999", acn, Word, &["acn", "company number"]),
    rule(C::AuTfn, "999~999~999", tfn, WordOrLine, &["tfn", "tax file number", "tax file"]),
    rule(C::AuMedicare, "9999~99999~9", medicare, WordOrLine, &["medicare"]),
    rule(C::NzIrd, "99~999~999", any, Word, &["ird"]),
    rule(C::SgNricFin, "A9999999A", nric, WordOrLine, &["nric", "fin"]),
    rule(C::SgUen, "99999999A", any, Word, &["uen"]),
    rule(C::SgUen, "999999999A", |d| matches!(&d[..2], b"19" | b"20"), WordOrLine, &["uen"]),
    rule(C::SgUen, "A99AA9999A", |d| matches!(d[0], b'T' | b'S' | b'R'), WordOrLine, &["uen"]),
    rule(C::KrFrn, "999999-9999999", |d| korean(d) && matches!(d[6], b'5'..=b'8'), Nothing, &[]),
    rule(C::KrFrn, "9999999999999", |d| korean(d) && matches!(d[6], b'5'..=b'8'), WordOrLine, &["frn"]),
    rule(C::KrRrn, "999999-9999999", |d| korean(d) && matches!(d[6], b'1'..=b'4'), Nothing, &[]),
    rule(C::KrRrn, "9999999999999", |d| korean(d) && matches!(d[6], b'1'..=b'4'), WordOrLine, &["rrn", "korean"]),
    rule(C::KrBrn, "999-99-99999", korean_company, Nothing, &[]),
    rule(C::KrPassport, "A99999999", any, Word, &["여권", "korean passport"]),
    rule(C::KrPassport, "A999A9999", any, Word, PASSPORT),
    rule(
        C::KrDriverLicense,
        "99~99~999999~99",
        |d| matches!(number(&d[..2]), 11..=28),
        WordOrLine,
        &["면허", "driver", "license"],
    ),
    rule(C::JpMyNumber, "9999~9999~9999", any, Word, &["my number", "mynumber", "個人番号", "マイナンバー"]),
    rule(C::CnRic, "99999999999999999X", chinese, Nothing, &[]),
    rule(C::ThTnin, "9~9999~99999~99~9", thai, WordOrLine, &["thai", "national id", "tnin"]),
    rule(
        C::PhMobileNumber,
        "0999~999~9999",
        mobile_of_manila,
        WordOrLine,
        &["mobile", "phone", "call", "text", "cell", "number", "contact"],
    ),
    rule(
        C::PhMobileNumber,
        "63~999~999~9999",
        mobile_of_manila,
        WordOrLine,
        &["mobile", "phone", "call", "text", "cell", "number", "contact"],
    ),
    rule(C::PhTin, "999-999-999-999", any, Word, &["tin"]),
    rule(C::NgNin, "99999999999", any, Word, &["nin", "national identification"]),
    rule(C::NgVehicleRegistration, "AAA-999AA", any, Nothing, &[]),
    rule(C::ZaIdNumber, "9999999999999", south_african, Nothing, &[]),
    rule(C::BrCpf, "999.999.999-99", brazilian, Nothing, &[]),
    rule(C::BrCpf, "99999999999", brazilian, Word, &["cpf"]),
    rule(C::BrCnpj, "99.999.999/9999-99", any, Nothing, &[]),
    rule(C::MxCurp, "AAAA999999AAAAAAX9", any, Nothing, &[]),
    rule(C::ClRut, "99.999.999-X", any, Nothing, &[]),
    rule(C::Imei, "99~999999~999999~9", imei, WordOrLine, &["imei"]),
];

/// What kind of character it is, as forms tell them apart.
fn kind(byte: u8) -> usize {
    match byte {
        b'0'..=b'9' => 0,
        b'A'..=b'Z' | b'a'..=b'z' => 1,
        b' ' | b'-' | b'.' => 2,
        _ => 3,
    }
}

/// So many characters choose the rules that are tried.
const CHOOSE: usize = 5;

/// For each row of kinds, the rules whose form may begin so.
static CHOSEN: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    (0..1 << (2 * CHOOSE))
        .map(|row: usize| {
            let kinds: Vec<usize> = (0..CHOOSE).map(|i| row >> (2 * i) & 3).collect();
            let fits = |rule: &&(usize, &Rule)| may_begin(rule.1.form.as_bytes(), &kinds);
            let chosen: Vec<(usize, &Rule)> = RULES.iter().enumerate().collect();
            chosen.iter().filter(fits).map(|(n, _)| u8::try_from(*n).expect("there are fewer rules")).collect()
        })
        .collect()
});

/// Tells whether a form may begin with characters of these kinds.
fn may_begin(form: &[u8], kinds: &[usize]) -> bool {
    let (Some((sign, rest)), Some((first, others))) = (form.split_first(), kinds.split_first()) else { return true };
    match sign {
        b'9' => *first == 0 && may_begin(rest, others),
        b'A' => *first == 1 && may_begin(rest, others),
        b'X' => *first < 2 && may_begin(rest, others),
        b':' => *first == 2 && may_begin(rest, others),
        b'~' => may_begin(rest, if *first == 2 { others } else { kinds }),
        sign => *first == kind(*sign) && may_begin(rest, others),
    }
}

/// Matches `form` at `at`; gives the end and the characters without separators, in capitals.
fn matches_at(text: &[u8], at: usize, form: &[u8], bare: &mut Vec<u8>) -> Option<usize> {
    bare.clear();
    let mut pos = at;
    for sign in form {
        let b = text.get(pos).copied()?;
        let fits = match sign {
            b'9' => b.is_ascii_digit(),
            b'A' => b.is_ascii_alphabetic(),
            b'X' => b.is_ascii_alphanumeric(),
            b'~' => {
                pos += usize::from(matches!(b, b' ' | b'-' | b'.'));
                continue;
            }
            b':' => matches!(b, b' ' | b'-' | b'.'),
            _ => b.eq_ignore_ascii_case(sign),
        };
        if !fits {
            return None;
        }
        if b.is_ascii_alphanumeric() {
            bare.push(b.to_ascii_uppercase());
        }
        pos += 1;
    }
    let after = text.get(pos).copied().unwrap_or(b' ');
    let joined = matches!(after, b'.' | b'-' | b'/') && text.get(pos + 1).is_some_and(u8::is_ascii_digit);
    let inside = after.is_ascii_alphanumeric() || after == b'_' || joined;
    (!inside).then_some(pos)
}

/// A pair of coordinates with four decimals or more, at the first digit: gives its beginning and end.
fn coordinates(text: &[u8], at: usize) -> Option<(usize, usize)> {
    let signed = |at: usize| at - usize::from(at > 0 && text[at - 1] == b'-');
    let decimal = |at: usize, most: f64| {
        let n = text[at..].iter().take(16).take_while(|b| b.is_ascii_digit() || **b == b'.').count();
        let word = std::str::from_utf8(&text[at..at + n]).ok()?;
        let (_, places) = word.split_once('.')?;
        (places.len() >= 4 && word.parse::<f64>().ok()? <= most).then_some(at + n)
    };
    let comma = decimal(at, 90.0)?;
    if text.get(comma) != Some(&b',') {
        return None;
    }
    let gap = text[comma + 1..].iter().take(3).take_while(|b| matches!(b, b' ' | b'-')).count();
    Some((signed(at), decimal(comma + 1 + gap, 180.0)?))
}

/// A link, at its `://`: gives its beginning and end.
pub(crate) fn find_link(text: &[u8], at: usize) -> Option<(usize, usize)> {
    let start = at
        - text[..at]
            .iter()
            .rev()
            .take(12)
            .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'.'))
            .count();
    let scheme = text[start..at].to_ascii_lowercase();
    if !matches!(scheme.as_slice(), b"http" | b"https" | b"ftp") {
        return None;
    }
    let n = text[at + 3..]
        .iter()
        .take(2048)
        .take_while(|b| !b.is_ascii_whitespace() && !matches!(b, b'"' | b'\'' | b'<' | b'>' | b'`' | b')'))
        .count();
    let end = at + 3 + n;
    let end = end
        - text[at + 3..end].iter().rev().take_while(|b| matches!(b, b'.' | b',' | b';' | b':' | b'!' | b'?')).count();
    (end > at + 6).then_some((start, end))
}

/// A word without a digit in its first so many characters is no number of any kind.
pub(crate) const NEAR: usize = 12;

/// Finds what these packs know at `at`, where a word begins that has a digit [`NEAR`] its beginning.
pub(crate) fn find(text: &[u8], at: usize, packs: Packs) -> Option<Span> {
    let b = text[at];
    if !b.is_ascii_alphanumeric() || at > 1 && matches!(text[at - 1], b'.' | b'/') && text[at - 2].is_ascii_digit() {
        return None;
    }
    // A decimal below one.
    if b == b'0' && text.get(at + 1) == Some(&b'.') {
        return None;
    }
    if packs.have(Class::Date) {
        if let Some((end, class)) = dates::find_date(text, at) {
            return Some(Span { start: at, end, class });
        }
        if let Some((start, end)) = coordinates(text, at) {
            return Some(Span { start, end, class: Class::Geo });
        }
    }
    let row = (0..CHOOSE).fold(0, |row, i| row | kind(text.get(at + i).copied().unwrap_or(b'\n')) << (2 * i));
    let lead = OnceCell::new();
    let context = |words: &[&str]| lead.get_or_init(|| Lead::of(text, at)).says(words);
    let mut bare = Vec::new();
    for rule in CHOSEN[row].iter().map(|n| &RULES[usize::from(*n)]) {
        let Some(end) = matches_at(text, at, rule.form.as_bytes(), &mut bare) else { continue };
        if !(rule.check)(&bare) || !packs.have(rule.class) {
            continue;
        }
        let good = match rule.needs {
            Needs::Nothing => true,
            Needs::WordOrLine => context(rule.words) || alone(text, at, end),
            Needs::Word => context(rule.words),
        };
        if good {
            return Some(Span { start: at, end, class: rule.class });
        }
    }
    None
}

#[cfg(test)]
mod tests;
