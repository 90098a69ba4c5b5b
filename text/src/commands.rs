//! Passwords that are given to commands: `mysql -pX`, `curl -u user:X`, `sshpass -p X`, `echo X | sudo -S`.
//!
//! A command is read to the end of its line, word by word, as a shell would split it, for at most 1 KiB.

use crate::class::Class;
use crate::values::{Dress, Strength, is_secret, is_stand_in};

/// How a command takes a secret.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// `-p X` or `-pX`.
    Either,
    /// `-pX` only; `-p` alone asks.
    Joined,
    /// `-a X`.
    Apart,
    /// `-u user:X`.
    AfterColon,
    /// `-U user%X`.
    AfterPercent,
    /// `/user:x X`: the word after it, or the one before.
    NextTo,
}

/// Commands, their flags and how those take a secret.
const COMMANDS: &[(&str, &[&str], Way)] = &[
    ("sshpass", &["-p"], Way::Either),
    ("mysql", &["-p"], Way::Joined),
    ("mysqldump", &["-p"], Way::Joined),
    ("mysqladmin", &["-p"], Way::Joined),
    ("mariadb", &["-p"], Way::Joined),
    ("7z", &["-p"], Way::Joined),
    ("7za", &["-p"], Way::Joined),
    ("rar", &["-p", "-hp"], Way::Joined),
    ("unrar", &["-p"], Way::Joined),
    ("redis-cli", &["-a", "--pass"], Way::Apart),
    ("curl", &["-u", "--user", "-U", "--proxy-user"], Way::AfterColon),
    ("http", &["-a", "--auth"], Way::AfterColon),
    ("wget", &["--user"], Way::AfterColon),
    ("docker login", &["-p"], Way::Either),
    ("podman login", &["-p"], Way::Either),
    ("helm registry login", &["-p"], Way::Either),
    ("oc login", &["-p"], Way::Either),
    ("az login", &["-p"], Way::Either),
    ("psexec", &["-p"], Way::Apart),
    ("psexec.exe", &["-p"], Way::Apart),
    ("smbclient", &["-U"], Way::AfterPercent),
    ("rpcclient", &["-U"], Way::AfterPercent),
    ("mount.cifs", &["-U"], Way::AfterPercent),
    ("ldapsearch", &["-w"], Way::Either),
    ("ldapmodify", &["-w"], Way::Either),
    ("ldapadd", &["-w"], Way::Either),
    ("zip", &["-P"], Way::Apart),
    ("unzip", &["-P"], Way::Either),
    ("mongo", &["-p"], Way::Apart),
    ("mongosh", &["-p"], Way::Apart),
    ("mongodump", &["-p"], Way::Apart),
    ("ipmitool", &["-P"], Way::Apart),
    ("sqlcmd", &["-P"], Way::Either),
    ("bcp", &["-P"], Way::Either),
    ("mosquitto_pub", &["-P"], Way::Apart),
    ("mosquitto_sub", &["-P"], Way::Apart),
    ("snmpget", &["-A", "-X", "-c"], Way::Apart),
    ("snmpwalk", &["-A", "-X", "-c"], Way::Apart),
    ("xfreerdp", &["/p:"], Way::Joined),
    ("rdesktop", &["-p"], Way::Either),
    ("net use", &["/user:"], Way::NextTo),
    ("kinit", &["--password"], Way::Apart),
    ("vncviewer", &["-passwd"], Way::Apart),
    ("clickhouse-client", &["--password"], Way::Apart),
    ("influx", &["-password"], Way::Apart),
    ("cqlsh", &["-p"], Way::Apart),
    ("neo4j-admin", &["-p"], Way::Apart),
    ("cypher-shell", &["-p"], Way::Apart),
    ("lftp", &["-u"], Way::AfterColon),
    ("svn", &["--password"], Way::Apart),
    ("ansible", &["-e"], Way::AfterColon),
    ("plink", &["-pw"], Way::Apart),
    ("pscp", &["-pw"], Way::Apart),
    ("putty", &["-pw"], Way::Apart),
    ("winexe", &["-U"], Way::AfterPercent),
    ("evil-winrm", &["-p"], Way::Apart),
    ("crackmapexec", &["-p"], Way::Apart),
];

/// The names of the commands, in the order of [`find`]'s `which`.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().map(|(name, _, _)| *name)
}

/// One word of a shell line, its quotes taken off.
fn words(text: &[u8], from: usize, reach: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut at = from;
    std::iter::from_fn(move || {
        loop {
            // Whatever ends a word is passed over before the next, or there would be no end of them.
            at += text[at..reach].iter().take_while(|b| b.is_ascii_whitespace() && **b != b'\n').count();
            let goes_on = [&b"\\\n"[..], b"\\\r\n"].into_iter().find(|end| text[at..reach].starts_with(end));
            match goes_on {
                Some(end) => at += end.len(),
                None => break,
            }
        }
        if at >= reach || matches!(text[at], b'\n' | b'|' | b';') {
            return None;
        }
        if let Some(mark) = Some(text[at]).filter(|b| matches!(b, b'"' | b'\''))
            && let Some(n) = memchr::memchr2(mark, b'\n', &text[at + 1..reach]).filter(|n| text[at + 1 + n] == mark)
        {
            let word = (at + 1, at + 1 + n);
            at += n + 2;
            return Some(word);
        }
        let start = at;
        let mut inside = None;
        while at < reach {
            let b = text[at];
            match inside {
                None if b.is_ascii_whitespace() => break,
                None if matches!(b, b'"' | b'\'') => inside = Some(b),
                Some(mark) if b == mark => inside = None,
                Some(_) if b == b'\n' => break,
                _ => {}
            }
            at += 1;
        }
        Some((start, at))
    })
}

