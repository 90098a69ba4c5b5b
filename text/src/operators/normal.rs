//! One spelling for what is written in many ways, so that one person has one pseudonym.
//!
//! It looks at the class and the characters, at nothing around them, and never decides whether a value is valid.

use std::net::IpAddr;

use zeroize::Zeroizing;

use crate::class::Class;

/// Returns the spelling by which a value is told from others of its class.
///
/// `home` is the calling code, digits only, that telephone numbers without one belong to.
pub(super) fn normal(class: Class, text: &str, home: Option<&str>) -> Zeroizing<String> {
    let text = text.trim();
    Zeroizing::new(match class {
        Class::Email => text.trim_start_matches("mailto:").trim_matches(['<', '>', '"']).to_lowercase(),
        Class::Phone | Class::PhMobileNumber | Class::TrPhoneNumber => phone(text, home),
        Class::Ip => text.parse::<IpAddr>().map_or_else(|_| text.to_lowercase(), |ip| ip.to_canonical().to_string()),
        // Case matters in most wallets, and in the paths of links.
        Class::CryptoWallet if !text.starts_with("0x") && !text.starts_with("bc1") => text.to_owned(),
        Class::Url => text.to_owned(),
        Class::CryptoWallet | Class::Domain | Class::Geo | Class::Date | Class::Dob => text.to_lowercase(),
        _ => text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect(),
    })
}

/// `+`, the calling code and the number, as far as they can be known.
fn phone(text: &str, home: Option<&str>) -> String {
    // "+44 (0)20" is a habit of letterheads: the zero is not dialled.
    let text = Zeroizing::new(if text.contains('+') { text.replace("(0)", "") } else { text.to_owned() });
    let digits: Zeroizing<String> = Zeroizing::new(text.chars().filter(char::is_ascii_digit).collect());
    if text.trim_start_matches(['(', ' ']).starts_with('+') {
        return format!("+{}", digits.as_str());
    }
    if let Some(abroad) = digits.strip_prefix("00") {
        return format!("+{abroad}");
    }
    match home {
        // North America dials no zero before the area, and sometimes its own code.
        Some("1") if digits.len() == 10 => format!("+1{}", digits.as_str()),
        Some("1") if digits.len() == 11 && digits.starts_with('1') => format!("+{}", digits.as_str()),
        Some(code) if digits.starts_with('0') => format!("+{code}{}", &digits[1..]),
        _ => digits.as_str().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_value_are_one() {
        for (class, home, spellings) in [
            (Class::Email, None, &["Alice@Example.org", "alice@example.org", " <ALICE@EXAMPLE.ORG>"][..]),
            (Class::Phone, None, &["+49 (0)30 1234567", "0049 30 1234567", "+49-30-123-4567"]),
            (Class::Phone, Some("49"), &["+49 30 1234567", "030 1234567", "(030) 123 45 67"]),
            (Class::Phone, Some("1"), &["+1 555 867 5309", "(555) 867-5309", "1-555-867-5309"]),
            (Class::Iban, None, &["DE89 3704 0044 0532 0130 00", "de89370400440532013000"]),
            (Class::CreditCard, None, &["4111 1111 1111 1111", "4111-1111-1111-1111", "4111111111111111"]),
            (Class::Ip, None, &["2001:DB8::1", "2001:db8:0:0:0:0:0:1"]),
            (Class::Mac, None, &["AA:BB:CC:00:11:22", "aa-bb-cc-00-11-22", "aabb.cc00.1122"]),
            (Class::DeTaxId, None, &["86 095 742 719", "86095742719"]),
        ] {
            for spelling in spellings {
                assert_eq!(normal(class, spelling, home), normal(class, spellings[0], home), "{class} {spelling}");
            }
        }
    }

    #[test]
    fn different_values_stay_different() {
        for (class, one, other) in [
            (Class::Email, "alice@example.org", "alice@example.com"),
            (Class::Phone, "030 1234567", "+49 30 1234567"),
            (Class::CryptoWallet, "1BoatSLRHtKNngkdXEeobR76b53LETtpyT", "1boatslrhtknngkdxeeobr76b53lettpyt"),
        ] {
            assert_ne!(normal(class, one, None), normal(class, other, None), "{class}");
        }
    }
}
