//! What is never captured, whatever a session says: keys, passwords, browser profiles, wallets, caches and other debris.
//!
//! The rules are a table of names. Those that guard secrets hold everywhere, even for a folder that was named; those against
//! noise hold below the named folders, so that naming a cache outright still captures it. Nothing here looks at content but
//! [`holds_private_key`].

use std::path::Path;

/// One rule of the list.
#[derive(Debug)]
pub struct Rule {
    /// Its name, which does not change.
    pub name: &'static str,
    /// Why what it names is left alone, and what to do about it.
    pub why: &'static str,
    /// It guards a secret: naming the folder does not lift it.
    pub secret: bool,
    /// What it names: `*` stands for anything within a name, `a/b` for `b` in `a`, a final `/` for folders only, a leading `/`
    /// for the root of the file system. Upper and lower case of ASCII letters are the same.
    pub patterns: &'static [&'static str],
    /// What it does not name after all.
    pub except: &'static [&'static str],
}

/// The whole list, secrets first.
pub fn rules() -> &'static [Rule] {
    RULES
}

/// The rule that names this path, by its own name and those of the folders right above it.
///
/// It is asked once for every step of the way down, so it does not look further up by itself; see [`secret_above`].
pub fn rule_for(path: &Path, is_dir: bool) -> Option<&'static Rule> {
    RULES.iter().find(|rule| {
        rule.patterns.iter().any(|pattern| names(pattern, path, is_dir))
            && !rule.except.iter().any(|pattern| names(pattern, path, is_dir))
    })
}

/// The rule that guards a secret in this path or in any folder above it.
pub fn secret_above(path: &Path, is_dir: bool) -> Option<&'static Rule> {
    path.ancestors().enumerate().find_map(|(up, step)| rule_for(step, up > 0 || is_dir).filter(|rule| rule.secret))
}

/// Says why the rule with this name leaves something alone.
pub fn sentence(name: &str) -> String {
    match RULES.iter().find(|rule| rule.name == name) {
        Some(rule) => format!("{} (rule `{name}`)", rule.why),
        None if name == PRIVATE_KEY => format!("it begins with a private key (rule `{name}`)"),
        None if name == HEARTH_DATA => format!("it is hearth's own data folder (rule `{name}`)"),
        None if name == CACHE_TAG => format!("its CACHEDIR.TAG says that it can be made again (rule `{name}`)"),
        None => format!("rule `{name}`"),
    }
}

/// The rule for files whose content begins with a private key, whatever they are called.
pub const PRIVATE_KEY: &str = "private-key";
/// The rule for hearth's own data folder.
pub const HEARTH_DATA: &str = "hearth-data";
/// The rule for folders with a `CACHEDIR.TAG` in them (bford.info/cachedir).
pub const CACHE_TAG: &str = "cache-folder";
/// What such a file begins with.
pub const CACHE_TAG_SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// Tells whether a file begins with a private key, after blank lines at most.
pub fn holds_private_key(head: &[u8]) -> bool {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let ends = |end: &[u8]| line.windows(end.len()).any(|part| part == end);
    (line.starts_with(b"-----BEGIN ") && (ends(b"PRIVATE KEY-----") || ends(b"PRIVATE KEY BLOCK-----")))
        || line.starts_with(b"---- BEGIN SSH2 ENCRYPTED PRIVATE KEY")
        || line.starts_with(b"PuTTY-User-Key-File-")
        || line.starts_with(b"AGE-SECRET-KEY-1")
}

/// Matches a pattern against the end of a path, name by name.
fn names(pattern: &str, path: &Path, is_dir: bool) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let folders_only = pattern.ends_with('/');
    if folders_only && !is_dir {
        return false;
    }
    let pattern = pattern.trim_end_matches('/');
    let (absolute, pattern) = match pattern.strip_prefix('/') {
        Some(rest) => (true, rest),
        None => (false, pattern),
    };
    let mut steps = path.iter().rev();
    let all = pattern.rsplit('/').all(|part| steps.next().is_some_and(|name| fits(part.as_bytes(), name.as_bytes())));
    all && (!absolute || steps.next().is_some_and(|root| root == "/") && steps.next().is_none())
}

