//! Passwords that are given to commands: `mysql -pX`, `curl -u user:X`, `sshpass -p X`, `echo X | sudo -S`, and `-u bob -p X`
//! whatever the command.
//!
//! A command is read to the end of its line, word by word, as a shell would split it, for at most 1 KiB.

use crate::class::Class;
use crate::values::{Dress, Look, Strength, is_secret, is_stand_in};

/// How a command takes a secret.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// `-p X` or `-pX`.
    Either,
    /// `-pX` only; `-p` alone asks.
    Joined,
    /// `-a X`.
    Apart,
    /// `-u user:X`, and `-u X` that has no colon gives none.
    After(u8),
    /// `/user:x X`: the word after it, or the one before.
    NextTo,
    /// The word of that number after the command, flags left out: `wpa_passphrase home X`. If flags are listed, one must stand.
    Word(usize),
    /// `user/X@host`, a word of its own.
    Login,
    /// `send "X\r"`, in a script that waited for `password:`.
    Sent,
    /// What is piped in, or stands behind `<<<`; if flags are listed, one must stand.
    Piped,
}

/// Flags, and how they take a secret.
type Taking = (&'static [&'static str], Way);

/// Commands, and how they take secrets.
const COMMANDS: &[(&str, &[Taking])] = &[
    // Databases
    ("mysql", &[(&["-p"], Way::Joined)]),
    ("mysqldump", &[(&["-p"], Way::Joined)]),
    ("mysqladmin", &[(&["-p"], Way::Joined), (&["password"], Way::Apart)]),
    ("mysqlimport", &[(&["-p"], Way::Joined)]),
    ("mysqlcheck", &[(&["-p"], Way::Joined)]),
    ("mysqlshow", &[(&["-p"], Way::Joined)]),
    ("mycli", &[(&["-p"], Way::Joined)]),
    ("mariadb", &[(&["-p"], Way::Joined)]),
    ("mariadb-dump", &[(&["-p"], Way::Joined)]),
    ("mariadb-admin", &[(&["-p"], Way::Joined)]),
    ("redis-cli", &[(&["-a", "--pass", "auth", "AUTH"], Way::Apart)]),
    ("mongo", &[(&["-p"], Way::Apart)]),
    ("mongosh", &[(&["-p"], Way::Apart)]),
    ("mongodump", &[(&["-p"], Way::Apart)]),
    ("mongorestore", &[(&["-p"], Way::Apart)]),
    ("mongoexport", &[(&["-p"], Way::Apart)]),
    ("mongoimport", &[(&["-p"], Way::Apart)]),
    ("sqlcmd", &[(&["-P"], Way::Either)]),
    ("bcp", &[(&["-P"], Way::Either)]),
    ("isql", &[(&["-P"], Way::Either)]),
    ("osql", &[(&["-P"], Way::Either)]),
    ("tsql", &[(&["-P"], Way::Either)]),
    ("sqlplus", &[(&[], Way::Login)]),
    ("sqlldr", &[(&[], Way::Login)]),
    ("expdp", &[(&[], Way::Login)]),
    ("impdp", &[(&[], Way::Login)]),
    ("rman target", &[(&[], Way::Login)]),
    ("clickhouse-client", &[(&["--password"], Way::Apart)]),
    ("influx", &[(&["-password"], Way::Apart)]),
    ("cqlsh", &[(&["-p"], Way::Apart)]),
    ("nodetool", &[(&["-pw"], Way::Apart)]),
    ("neo4j-admin", &[(&["-p", "set-initial-password"], Way::Apart)]),
    ("cypher-shell", &[(&["-p"], Way::Apart)]),
    ("etcdctl", &[(&["--user"], Way::After(b':'))]),
    ("rabbitmqctl add_user", &[(&[], Way::Word(2))]),
    ("rabbitmqctl change_password", &[(&[], Way::Word(2))]),
    ("rabbitmqctl authenticate_user", &[(&[], Way::Word(2))]),
    ("db2 connect", &[(&["using"], Way::Apart)]),
    ("grafana-cli", &[(&["reset-admin-password"], Way::Apart)]),
    // The web
    (
        "curl",
        &[
            (&["-u", "--user", "-U", "--proxy-user"], Way::After(b':')),
            (&["--oauth2-bearer", "--pass", "--proxy-pass", "--tlspassword"], Way::Apart),
        ],
    ),
    ("http", &[(&["-a", "--auth"], Way::After(b':'))]),
    ("https", &[(&["-a", "--auth"], Way::After(b':'))]),
    ("xh", &[(&["-a", "--auth"], Way::After(b':'))]),
    ("httpie", &[(&["-a", "--auth"], Way::After(b':'))]),
    ("ab", &[(&["-A", "-P"], Way::After(b':'))]),
    ("wget", &[(&["--user"], Way::After(b':'))]),
    ("lftp", &[(&["-u"], Way::After(b','))]),
    ("jenkins-cli", &[(&["-auth"], Way::After(b':'))]),
    ("jenkins-cli.jar", &[(&["-auth"], Way::After(b':'))]),
    (
        "htpasswd",
        &[
            (&["-b", "-bc", "-cb", "-bB", "-Bb", "-bcB", "-cbB", "-bBc", "-cBb", "-bm", "-bs"], Way::Word(3)),
            (&["-nb", "-bn", "-nbB", "-nbm", "-nbs", "-bnB", "-nBb", "-bnBC"], Way::Word(2)),
        ],
    ),
    // Registries and clouds
    ("docker login", &[(&["-p"], Way::Either), (&["--password-stdin"], Way::Piped)]),
    ("podman login", &[(&["-p"], Way::Either), (&["--password-stdin"], Way::Piped)]),
    ("skopeo login", &[(&["-p"], Way::Either)]),
    ("skopeo copy", &[(&["--src-creds", "--dest-creds", "--creds"], Way::After(b':'))]),
    ("buildah login", &[(&["-p"], Way::Either)]),
    ("nerdctl login", &[(&["-p"], Way::Either)]),
    ("crane auth login", &[(&["-p"], Way::Either)]),
    ("oras login", &[(&["-p"], Way::Either)]),
    ("helm registry login", &[(&["-p"], Way::Either)]),
    ("oc login", &[(&["-p"], Way::Either)]),
    ("az login", &[(&["-p"], Way::Either)]),
    ("twine upload", &[(&["-p"], Way::Apart)]),
    ("vault login", &[(&[], Way::Word(1))]),
    // Windows and its network
    ("psexec", &[(&["-p"], Way::Apart)]),
    ("psexec.exe", &[(&["-p"], Way::Apart)]),
    ("psexec64.exe", &[(&["-p"], Way::Apart)]),
    ("smbclient", &[(&["-U"], Way::After(b'%'))]),
    ("rpcclient", &[(&["-U"], Way::After(b'%'))]),
    ("mount.cifs", &[(&["-U"], Way::After(b'%'))]),
    ("net rpc", &[(&["-U"], Way::After(b'%'))]),
    ("net ads", &[(&["-U"], Way::After(b'%'))]),
    ("winexe", &[(&["-U"], Way::After(b'%'))]),
    ("pth-winexe", &[(&["-U"], Way::After(b'%'))]),
    ("runas", &[(&["/password:"], Way::Joined)]),
    ("smbmap", &[(&["-p"], Way::Apart)]),
    ("samba-tool user create", &[(&[], Way::Word(2))]),
    ("net use", &[(&["/user:", "/USER:"], Way::NextTo)]),
    ("net user", &[(&[], Way::Word(2))]),
    ("schtasks", &[(&["/rp", "/RP"], Way::Apart)]),
    ("winrs", &[(&["-p:", "/p:"], Way::Joined)]),
    ("xfreerdp", &[(&["/p:"], Way::Joined)]),
    ("wlfreerdp", &[(&["/p:"], Way::Joined)]),
    ("sdl-freerdp", &[(&["/p:"], Way::Joined)]),
    ("freerdp", &[(&["/p:"], Way::Joined)]),
    ("rdesktop", &[(&["-p"], Way::Either)]),
    ("certutil", &[(&["-p"], Way::Apart)]),
    ("signtool", &[(&["/p"], Way::Apart)]),
    ("convertto-securestring", &[(&["-String"], Way::Apart), (&[], Way::Word(1))]),
    ("evil-winrm", &[(&["-p"], Way::Apart)]),
    ("crackmapexec", &[(&["-p"], Way::Apart)]),
    ("netexec", &[(&["-p"], Way::Apart)]),
    ("nxc", &[(&["-p"], Way::Apart)]),
    // Shells, keys, directories
    ("sshpass", &[(&["-p"], Way::Either)]),
    ("plink", &[(&["-pw"], Way::Apart)]),
    ("pscp", &[(&["-pw"], Way::Apart)]),
    ("psftp", &[(&["-pw"], Way::Apart)]),
    ("putty", &[(&["-pw"], Way::Apart)]),
    ("ssh-keygen", &[(&["-N", "-P"], Way::Apart)]),
    ("ldapsearch", &[(&["-w"], Way::Either)]),
    ("ldapmodify", &[(&["-w"], Way::Either)]),
    ("ldapadd", &[(&["-w"], Way::Either)]),
    ("ldapdelete", &[(&["-w"], Way::Either)]),
    ("ldapwhoami", &[(&["-w"], Way::Either)]),
    ("ldappasswd", &[(&["-w", "-s", "-a"], Way::Apart)]),
    ("slappasswd", &[(&["-s"], Way::Apart)]),
    ("kinit", &[(&["--password"], Way::Apart), (&[], Way::Piped)]),
    ("kadmin", &[(&["-w", "-pw"], Way::Apart)]),
    ("addprinc", &[(&["-pw"], Way::Apart)]),
    ("openssl", &[(&["-k", "-K", "-passphrase"], Way::Apart)]),
    ("openssl passwd", &[(&["-1", "-5", "-6", "-apr1"], Way::Word(1))]),
    ("useradd", &[(&["-p"], Way::Apart)]),
    ("usermod", &[(&["-p"], Way::Apart)]),
    ("chpasswd", &[(&[], Way::Piped)]),
    ("passwd", &[(&[], Way::Piped)]),
    ("su", &[(&[], Way::Piped)]),
    ("send", &[(&[], Way::Sent)]),
    ("cryptsetup", &[(&[], Way::Piped)]),
    ("sshfs", &[(&["password_stdin"], Way::Piped)]),
    ("adcli", &[(&["--stdin-password"], Way::Piped)]),
    ("openconnect", &[(&["--passwd-on-stdin"], Way::Piped)]),
    ("gpg", &[(&["--passphrase-fd"], Way::Piped)]),
    ("security unlock-keychain", &[(&["-p"], Way::Apart)]),
    ("security create-keychain", &[(&["-p"], Way::Apart)]),
    ("security add-generic-password", &[(&["-w"], Way::Apart)]),
    ("doveadm pw", &[(&["-p"], Way::Apart)]),
    ("mkpasswd", &[(&["-m"], Way::Word(2))]),
    ("caddy hash-password", &[(&["--plaintext"], Way::Apart)]),
    ("pk12util", &[(&["-W", "-K"], Way::Apart)]),
    // Archives and documents
    ("7z", &[(&["-p"], Way::Joined)]),
    ("7za", &[(&["-p"], Way::Joined)]),
    ("7zz", &[(&["-p"], Way::Joined)]),
    ("rar", &[(&["-p", "-hp"], Way::Joined)]),
    ("unrar", &[(&["-p"], Way::Joined)]),
    ("zip", &[(&["-P"], Way::Apart)]),
    ("unzip", &[(&["-P"], Way::Either)]),
    ("pdftk", &[(&["user_pw", "owner_pw", "input_pw"], Way::Apart)]),
    ("qpdf", &[(&["--encrypt"], Way::Apart)]),
    ("pdftotext", &[(&["-upw", "-opw"], Way::Apart)]),
    ("rclone config", &[(&["pass"], Way::Apart)]),
    ("veracrypt", &[(&["-p"], Way::Apart)]),
    ("rclone obscure", &[(&[], Way::Word(1))]),
    // Networks and machines
    ("nmcli", &[(&["password", "wifi-sec.psk", "802-11-wireless-security.psk"], Way::Apart)]),
    ("wpa_passphrase", &[(&[], Way::Word(2))]),
    ("networksetup -setairportnetwork", &[(&[], Way::Word(3))]),
    ("do_wifi_ssid_passphrase", &[(&[], Way::Word(2))]),
    ("iwconfig", &[(&["key"], Way::Apart)]),
    ("mosquitto_pub", &[(&["-P"], Way::Apart)]),
    ("mosquitto_sub", &[(&["-P"], Way::Apart)]),
    ("mosquitto_passwd", &[(&["-b"], Way::Word(3))]),
    ("snmpget", &[(&["-A", "-X", "-c"], Way::Apart)]),
    ("snmpset", &[(&["-A", "-X", "-c"], Way::Apart)]),
    ("snmpwalk", &[(&["-A", "-X", "-c"], Way::Apart)]),
    ("snmp-server community", &[(&[], Way::Word(1))]),
    ("ipmitool", &[(&["-P"], Way::Apart)]),
    ("racadm", &[(&["-p"], Way::Apart)]),
    ("vncviewer", &[(&["-passwd"], Way::Apart)]),
    ("ejabberdctl register", &[(&[], Way::Word(3))]),
    ("prosodyctl register", &[(&[], Way::Word(3))]),
    ("swaks", &[(&["-ap"], Way::Apart)]),
    ("sendemail", &[(&["-xp"], Way::Apart)]),
    ("vmrun", &[(&["-gp"], Way::Apart)]),
    ("svn", &[(&["--password"], Way::Apart)]),
    ("ansible", &[(&["-e"], Way::After(b':'))]),
];

