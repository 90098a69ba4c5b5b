//! Stored passwords and passwords given to commands, form by form: what must not survive, and what stays.
//!
//! Every value here was made up for these tables by the published grammar of its form; none was ever issued.

use hearth_text::{Raw, Rules};

fn redacted(text: &str) -> String {
    Rules::standard().redact(Raw::new(text)).into_parts().0
}

/// So many characters drawn from `alphabet`, the same each time.
fn drawn(n: usize, alphabet: &[u8]) -> String {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = |_| {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        char::from(alphabet[usize::try_from(state >> 40).expect("24 bits") % alphabet.len()])
    };
    (0..n).map(next).collect()
}

fn crypt(n: usize) -> String {
    drawn(n, b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
}

fn base64(n: usize) -> String {
    drawn(n, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
}

fn hex(n: usize) -> String {
    drawn(n, b"0123456789abcdef")
}

#[test]
fn stored_passwords_are_hidden_in_every_form_that_systems_keep_them() {
    let (c, b, h) = (crypt, base64, hex);
    let forms = [
        ("crypt, SHA-512", "root:", format!("$6${}${}", c(16), c(86)), ":19000:0:99999:7:::"),
        ("crypt with rounds", "root:", format!("$6$rounds=656000${}${}", c(16), c(86)), ":19000::::::"),
        ("crypt, MD5", "root:", format!("$1${}${}", c(8), c(22)), ":19000::::::"),
        ("yescrypt", "root:", format!("$y$j9T${}${}", c(22), c(43)), ":19000::::::"),
        ("crypt, DES", "bob:", "aZ3xK9q.mW7Pe".to_owned(), ":17736:0:99999:7:::"),
        ("bcrypt", "hash is ", format!("$2b$12${}", c(53)), " ok"),
        ("Argon2", "", format!("$argon2id$v=19$m=65536,t=3,p=4${}${}", b(22), b(43)), ""),
        ("scrypt", "", format!("$scrypt$ln=16,r=8,p=1${}${}", b(22), b(43)), ""),
        ("PBKDF2 of passlib", "", format!("$pbkdf2-sha512$25000${}${}", c(22), c(86)), ""),
        ("Django", "('bob', '", format!("pbkdf2_sha256$600000${}${}=", "kQzJtfhTqLxvRzWm", b(43)), "', 1)"),
        ("Django, bcrypt", "", format!("bcrypt_sha256$$2b$12${}", c(53)), ""),
        ("Django, Argon2", "", format!("argon2$argon2id$v=19$m=102400,t=2,p=8${}${}", b(22), b(43)), ""),
        ("Django, SHA-1", "", format!("sha1$kQzJtfhTqLxv${}", h(40)), ""),
        ("Werkzeug", "", format!("pbkdf2:sha256:260000$kQzJtfhTqLxvRzWm${}", h(64)), ""),
        ("Werkzeug, scrypt", "", format!("scrypt:32768:8:1$kQzJtfhTqLxvRzWm${}", h(128)), ""),
        ("a directory, salted", "userPassword: ", format!("{{SSHA}}{}=", b(31)), ""),
        ("a directory, SHA-512", "userPassword: ", format!("{{SSHA512}}{}=", b(95)), ""),
        ("a directory, crypt", "userPassword: ", format!("{{CRYPT}}$6${}${}", c(8), c(86)), ""),
        ("a directory, PBKDF2", "", format!("{{PBKDF2-SHA256}}10000${}${}", c(22), c(43)), ""),
        ("Spring", "", format!("{{bcrypt}}$2a$10${}", c(53)), ""),
        ("Windows", "bob:1001:", format!("{}:{}", h(32), h(32)), ":::"),
        ("Windows, the first half missing", "bob:1002:NO PASSWORD*********************:", h(32), ":::"),
        ("MySQL", "IDENTIFIED BY PASSWORD '", format!("*{}", h(40).to_uppercase()), "' -- USER bob"),
        ("PostgreSQL, MD5", "\"app\" \"", format!("md5{}", h(32)), "\""),
        ("PostgreSQL, SCRAM", "\"app\" \"", format!("SCRAM-SHA-256$4096:{}==${}=:{}=", b(22), b(43), b(43)), "\""),
        ("a router, type 5", "enable secret 5 ", format!("$1${}${}", c(4), c(22)), ""),
        ("a router, type 7", "username bob password 7 ", "0822455D0A16544541".to_owned(), ""),
        ("a router's neighbour", " neighbor 192.0.2.1 password 7 ", "130316111F".to_owned(), ""),
        ("a router, type 8", "enable secret 8 ", format!("$8${}${}", c(14), c(43)), ""),
        ("a router, type 9", "username bob secret 9 ", format!("$9${}${}", c(14), c(43)), ""),
        ("a router of another house", "authentication-key \"", "$9$ktmT.mTz69Hq".to_owned(), "\""),
        ("a web server", "bob:", format!("$apr1${}${}", c(8), c(22)), ""),
        ("a web server, SHA", "bob:", format!("{{SHA}}{}=", b(27)), ""),
        ("a boot loader", "root ", format!("grub.pbkdf2.sha512.10000.{}.{}", h(128), h(128)), ""),
        ("under a name", "password_hash: ", h(64), ""),
        ("under a name in JSON", "\"passwordHash\":\"", h(40), "\""),
        ("cached by a domain", "", format!("$DCC2$10240#bob#{}", h(32)), ""),
    ];
    let mut found = String::new();
    for (case, before, sum, after) in &forms {
        let said = redacted(&format!("{before}{sum}{after}"));
        let tail = &sum[sum.len() - 8..];
        if said.contains(tail) {
            found.push_str(&format!("{case}: {said}\n"));
        }
    }
    assert!(found.is_empty(), "\n{found}");
}

#[test]
fn what_only_begins_like_a_stored_password_stays() {
    for text in [
        "md5 d41d8cd98f00b204e9800998ecf8427e  empty",
        "md5sums and pbkdf2 and scrypt and bcrypt compared",
        "use pbkdf2:sha256 or scrypt:32768:8:1 as the method",
        "hash_name$salt$rounds, such as pbkdf2_sha256$...",
        "SCRAM-SHA-256 and SCRAM-SHA-256-PLUS",
        "bob:x:1000:1000:Bob,,,:/home/bob:/bin/bash",
        "10:12:13:14 and 500:600:700",
        "password 7 times a day",
        "key 9 of the map",
    ] {
        assert_eq!(redacted(text), text);
    }
}

#[test]
fn a_password_given_to_any_known_command_is_hidden() {
    let mut found = String::new();
    for command in [
        "curl -u bob:SECRET https://lake.test",
        "curl -sSL --user 'bob:SECRET' https://lake.test",
        "curl --oauth2-bearer SECRET https://lake.test",
        "mysql --user=root --password=SECRET shop",
        "mysqladmin -u root password SECRET",
        "mysqlcheck -pSECRET shop",
        "PGPASSWORD=SECRET psql -h db -U app",
        "SSHPASS=SECRET sshpass -e ssh nas",
        "setx DB_PASSWORD SECRET",
        "redis-cli AUTH SECRET",
        "mongorestore -u admin -p SECRET dump",
        "sqlplus -s app/SECRET x",
        "sqlplus scott/SECRET@orcl",
        "rman target sys/SECRET@x",
        "db2 connect to shop user bob using SECRET",
        "echo SECRET | docker login -u bob --password-stdin reg.test",
        "skopeo copy --src-creds bob:SECRET a b",
        "twine upload -u bob -p SECRET dist/*",
        "vault login SECRET",
        "ldapwhoami -D cn=bob -w SECRET",
        "openssl rsa -in k -passin pass:SECRET",
        "openssl enc -aes-256-cbc -k SECRET -in x",
        "net use Z: \\\\nas\\x SECRET /user:bob",
        "net user bob SECRET /add",
        "wlfreerdp /p:SECRET /v:x",
        "schtasks /create /ru bob /rp SECRET /tn x",
        "ConvertTo-SecureString \"SECRET\" -AsPlainText -Force",
        "lftp -u bob,SECRET sftp://nas",
        "rdesktop -u bob -p SECRET nas",
        "keytool -list -keystore x -storepass SECRET",
        "gpg --batch --passphrase SECRET -c x",
        "echo SECRET | gpg --batch --passphrase-fd 0 -d x",
        "ssh-keygen -t ed25519 -N SECRET -f k",
        "ansible-playbook x.yml -e \"ansible_become_pass=SECRET\"",
        "sudo -S reboot <<< SECRET",
        "echo \"bob:SECRET\" | sudo chpasswd",
        "chpasswd <<< \"bob:SECRET\"",
        "useradd -m -p SECRET bob",
        "echo SECRET | passwd --stdin bob",
        "echo SECRET | kinit bob",
        "echo -n SECRET | cryptsetup luksFormat /dev/sda1 -",
        "htpasswd -b .htpasswd bob SECRET",
        "htpasswd -nbB bob SECRET",
        "nmcli dev wifi connect home password SECRET",
        "wpa_passphrase home SECRET",
        "snmp-server community SECRET RO",
        "enable password SECRET",
        "expect -c 'expect \"assword:\" { send \"SECRET\\r\" }'",
        "rclone obscure SECRET",
        "anything-new login -u bob -p SECRET here",
        "anything-new -U bob -P SECRET here",
        "SET PASSWORD FOR 'bob'@'%' = 'SECRET'",
        "ALTER USER 'app'@'%' IDENTIFIED WITH mysql_native_password BY 'SECRET';",
    ] {
        let text = command.replace("SECRET", "fern22Lake");
        let said = redacted(&text);
        if said.contains("fern22Lake") {
            found.push_str(&format!("{said}\n"));
        }
    }
    assert!(found.is_empty(), "\n{found}");
}

#[test]
fn prose_and_other_flags_around_commands_stay() {
    for text in [
        "mkdir -p fern/lake && ls -p lake9",
        "docker run -u 1000 -p 8080:80 lake",
        "ssh -l bob -p 2222 nas",
        "the vault login method is set there",
        "net user accounts are kept apart",
        "to send \"hello\" press enter",
        "su is a command; echo 12 | grep x",
        "wpa_passphrase reads a name and a passphrase",
        "htpasswd makes files of users",
        "passwd asks twice",
        "echo fern9 | tee a; passwd bob",
        "cat a | grep bob /etc/passwd",
        "sqlplus is in /opt/lake/bin",
    ] {
        assert_eq!(redacted(text), text);
    }
}
