//! What stands in links and addresses: passwords in URLs, e-mail addresses, network and hardware addresses, links themselves.
//!
//! Each function is called at the sign that gives the shape away (`://`, `@`, `:`), and reads a bounded part around it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::class::Class;
use crate::values::{Look, is_stand_in};

/// A URL at its `://`: hides the password in `user:password@host`, or a token that stands alone before the `@`.
/// `run` is where the link that was read last began and ended, so that one is read once.
pub(crate) fn find_userinfo(
    text: &[u8],
    at: usize,
    run: &mut (usize, usize),
    hide: &mut dyn FnMut(usize, usize, Class),
) {
    let start = at + 3;
    if start < run.0 || start >= run.1 {
        let inside = |b: &&u8| !b.is_ascii_whitespace() && !b"\"'<`|\\".contains(b);
        *run = (start, start + text[start..].iter().take_while(inside).count());
    }
    let n = (run.1 - start).min(1024);
    let whole = &text[start..start + n];
    // The authority ends at the first slash that has no `@` close behind it: passwords may hold slashes only in bad links.
    let slash = memchr::memchr3(b'/', b'?', b'#', whole).unwrap_or(n);
    let mut end = slash;
    if memchr::memchr(b'@', &whole[..end]).is_none() {
        // A generated password may hold what should have been escaped; an `@` with a host soon after it tells.
        let Some(sign) = memchr::memchr(b'@', whole) else { return };
        let colon = memchr::memchr(b':', &whole[..slash]);
        if colon.is_none_or(|c| whole[c + 1..slash].iter().all(u8::is_ascii_digit)) || sign > 128 {
            return;
        }
        end = n;
    }
    let Some(sign) = memchr::memrchr(b'@', &whole[..end]) else { return };
    let info = &whole[..sign];
    if let Some(colon) = memchr::memchr(b':', info) {
        let secret = &info[colon + 1..];
        let word = secret.to_ascii_lowercase();
        let word = word.strip_suffix(b"]").unwrap_or(&word);
        let sample =
            matches!(word, b"password" | b"pass" | b"pwd" | b"secret" | b"passwd" | b"yourpassword" | b"your_password");
        if secret.len() < 4 || sample || is_variable(secret) || is_mask(secret) {
            if secret.is_empty() && colon >= 12 && !is_stand_in(&info[..colon]) && Look::of(&info[..colon]).digits > 1 {
                hide(start, start + colon, Class::ConnectionString);
            }
            return;
        }
        // A user whom a machine named is half of the credential.
        let user = &info[..colon];
        let drawn = user.len() >= 8 && Look::of(user).digits > 0 && user.iter().all(u8::is_ascii_hexdigit)
            || crate::values::is_random(user, 12);
        hide(if drawn { start } else { start + colon + 1 }, start + sign, Class::ConnectionString);
    } else if info.len() >= 16 && Look::of(info).digits > 1 && !is_stand_in(info) && crate::values::is_random(info, 16)
    {
        hide(start, start + sign, Class::ConnectionString);
    }
}

fn is_variable(value: &[u8]) -> bool {
    value.starts_with(b"${")
        || value.starts_with(b"$(")
        || value.starts_with(b"{{")
        || value.starts_with(b"#{")
        || value.starts_with(b"<")
        || value.starts_with(b"[") && value.ends_with(b"]")
        || value.starts_with(b"{") && value.ends_with(b"}")
        || value.starts_with(b"$")
            && value[1..].iter().all(|b| b.is_ascii_uppercase() || matches!(b, b'_'))
            && value.len() > 1
        || value.starts_with(b"%") && value.ends_with(b"%")
        || matches!(value, b"%s" | b"%v" | b"%d")
}

fn is_mask(value: &[u8]) -> bool {
    value.iter().all(|b| matches!(b, b'*' | b'x' | b'X' | b'.' | b'#' | b'-' | b'_'))
}

fn in_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'.' | b'_'
                | b'%'
                | b'+'
                | b'-'
                | b'\''
                | b'!'
                | b'#'
                | b'$'
                | b'&'
                | b'*'
                | b'/'
                | b'='
                | b'?'
                | b'^'
                | b'{'
                | b'|'
                | b'}'
                | b'~'
        )
        || byte >= 0x80
}