/// The names of the commands, in the order of [`find`]'s `which`.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().map(|(name, _)| *name)
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
/// Where commands crowd, as no line of a shell has them, the caller hands only the text that may be read.
pub(crate) fn find(text: &[u8], at: usize, which: usize, hide: &mut dyn FnMut(usize, usize, Class)) -> usize {
    let (name, takings) = COMMANDS[which];
    let after = at + name.len();
    let begins = at == 0 || !(text[at - 1].is_ascii_alphanumeric() || matches!(text[at - 1], b'-' | b'_' | b'.'));
    if !(begins && text.get(after).is_none_or(u8::is_ascii_whitespace)) {
        return after;
    }
    let stated = is_stated(text, at);
    let mut read = after;
    for (flags, way) in takings {
        let mut command = Command { text, flags, way: *way, stated, hide: &mut *hide };
        read = read.max(match way {
            Way::Piped => command.piped(at, after),
            Way::Sent => command.sent(at, after),
            Way::Word(_) | Way::Login => command.words(after),
            _ => command.flags(after),
        });
    }
    read
}

/// Tells whether a command stands where a shell would read one: at the beginning of a line, behind a prompt or another
/// command. Elsewhere it may be prose that speaks of it.
fn is_stated(text: &[u8], at: usize) -> bool {
    let lead = &text[at.saturating_sub(64)..at];
    let mut line = lead[memchr::memrchr(b'\n', lead).map_or(0, |i| i + 1)..].trim_ascii();
    while let Some(rest) = line.strip_suffix(b"sudo") {
        line = rest.trim_ascii_end();
    }
    line.last().is_none_or(|b| b"$#>|;&(`\"'%!".contains(b))
}