fn unquoted(text: &[u8], start: usize, end: usize) -> (usize, usize) {
    match (text.get(start), text.get(end.wrapping_sub(1))) {
        (Some(a), Some(b)) if a == b && matches!(a, b'"' | b'\'') && end - start >= 2 => (start + 1, end - 1),
        _ => (start, end),
    }
}

/// Reads the command whose name stands at `at`, hides the secrets it is given, and returns how far it read.
pub(crate) fn find(text: &[u8], at: usize, which: usize, hide: &mut dyn FnMut(usize, usize, Class)) -> usize {
    let (name, flags, way) = COMMANDS[which];
    let after = at + name.len();
    let stands_alone = text.get(after).is_some_and(|b| matches!(b, b' ' | b'\t'))
        && (at == 0 || !(text[at - 1].is_ascii_alphanumeric() || matches!(text[at - 1], b'-' | b'_' | b'.')));
    if !stands_alone {
        return after;
    }
    let reach = text.len().min(after + 1024);
    let good = |start: usize, end: usize| {
        start < end && end - start <= 256 && !is_stand_in(&text[start..end]) && !text[start..end].starts_with(b"-")
    };
    let mut list = words(text, after, reach).peekable();
    let mut read = after;
    while let Some((start, end)) = list.next() {
        read = start;
        let word = &text[start..end];
        let Some(flag) = flags.iter().find(|flag| word.starts_with(flag.as_bytes())) else { continue };
        let joined = start + flag.len();
        let exact = word.len() == flag.len();
        match way {
            Way::Joined if !exact => {
                let (from, to) = unquoted(text, joined, end);
                // `-port=3306`, `-protocol` are other flags.
                let other = text[from..to].iter().all(u8::is_ascii_lowercase) && to - from < 5
                    || memchr::memchr(b'=', &text[from..to])
                        .is_some_and(|i| text[from..from + i].iter().all(u8::is_ascii_lowercase));
                if good(from, to) && !other && to - from >= 3 {
                    hide(from, to, Class::Password);
                }
            }
            Way::Either | Way::Apart if exact => {
                if let Some((from, to)) = list.next()
                    && good(from, to)
                    && to - from >= 3
                {
                    hide(from, to, Class::Password);
                }
            }
            Way::Either
                if !word.starts_with(b"--")
                    && good(joined, end)
                    && is_secret(&text[joined..end], Strength::Strong, Dress::Loose) =>
            {
                hide(joined, end, Class::Password);
            }
            Way::AfterColon | Way::AfterPercent => {
                let sign = if way == Way::AfterColon { b':' } else { b'%' };
                let (from, to) = if exact {
                    let Some(next) = list.next() else { return read };
                    next
                } else if text.get(joined) == Some(&b'=') {
                    unquoted(text, joined + 1, end)
                } else if flag.len() == 2 {
                    unquoted(text, joined, end)
                } else {
                    continue;
                };
                if let Some(i) = memchr::memchr(sign, &text[from..to]) {
                    let (user, secret) = (&text[from..from + i], (from + i + 1, to));
                    if !is_stand_in(&text[secret.0..secret.1])
                        && !is_stand_in(&text[from..to])
                        && !user.starts_with(b"$")
                        && !user.starts_with(b"<")
                        && to - secret.0 >= 3
                    {
                        // The user's name goes too: together they are the credential.
                        hide(secret.0, secret.1, Class::Password);
                        if is_secret(&text[secret.0..secret.1], Strength::Strong, Dress::Loose) && user.len() > 2 {
                            hide(from, to, Class::AuthHeader);
                        }
                    }
                }
            }
            Way::NextTo => {
                if let Some((from, to)) = list.peek().copied()
                    && good(from, to)
                    && !text[from..to].starts_with(b"/")
                    && to - from >= 4
                {
                    hide(from, to, Class::Password);
                }
            }
            _ => {}
        }
    }
    read
}

/// `echo X | sudo -S`: the word before the pipe, from the place of `sudo`.
pub(crate) fn find_piped(text: &[u8], sudo: usize, hide: &mut dyn FnMut(usize, usize, Class)) {
    let flags = &text[sudo..text.len().min(sudo + 24)];
    let line = &flags[..memchr::memchr(b'\n', flags).unwrap_or(flags.len())];
    let asks_standard_input =
        line.split(|b| *b == b' ').any(|word| word == b"-S" || word == b"--stdin" || word == b"-kS" || word == b"-Sk");
    if !asks_standard_input {
        return;
    }
    let from = sudo.saturating_sub(256);
    let lead = &text[from..sudo];
    let Some(pipe) = memchr::memrchr(b'|', lead) else { return };
    // On a line before, it leads here only when it ends that line.
    if lead[pipe + 1..].contains(&b'\n') && !lead[pipe + 1..].trim_ascii().is_empty() {
        return;
    }
    let start = memchr::memrchr(b'\n', &lead[..pipe]).map_or(0, |i| i + 1);
    for command in [&b"echo "[..], b"printf "] {
        if let Some(i) = memchr::memmem::rfind(&lead[start..pipe], command) {
            let said = start + i + command.len();
            for (a, b) in words(text, from + said, from + pipe) {
                if text[a] != b'-' && !is_stand_in(&text[a..b]) {
                    hide(a, b, Class::Password);
                }
            }
        }
    }
}