/// An e-mail address at its `@`.
pub(crate) fn find_email(text: &[u8], at: usize) -> Option<(usize, usize)> {
    let mut start = at - text[..at].iter().rev().take(64).take_while(|b| in_local(**b)).count();
    // Signs that may stand in a local part more often stand before one.
    start += text[start..at].iter().take_while(|b| !b.is_ascii_alphanumeric() && **b < 0x80 && **b != b'_').count();
    if let Some(cut) = text[start..at]
        .iter()
        .rposition(|b| matches!(b, b'=' | b'/' | b'?' | b'&' | b'|' | b'{' | b'}' | b'#' | b'*' | b'$'))
    {
        start += cut + 1;
    }
    // An escape before it (`\nname@host`).
    if start > 0 && text[start - 1] == b'\\' && matches!(text.get(start), Some(b'n' | b'r' | b't')) && at - start > 1 {
        start += 1;
    }
    let quoted = start == at && at > 2 && text[at - 1] == b'"';
    if quoted {
        start = memchr::memrchr(b'"', &text[at.saturating_sub(66)..at - 1]).map(|i| at.saturating_sub(66) + i)?;
    }
    if start == at || text[at - 1] == b'.' || text[start..at].windows(2).any(|pair| pair == b"..") {
        return None;
    }
    let host = &text[at + 1..];
    if let Some(literal) = host.strip_prefix(b"[") {
        // `bob@[192.0.2.7]`, `bob@[IPv6:2001:db8::7]` (RFC 5321 §4.1.3).
        let close = memchr::memchr(b']', &literal[..literal.len().min(52)])?;
        let address = literal[..close].strip_prefix(b"IPv6:").unwrap_or(&literal[..close]);
        let known = std::str::from_utf8(address).is_ok_and(|address| address.parse::<IpAddr>().is_ok());
        return known.then_some((start, at + 3 + close));
    }
    let n = host
        .iter()
        .take(253)
        .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-') || **b >= 0x80)
        .count();
    let mut end = n;
    while end > 0 && matches!(host[end - 1], b'.' | b'-') {
        end -= 1;
    }
    let domain = &host[..end];
    let dot = memchr::memrchr(b'.', domain)?;
    let top = &domain[dot + 1..];
    let good = dot > 0
        && top.len() >= 2
        && (top.iter().all(|b| b.is_ascii_alphabetic() || *b >= 0x80) || top.starts_with(b"xn--"))
        && !domain.starts_with(b".")
        && !domain.starts_with(b"-")
        && !domain.windows(2).any(|pair| pair == b"..");
    // `image@2x.png`, `icon@3x.webp`: densities, not hosts.
    let density = domain.len() > 3 && domain[0].is_ascii_digit() && domain[1] == b'x' && domain[2] == b'.';
    // `user:secret@host` after `://` is the URL's, and hidden as such.
    (good && !density).then_some((start, at + 1 + end))
}

/// Tells whether this address says where somebody is: not loopback, private, documentation or otherwise reserved.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_broadcast()
                || v4.is_documentation()
                || v4.is_unspecified()
                || v4.is_multicast())
                && a != 0
                && a < 240
                && !(a == 100 && (64..128).contains(&b))
                && !(a == 198 && (b == 18 || b == 19))
        }
        IpAddr::V6(v6) => {
            let first = v6.segments()[0];
            !(v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || first & 0xfe00 == 0xfc00
                || first & 0xffc0 == 0xfe80
                || (first == 0x2001 && v6.segments()[1] == 0xdb8))
                && v6.to_ipv4_mapped().is_none_or(|v4| is_public(IpAddr::V4(v4)))
        }
    }
}