/// A command and how it takes a secret.
struct Command<'t, 'h> {
    text: &'t [u8],
    flags: &'static [&'static str],
    way: Way,
    stated: bool,
    hide: &'h mut dyn FnMut(usize, usize, Class),
}

impl Command<'_, '_> {
    /// Tells whether a word can be what the command was given.
    fn good(&self, start: usize, end: usize) -> bool {
        let word = &self.text[start..end];
        (3..=256).contains(&word.len()) && !is_stand_in(word) && word[0] != b'-'
    }

    /// As [`good`](Self::good), and no word of prose.
    fn chosen(&self, start: usize, end: usize) -> bool {
        let dress = if self.stated { Dress::Plain } else { Dress::Loose };
        self.good(start, end) && is_secret(&self.text[start..end], Strength::Strong, dress)
    }

    /// Reads the words of the line for flags.
    fn flags(&mut self, after: usize) -> usize {
        let text = self.text;
        let mut list = words(text, after, text.len().min(after + 1024)).peekable();
        let mut read = after;
        let mut before = None;
        while let Some((start, end)) = list.next() {
            read = start;
            let word = &text[start..end];
            let Some(flag) = self.flags.iter().find(|flag| word.starts_with(flag.as_bytes())) else {
                before = Some((start, end));
                continue;
            };
            let joined = start + flag.len();
            let exact = word.len() == flag.len();
            match self.way {
                Way::Joined if !exact => self.joined(joined, end),
                Way::Either | Way::Apart if exact => {
                    if let Some((from, to)) = list.next()
                        && self.good(from, to)
                    {
                        (self.hide)(from, to, Class::Password);
                    }
                }
                Way::Either
                    if !word.starts_with(b"--")
                        && self.good(joined, end)
                        && is_secret(&text[joined..end], Strength::Strong, Dress::Loose) =>
                {
                    (self.hide)(joined, end, Class::Password);
                }
                Way::After(sign) => {
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
                    self.after_sign(sign, from, to);
                }
                Way::NextTo => {
                    let next = list.peek().copied();
                    for (from, to) in [next, before].into_iter().flatten() {
                        let place = matches!(text[from], b'/' | b'\\') || text[to - 1] == b':';
                        if self.good(from, to) && !place && to - from >= 4 {
                            (self.hide)(from, to, Class::Password);
                            break;
                        }
                    }
                }
                _ => {}
            }
        }
        read
    }