/// Matches one name against a pattern with `*` in it. Linear in the name for each star, as there are few.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let Some(star) = pattern.iter().position(|byte| *byte == b'*') else { return pattern.eq_ignore_ascii_case(name) };
    let (before, after) = (&pattern[..star], &pattern[star + 1..]);
    let Some((head, tail)) = name.split_at_checked(before.len()) else { return false };
    head.eq_ignore_ascii_case(before) && (0..=tail.len()).any(|skip| fits(after, &tail[skip..]))
}

const RULES: &[Rule] = &[
    Rule {
        name: "ssh-keys",
        why: "SSH keys and the hosts they open stay where they are",
        secret: true,
        patterns: &[".ssh/", "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "id_*_sk", "ssh_host_*_key", "*.ppk"],
        except: &[],
    },
    Rule {
        name: "gnupg",
        why: "GnuPG key rings and encrypted files stay where they are",
        secret: true,
        patterns: &[".gnupg/", "secring.*", "private-keys-v1.d/", "*.gpg", "*.pgp"],
        except: &[],
    },
    Rule {
        name: "key-files",
        why: "files of this kind hold private keys or certificates",
        secret: true,
        patterns: &[
            "*.pem",
            "*.key",
            "*.p12",
            "*.pfx",
            "*.p8",
            "*.jks",
            "*.jceks",
            "*.bks",
            "*.keystore",
            "*.keytab",
            "*.ovpn",
            "*.age",
            "*.agekey",
            ".age/",
            "age/keys.txt",
        ],
        except: &[],
    },
    Rule {
        name: "cloud-credentials",
        why: "it opens accounts and clusters of a cloud provider",
        secret: true,
        patterns: &[
            ".aws/credentials",
            ".aws/sso/",
            ".aws/cli/",
            ".azure/",
            ".config/gcloud/",
            "application_default_credentials.json",
            ".kube/",
            "kubeconfig",
            "*.kubeconfig",
            ".docker/config.json",
            ".dockercfg",
            "containers/auth.json",
            ".terraform.d/",
            "*.tfstate",
            "*.tfstate.*",
            "*.tfvars",
            "*.tfvars.json",
            ".oci/",
            ".config/doctl/",
            ".config/gh/hosts.yml",
            ".config/glab-cli/",
            ".config/hub",
            ".config/rclone/",
            "rclone.conf",
            ".boto",
            ".s3cfg",
            ".config/hcloud/",
            "client_secret*.json",
            "service-account*.json",
            "service_account*.json",
            ".vault-token",
            ".fly/",
            ".config/heroku/",
            ".config/op/",
            ".databrickscfg",
            ".snowsql/",
        ],
        except: &[],
    },
    Rule {
        name: "login-files",
        why: "files of this name hold logins in the clear",
        secret: true,
        patterns: &[
            ".netrc",
            "_netrc",
            ".authinfo",
            ".pgpass",
            "pgpass.conf",
            ".my.cnf",
            ".mylogin.cnf",
            ".git-credentials",
            "git/credentials",
            ".npmrc",
            ".yarnrc.yml",
            ".pypirc",
            ".cargo/credentials",
            ".cargo/credentials.toml",
            ".gem/credentials",
            ".htpasswd",
            ".m2/settings.xml",
            ".m2/settings-security.xml",
            ".msmtprc",
            ".fetchmailrc",
            ".mbsyncrc",
            ".offlineimaprc",
            ".smbcredentials",
            "wpa_supplicant*.conf",
            "system-connections/",
            "*.nmconnection",
            "/etc/shadow",
            "/etc/shadow-",
            "/etc/gshadow",
            "/etc/gshadow-",
            "/etc/sudoers.d/",
            "credentials.json",
            "credentials.toml",
            "credentials.yml",
            "credentials.yaml",
            ".Xauthority",
            ".ICEauthority",
            ".config/git/credentials",
            ".subversion/auth/",
            ".config/filezilla/",
            "sitemanager.xml",
            ".huggingface/token",
        ],
        except: &[],
    },
    Rule {
        name: "secret-settings",
        why: "settings of this name are where programs keep their passwords; put what is not secret into another file",
        secret: true,
        patterns: &[
            ".env",
            ".env.*",
            "*.env",
            ".envrc",
            "secrets.json",
            "secrets.toml",
            "secrets.yml",
            "secrets.yaml",
            ".secrets/",
            ".secrets",
            "*.secret",
            "*.secrets",
            "local.settings.json",
            "master.key",
        ],
        except: &[".env.example", ".env.sample", ".env.template", ".env.dist", "example.env", "sample.env"],
    },
    Rule {
        name: "password-databases",
        why: "password managers keep their own watch over it",
        secret: true,
        patterns: &[
            "*.kdbx",
            "*.kdb",
            "*.psafe3",
            "*.pwsafe",
            "*.1pif",
            "*.1pux",
            "*.opvault",
            "*.agilekeychain",
            "*.enpassdb",
            ".password-store/",
            "password-store/",
            ".config/1Password/",
            ".1password/",
            ".config/Bitwarden*/",
            "Application Support/Bitwarden*/",
            "bitwarden_export*",
            "bitwarden_encrypted_export*",
            "lastpass_export*",
            "kwalletd/",
            "*.kwl",
            "share/keyrings/",
            "*.keyring",
            "*.keychain",
            "*.keychain-db",
            "keepassxc/",
            ".lastpass/",
            ".lpass/",
            "*.otpauth",
            "*.authdb",
        ],
        except: &[],
    },
    Rule {
        name: "browser-profiles",
        why: "browser profiles hold cookies, passwords and private pages",
        secret: true,
        patterns: &[
            ".mozilla/",
            ".librewolf/",
            ".waterfox/",
            ".zen/",
            ".floorp/",
            ".tor-browser/",
            "tor-browser*/",
            ".config/google-chrome*/",
            ".config/chromium*/",
            ".config/BraveSoftware/",
            ".config/microsoft-edge*/",
            ".config/vivaldi*/",
            ".config/opera*/",
            ".config/qutebrowser/",
            ".local/share/qutebrowser/",
            "snap/firefox/",
            "snap/chromium/",
            "snap/brave/",
            ".var/app/org.mozilla.firefox/",
            ".var/app/com.google.Chrome/",
            ".var/app/org.chromium.Chromium/",
            ".var/app/com.brave.Browser/",
            "Google/Chrome/",
            "Mozilla/Firefox/",
            "Application Support/Firefox/",
            "Application Support/Google/",
            "Library/Safari/",
            "cookies.sqlite",
            "logins.json",
            "key4.db",
            "key3.db",
            "signons.sqlite",
            "Default/Login Data",
            "Default/Cookies",
            "Network/Cookies",
            "Default/Web Data",
            "places.sqlite",
            "formhistory.sqlite",
            "sessionstore*.jsonlz4",
        ],
        except: &[],
    },
    Rule {
        name: "wallets",
        why: "whoever reads a wallet may empty it",
        secret: true,
        patterns: &[
            "wallet.dat",
            "*.wallet",
            "default_wallet",
            ".electrum/",
            ".electrum-ltc/",
            ".bitcoin/",
            ".litecoin/",
            ".dogecoin/",
            ".dashcore/",
            ".zcash/",
            ".monero/",
            ".ethereum/",
            ".config/solana/",
            "keystore/UTC--*",
            "UTC--*",
            ".config/Exodus/",
            "Application Support/Exodus/",
            "Ledger Live/",
            "trezor-suite/",
            ".atomic/",
            ".cardano/",
            ".config/Electrum/",
            ".lnd/",
            "*.seco",
        ],
        except: &[],
    },
    Rule {
        name: "private-messages",
        why: "messengers and mail programs keep other people's words; they need a source of their own",
        secret: true,
        patterns: &[
            ".config/Signal/",
            "TelegramDesktop/",
            ".config/Element/",
            ".config/discord/",
            ".config/Slack/",
            ".thunderbird/",
            ".config/evolution/",
            ".local/share/evolution/",
            ".purple/",
            ".config/WhatsApp*/",
        ],
        except: &[],
    },
    Rule {
        name: "system-folders",
        why: "it is the running system, not something that somebody wrote",
        secret: true,
        patterns: &["/proc/", "/sys/", "/dev/", "/run/secrets/", "/run/credentials/", "/boot/"],
        except: &[],
    },
    Rule {
        name: "version-control",
        why: "it is version control's own storage; the files themselves are captured where they are checked out",
        secret: false,
        patterns: &[".git", ".hg/", ".svn/", ".jj/", ".bzr/", "_darcs/", ".pijul/", "CVS/", ".sl/"],
        except: &[],
    },
    Rule {
        name: "dependencies",
        why: "it was installed or built by a tool and can be made again",
        secret: false,
        patterns: &[
            "node_modules/",
            "bower_components/",
            "__pycache__/",
            "*.pyc",
            ".venv/",
            "site-packages/",
            ".tox/",
            ".nox/",
            ".mypy_cache/",
            ".pytest_cache/",
            ".ruff_cache/",
            ".ipynb_checkpoints/",
            ".gradle/",
            ".cargo/registry/",
            ".cargo/git/",
            ".rustup/",
            ".npm/",
            ".pnpm-store/",
            ".yarn/",
            ".bun/",
            ".m2/repository/",
            "pkg/mod/",
            ".terraform/",
            ".next/",
            ".nuxt/",
            ".svelte-kit/",
            ".angular/",
            ".parcel-cache/",
            ".turbo/",
            ".eggs/",
            "*.egg-info/",
            "*.dist-info/",
            ".stack-work/",
            "dist-newstyle/",
            ".dart_tool/",
            ".pub-cache/",
            "elm-stuff/",
            ".bundle/",
            "_build/deps/",
            ".ccache/",
            ".sccache/",
            "DerivedData/",
            ".conda/",
            ".pyenv/",
            ".nvm/",
            ".rbenv/",
            ".sdkman/",
        ],
        except: &[],
    },
    Rule {
        name: "caches",
        why: "it is a cache and can be made again",
        secret: false,
        patterns: &[
            ".cache/",
            "GPUCache/",
            "Code Cache/",
            "CacheStorage/",
            "ShaderCache/",
            ".thumbnails/",
            "Library/Caches/",
            ".dropbox.cache/",
            ".fontconfig/",
            ".nv/",
            ".var/app/*/cache/",
        ],
        except: &[],
    },
    Rule {
        name: "trash",
        why: "somebody threw it away",
        secret: false,
        patterns: &[
            ".Trash/",
            ".Trash-*/",
            ".Trashes/",
            "share/Trash/",
            "$RECYCLE.BIN/",
            "RECYCLER/",
            "lost+found/",
            "System Volume Information/",
            "#recycle/",
            "@eaDir/",
        ],
        except: &[],
    },
    Rule {
        name: "versions-kept",
        why: "it holds older copies of files that are captured themselves",
        secret: false,
        patterns: &[".stversions/", ".stfolder", ".snapshots/", "#snapshot/", "~snapshot/", ".sync/", ".zfs/"],
        except: &[],
    },
    Rule {
        name: "temporary-files",
        why: "programs leave such files behind while they work",
        secret: false,
        patterns: &[
            "*.swp",
            "*.swo",
            "*.swn",
            "*~",
            "#*#",
            ".#*",
            "*.tmp",
            "*.temp",
            "*.bak",
            "*.orig",
            "*.rej",
            "*.part",
            "*.partial",
            "*.crdownload",
            "*.download/",
            "~$*",
            ".~lock.*",
            ".DS_Store",
            "Thumbs.db",
            "desktop.ini",
            ".nfs*",
            ".fuse_hidden*",
            ".goutputstream-*",
            ".syncthing.*.tmp",
            "~syncthing~*",
            "*.pid",
            "*.lock",
            "*.sock",
        ],
        except: &["Cargo.lock", "*.lock/"],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    fn rule_of(path: &str) -> Option<&'static str> {
        let (path, is_dir) = path.strip_suffix('/').map_or((path, false), |path| (path, true));
        rule_for(Path::new(path), is_dir).map(|rule| rule.name)
    }

    #[test]
    fn each_kind_of_secret_and_debris_has_a_rule() {
        for (path, rule) in [
            ("/home/a/.ssh/", "ssh-keys"),
            ("/backup/ID_RSA", "ssh-keys"),
            ("/etc/ssh/ssh_host_ed25519_key", "ssh-keys"),
            ("/home/a/.gnupg/", "gnupg"),
            ("/home/a/letter.gpg", "gnupg"),
            ("/srv/tls/Server.KEY", "key-files"),
            ("/srv/tls/chain.pem", "key-files"),
            ("/srv/store.jks", "key-files"),
            ("/home/a/.aws/credentials", "cloud-credentials"),
            ("/home/a/.kube/", "cloud-credentials"),
            ("/home/a/.docker/config.json", "cloud-credentials"),
            ("/home/a/infra/prod.tfstate", "cloud-credentials"),
            ("/home/a/.netrc", "login-files"),
            ("/home/a/.pgpass", "login-files"),
            ("/etc/shadow", "login-files"),
            ("/home/a/app/.env", "secret-settings"),
            ("/home/a/app/.env.production", "secret-settings"),
            ("/home/a/app/prod.env", "secret-settings"),
            ("/home/a/main.kdbx", "password-databases"),
            ("/home/a/.password-store/", "password-databases"),
            ("/home/a/.local/share/keyrings/", "password-databases"),
            ("/home/a/.local/share/kwalletd/", "password-databases"),
            ("/home/a/.mozilla/", "browser-profiles"),
            ("/home/a/.config/google-chrome-beta/", "browser-profiles"),
            ("/old/profile/logins.json", "browser-profiles"),
            ("/home/a/wallet.dat", "wallets"),
            ("/home/a/.electrum/", "wallets"),
            ("/home/a/keystore/UTC--2020-01-01T00-00-00Z--ab", "wallets"),
            ("/home/a/.thunderbird/", "private-messages"),
            ("/proc/", "system-folders"),
            ("/home/a/p/.git/", "version-control"),
            ("/home/a/p/.git", "version-control"),
            ("/home/a/p/node_modules/", "dependencies"),
            ("/home/a/p/__pycache__/", "dependencies"),
            ("/home/a/.cache/", "caches"),
            ("/home/a/.local/share/Trash/", "trash"),
            ("/mnt/usb/.Trash-1000/", "trash"),
            ("/home/a/Sync/.stversions/", "versions-kept"),
            ("/home/a/.notes.md.swp", "temporary-files"),
            ("/home/a/notes.md~", "temporary-files"),
            ("/home/a/#notes.md#", "temporary-files"),
        ] {
            assert_eq!(rule_of(path), Some(rule), "{path}");
        }
    }

    #[test]
    fn ordinary_names_have_no_rule() {
        for path in [
            "/home/a/notes/keys.md",
            "/home/a/notes/keyboard.keyring.md",
            "/home/a/app/.env.example",
            "/home/a/credentials/",
            "/home/a/app/environment.rs",
            "/home/a/aws/credentials.md",
            "/home/a/proc/",
            "/home/a/node_modules",
            "/home/a/Cargo.lock",
            "/home/a/monkey",
            "/home/a/tmp/",
            "/tmp/",
            "/home/a/recipes/Cookies/",
            "/home/a/git/",
        ] {
            assert_eq!(rule_of(path), None, "{path}");
        }
    }

    #[test]
    fn a_secret_holds_below_the_folder_that_names_it_and_noise_does_not() {
        assert_eq!(
            secret_above(Path::new("/home/a/.ssh/deep/notes.md"), false).map(|rule| rule.name),
            Some("ssh-keys")
        );
        assert!(secret_above(Path::new("/home/a/.cache/notes.md"), false).is_none());
    }

    #[test]
    fn a_private_key_is_known_by_how_it_begins() {
        for (case, head, expected) in [
            ("OpenSSH", &b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl"[..], true),
            ("after a blank line and a byte order mark", b"\xef\xbb\xbf\n-----BEGIN RSA PRIVATE KEY-----\n", true),
            ("PGP", b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n", true),
            ("PuTTY", b"PuTTY-User-Key-File-3: ssh-ed25519\n", true),
            ("a public key", b"-----BEGIN PUBLIC KEY-----\n", false),
            ("a text about keys", b"A PRIVATE KEY begins with -----BEGIN PRIVATE KEY-----\n", false),
            ("nothing", b"", false),
        ] {
            assert_eq!(holds_private_key(head), expected, "{case}");
        }
    }

    #[test]
    fn every_rule_has_a_name_of_its_own_and_says_why() {
        let mut names: Vec<_> = RULES.iter().map(|rule| rule.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), RULES.len());
        for rule in RULES {
            assert!(sentence(rule.name).contains(rule.why), "{}", rule.name);
        }
    }
}