/// A dotted address whose first digit stands at `at`; `wide` takes its prefix length along.
pub(crate) fn find_v4(text: &[u8], at: usize) -> Option<(usize, Ipv4Addr)> {
    let n = text[at..].iter().take(16).take_while(|b| b.is_ascii_digit() || **b == b'.').count();
    let mut found = &text[at..at + n];
    while found.last() == Some(&b'.') {
        found = &found[..found.len() - 1];
    }
    if found.iter().filter(|b| **b == b'.').count() != 3 {
        return None;
    }
    let address: Ipv4Addr = std::str::from_utf8(found).ok()?.parse().ok()?;
    let before = at.checked_sub(1).map(|i| text[i]);
    if before.is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_')) {
        return None;
    }
    let end = at + found.len();
    if text.get(end).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_')
        || (text.get(end) == Some(&b'.') && text.get(end + 1).is_some_and(u8::is_ascii_digit))
    {
        return None;
    }
    // `version 12.2.19.1`, `v=1.2.3.4`: numbers of releases.
    let lead = text[at.saturating_sub(24)..at].to_ascii_lowercase();
    let lead = &lead[memchr::memrchr(b'\n', &lead).map_or(0, |i| i + 1)..];
    let release = [&b"version"[..], b"ver.", b"release", b"firmware", b"build", b"fileversion", b" v"]
        .iter()
        .any(|word| memchr::memmem::find(lead, word).is_some());
    if release || lead.ends_with(b"-") || lead.ends_with(b"v") {
        return None;
    }
    let end = end + network(text, end, 32);
    Some((end, address))
}

/// The length of `/24` after an address.
fn network(text: &[u8], end: usize, most: u32) -> usize {
    if text.get(end) != Some(&b'/') {
        return 0;
    }
    let n = text[end + 1..].iter().take(4).take_while(|b| b.is_ascii_digit()).count();
    let bits: u32 = std::str::from_utf8(&text[end + 1..end + 1 + n]).ok().and_then(|s| s.parse().ok()).unwrap_or(999);
    if n > 0 && bits <= most && !text.get(end + 1 + n).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'/') {
        n + 1
    } else {
        0
    }
}

/// An address with colons: IPv6 or hardware, around the first colon at `at`.
pub(crate) fn find_colons(text: &[u8], at: usize) -> Option<(usize, usize, Option<Ipv6Addr>)> {
    let inside = |b: u8| b.is_ascii_hexdigit() || b == b':';
    let start = at - text[..at].iter().rev().take(5).take_while(|b| b.is_ascii_hexdigit()).count();
    if start > 0 && (text[start - 1].is_ascii_alphanumeric() || matches!(text[start - 1], b'_' | b'.' | b':')) {
        return None;
    }
    let n = text[start..].iter().take(46).take_while(|b| inside(**b) || **b == b'.').count();
    let mut found = &text[start..start + n];
    while matches!(found.last(), Some(b'.')) || (found.ends_with(b":") && !found.ends_with(b"::")) {
        found = &found[..found.len() - 1];
    }
    if found.iter().filter(|b| **b == b':').count() < 2 || found.len() < 3 {
        return None;
    }
    let mut end = start + found.len();
    if text.get(end).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_') {
        return None;
    }
    let groups: Vec<&[u8]> = found.split(|b| *b == b':').collect();
    if matches!(groups.len(), 6 | 8) && groups.iter().all(|group| group.len() == 2) && groups.len() == 6 {
        return Some((start, end, None));
    }
    let address: Ipv6Addr = std::str::from_utf8(found).ok()?.parse().ok()?;
    // `a::b` is a path of a program, `::` alone nothing.
    let digits = found.iter().filter(|b| b.is_ascii_digit()).count();
    if found == b"::" || (digits == 0 && found.len() < 8) || (digits < 2 && found.len() < 3) {
        return None;
    }
    if text.get(end) == Some(&b'%') {
        end += 1 + text[end + 1..].iter().take(16).take_while(|b| b.is_ascii_alphanumeric()).count();
    }
    end += network(text, end, 128);
    Some((start, end, Some(address)))
}

/// A hardware address with dashes or in Cisco's dots, at its first character.
pub(crate) fn find_mac(text: &[u8], at: usize) -> Option<usize> {
    let before = at.checked_sub(1).map(|i| text[i]);
    if before.is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')) {
        return None;
    }
    let fits = |pattern: &[u8]| {
        text.len() >= at + pattern.len()
            && pattern.iter().zip(&text[at..]).all(|(p, b)| if *p == b'h' { b.is_ascii_hexdigit() } else { p == b })
            && !text.get(at + pattern.len()).is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'-'))
    };
    if fits(b"hh-hh-hh-hh-hh-hh") {
        return Some(at + 17);
    }
    fits(b"hhhh.hhhh.hhhh").then_some(at + 14)
}