    /// `-pX`. `-port=3306`, `-protocol` are other flags.
    fn joined(&mut self, start: usize, end: usize) {
        let (from, to) = unquoted(self.text, start, end);
        let value = &self.text[from..to];
        let small = |part: &[u8]| part.iter().all(u8::is_ascii_lowercase);
        let other = small(value) && value.len() < 5 || memchr::memchr(b'=', value).is_some_and(|i| small(&value[..i]));
        if self.good(from, to) && !other {
            (self.hide)(from, to, Class::Password);
        }
    }

    /// `user:X` in `text[from..to]`.
    fn after_sign(&mut self, sign: u8, from: usize, to: usize) {
        let Some(i) = memchr::memchr(sign, &self.text[from..to]) else { return };
        let (user, secret) = (&self.text[from..from + i], &self.text[from + i + 1..to]);
        let variable = user.starts_with(b"$") || user.starts_with(b"<");
        // A key may stand for the user, with no password behind it.
        let look = Look::of(user);
        if secret.is_empty() && user.len() >= 5 && look.digits > 0 && !variable && !is_stand_in(user) {
            (self.hide)(from, to, Class::AuthHeader);
        }
        if secret.len() < 3 || variable || is_stand_in(secret) || is_stand_in(&self.text[from..to]) {
            return;
        }
        (self.hide)(from + i + 1, to, Class::Password);
        // The user's name goes too: together they are the credential.
        if is_secret(secret, Strength::Strong, Dress::Loose) && user.len() > 2 {
            (self.hide)(from, to, Class::AuthHeader);
        }
    }

    /// Reads the words of the line for the one of a number, or for a login.
    fn words(&mut self, after: usize) -> usize {
        let text = self.text;
        let list: Vec<_> = words(text, after, text.len().min(after + 512)).take(12).collect();
        let read = list.last().map_or(after, |(start, _)| *start);
        let is_flag =
            |(start, end): &(usize, usize)| self.flags.iter().any(|flag| flag.as_bytes() == &text[*start..*end]);
        if !self.flags.is_empty() && !list.iter().any(is_flag) {
            return read;
        }
        let mut bare = list.iter().copied().filter(|(start, _)| text[*start] != b'-');
        match self.way {
            Way::Word(n) => {
                if let Some((start, end)) = bare.nth(n - 1)
                    && !text[start..end].contains(&b'=')
                    && self.chosen(start, end)
                {
                    (self.hide)(start, end, Class::Password);
                }
            }
            _ => {
                if let Some((start, end)) = bare.find_map(|(start, end)| login(text, start, end))
                    && self.chosen(start, end)
                {
                    (self.hide)(start, end, Class::Password);
                }
            }
        }
        read
    }

    /// `expect "password:"; send "X\r"`.
    fn sent(&mut self, at: usize, after: usize) -> usize {
        let text = self.text;
        let lead = &text[at.saturating_sub(96)..at];
        let asked = [&b"assword"[..], b"assphrase", b"asscode"].iter().any(|w| memchr::memmem::find(lead, w).is_some());
        let mut list = words(text, after, text.len().min(after + 256));
        if let Some((start, end)) = list.find(|(start, _)| text[*start] != b'-').filter(|_| asked)
            && let Some(value) = text[start..end].strip_suffix(b"\\r").or_else(|| text[start..end].strip_suffix(b"\\n"))
            && self.good(start, start + value.len())
        {
            (self.hide)(start, start + value.len(), Class::Password);
        }
        after
    }

    /// `echo X | command`, `command <<< X`: from the place of the command.
    fn piped(&mut self, at: usize, after: usize) -> usize {
        let reach = self.text.len().min(after + 256);
        let flagged = |(start, end): (usize, usize)| {
            self.flags.iter().any(|flag| self.text[start..end].starts_with(flag.as_bytes()))
        };
        if self.flags.is_empty() || words(self.text, after, reach).any(flagged) {
            piped_in(self.text, at, self.hide);
            behind_arrows(self.text, after, self.hide);
        }
        memchr::memchr(b'\n', &self.text[after..reach]).map_or(reach, |i| after + i)
    }
}

/// The secret in `user/secret@place`, perhaps behind `userid=`.
fn login(text: &[u8], start: usize, end: usize) -> Option<(usize, usize)> {
    let slash = start + memchr::memchr(b'/', &text[start..end])?;
    let stop = memchr::memchr(b'@', &text[slash..end]).map_or(end, |i| slash + i);
    let user = &text[start..slash];
    let name = user.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$' | b'#' | b'='));
    (!user.is_empty() && name && stop > slash + 1).then_some((slash + 1, stop))
}

/// `-u bob -p X`: a flag of passwords beside one of users, whatever the command; `at` is the blank before the flag.
pub(crate) fn find_login(text: &[u8], at: usize, hide: &mut dyn FnMut(usize, usize, Class)) {
    const USERS: [&[u8]; 6] = [b"-u", b"-U", b"-l", b"-D", b"--user", b"--username"];
    let reach = text.len().min(at + 320);
    let lead = &text[at.saturating_sub(96)..at];
    let line = &lead[memchr::memrchr(b'\n', lead).map_or(0, |i| i + 1)..];
    let mut before = line.rsplit(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let named = before.next().is_some_and(|user| user[0] != b'-') && before.next().is_some_and(|w| USERS.contains(&w));
    if !named {
        return;
    }
    let mut list = words(text, at, reach);
    let (Some(flag), Some((start, end))) = (list.next(), list.next()) else { return };
    let value = &text[start..end];
    let port = value.iter().all(|b| b.is_ascii_digit() || matches!(b, b':' | b'.' | b'/'));
    // These ask when the flag stands alone.
    let asks = [&b"mysql"[..], b"mariadb", b"mycli"].iter().any(|word| memchr::memmem::find(line, word).is_some());
    let spoken = matches!(value[0], b'-' | b'[' | b'(');
    if !asks && !spoken && flag.1 - flag.0 <= 3 && value.len() >= 3 && !port && !is_stand_in(value) {
        hide(start, end, Class::Password);
    }
}

/// `echo X | sudo -S`: the word before the pipe, from the place of `sudo`.
pub(crate) fn find_piped(text: &[u8], sudo: usize, hide: &mut dyn FnMut(usize, usize, Class)) {
    let flags = &text[sudo..text.len().min(sudo + 24)];
    let line = &flags[..memchr::memchr(b'\n', flags).unwrap_or(flags.len())];
    let asks_standard_input =
        line.split(|b| *b == b' ').any(|word| word == b"-S" || word == b"--stdin" || word == b"-kS" || word == b"-Sk");
    if asks_standard_input {
        piped_in(text, sudo, hide);
        behind_arrows(text, sudo, hide);
    }
}

/// What `echo` or `printf` pipe into the command at `at`.
fn piped_in(text: &[u8], at: usize, hide: &mut dyn FnMut(usize, usize, Class)) {
    let from = at.saturating_sub(256);
    let lead = &text[from..at];
    let Some(pipe) = memchr::memrchr(b'|', lead) else { return };
    // Nothing stands between but another command that runs this one; on a line before, the pipe ends that line.
    let between = &lead[pipe + 1..];
    let runs =
        between.trim_ascii().is_empty() || between.trim_ascii().starts_with(b"sudo") && !between.contains(&b'\n');
    if !runs {
        return;
    }
    let start = memchr::memrchr(b'\n', &lead[..pipe]).map_or(0, |i| i + 1);
    for command in [&b"echo "[..], b"printf "] {
        if let Some(i) = memchr::memmem::rfind(&lead[start..pipe], command) {
            let said = start + i + command.len();
            for (a, b) in words(text, from + said, from + pipe) {
                said_to(text, a, b, hide);
            }
        }
    }
}

/// What stands behind `<<<` on the line of the command.
fn behind_arrows(text: &[u8], after: usize, hide: &mut dyn FnMut(usize, usize, Class)) {
    let rest = &text[after..text.len().min(after + 256)];
    let line = &rest[..memchr::memchr(b'\n', rest).unwrap_or(rest.len())];
    if let Some(i) = memchr::memmem::find(line, b"<<<")
        && let Some((a, b)) = words(text, after + i + 3, after + line.len()).next()
    {
        said_to(text, a, b, hide);
    }
}

/// A word that a command reads: all of it is secret, but for the user's name before a colon and the escape at its end.
fn said_to(text: &[u8], start: usize, end: usize, hide: &mut dyn FnMut(usize, usize, Class)) {
    let word = &text[start..end];
    let name = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-');
    let user = memchr::memchr(b':', word).filter(|i| *i > 0 && word[..*i].iter().all(name)).map_or(0, |i| i + 1);
    let end = end - if word.ends_with(b"\\n") { 2 } else { 0 };
    if word[0] != b'-' && end > start + user && !is_stand_in(&text[start + user..end]) {
        hide(start + user, end, Class::Password);
    }
}
