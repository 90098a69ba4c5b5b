//! What is hidden and what stays: one row a rule, with its true and its false friends.
//!
//! Every value here was made up for this table; none was ever issued.

use hearth_text::{Policy, Raw, Rules};

fn redacted(text: &str) -> String {
    Rules::standard().redact(Raw::new(text)).into_parts().0
}

#[track_caller]
fn table(rows: &[(&str, &str, &str)]) {
    let mut wrong = String::new();
    for (case, text, expected) in rows {
        let found = redacted(text);
        if found != *expected {
            wrong.push_str(&format!("{case}\n   text     {text:?}\n   expected {expected:?}\n   found    {found:?}\n"));
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn secrets_under_a_name_are_hidden() {
    table(&[
        ("a .env file", "DB_PASSWORD=cobalt7Fern", "DB_PASSWORD=[password]"),
        ("an exported variable", "export PGPASSWORD='x9!fernlake'", "export PGPASSWORD='[password]'"),
        ("JSON", r#"{"user":"app","password":"fern-lake-22"}"#, r#"{"user":"app","password":"[password]"}"#),
        ("JSON in a string", r#"{\"password\":\"fern-lake-22\"}"#, r#"{\"password\":\"[password]\"}"#),
        ("YAML", "smtp:\n  password: fernlake22\n  port: 25\n", "smtp:\n  password: [password]\n  port: 25\n"),
        ("TOML", "client_secret = \"k2J9fhTq0Lx8vRz3\"", "client_secret = \"[generic_secret]\""),
        ("XML", "<password>fern-lake</password>", "<password>[password]</password>"),
        (
            "an XML attribute",
            r#"<add key="Password" value="fern22lake" />"#,
            r#"<add key="Password" value="[password]" />"#,
        ),
        ("a query", "POST /in user=bob&password=fern22lake&keep=1", "POST /in user=bob&password=[password]&keep=1"),
        ("a header", "X-Api-Key: 8f2kLq03Zx7vTn5w", "X-Api-Key: [api_key]"),
        ("camel case", "const vendorApiKey = '8f2kLq03Zx7vTn5w';", "const vendorApiKey = '[api_key]';"),
        ("a flag", "deploy --token 8f2kLq03Zx7vTn5w --fast", "deploy --token [api_key] --fast"),
        (
            "netrc",
            "machine ftp.lake.test login bob password fernlake",
            "machine ftp.lake.test login bob password [password]",
        ),
        ("pgpass", "db.lake.test:5432:shop:app:fern22lake", "db.lake.test:5432:shop:app:[password]"),
        ("prose", "my wifi password is fern22lake, ok?", "my wifi password is [password], ok?"),
        ("SQL", "CREATE USER bob IDENTIFIED BY 'fern22lake';", "CREATE USER bob IDENTIFIED BY '[password]';"),
        ("a data source", "Server=db;Uid=app;Pwd=fern22lake;", "Server=db;Uid=app;Pwd=[password];"),
        ("mysql", "mysql -u root -pfern22lake shop", "mysql -u root -p[password] shop"),
        ("sshpass", "sshpass -p fern22lake ssh pi@nas", "sshpass -p [password] ssh pi@nas"),
        ("sudo", "echo fern22lake | sudo -S reboot", "echo [password] | sudo -S reboot"),
        (
            "one-time password",
            "otpauth://totp/Home:bob?secret=JBSWY3DPEHPK3PXP&issuer=Home",
            "otpauth://totp/Home:bob?secret=[totp_seed]&issuer=Home",
        ),
    ]);
}

#[test]
fn what_only_looks_like_a_secret_stays() {
    let rows = [
        "password: ${DB_PASSWORD}",
        "password = getPassword()",
        "password = config.password",
        "export TOKEN=\"$(vault read token)\"",
        "api_key: YOUR_API_KEY_HERE",
        "secret = \"xxxxxxxxxxxxxxxxxxxx\"",
        "password_min_length: 12",
        "the secret of good bread is patience and a hot oven",
        "keyboard shortcuts and monkey patches for the primary_key column",
        "Passed: build/reports/Case22Test.java",
        "commit c5bd56f140eeab2c02e7569f329ae0d8c996f48a",
        "checksum = \"fe0c86ef393843046985e8293b3ecdbb2d0adc26a42310717dd778bf6c1944cf\"",
        "id: 4abe883d-4be3-40ed-ae89-8a3d4cccc0cb",
        "postgres://app:${PASSWORD}@db/shop",
        "def login(self, user = '', password = ''):",
        "<input type=\"password\" name=\"password\">",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIdvudNvcxFO2Cw hLwRQaFuqi5to4RSM6gKJpo6MTEt0",
        "TLS_RSA_PSK_WITH_AES_128_CBC_SHA256",
        "version 12.2.1977.1",
        "192.168.1.20 and 127.0.0.1 and fe80::1",
        "icon@2x.png",
        "range 1000000000000000-2000000000000000",
        "2026-11-20T10:12:13Z took 12 ms",
        "51 Franklin Street, Boston, MA 02110-1301",
    ];
    for text in rows {
        assert_eq!(redacted(text), text);
    }
}

#[test]
fn tokens_are_known_by_how_they_begin() {
    let alnum = "k3J9fhTq0Lx8vRz3Wm5Yc7Bn2Pd6Gs4Ha1Ee";
    let hex = "4f9a0c3be17d52806f1e9b7a3c5d08e24f9a0c3b";
    for (service, token) in [
        ("AWS", "AKIAQ7ZT4M2XW9KD3RLB".to_owned()),
        ("GitHub", format!("ghp_{alnum}")),
        ("GitLab", format!("glpat-{}", &alnum[..20])),
        ("Slack", "xoxb-71523904812-815392047156-k3J9fhTq0Lx8vRz3Wm5Yc7Bn".to_owned()),
        ("Stripe", format!("sk_live_{}", &alnum[..24])),
        ("Google", format!("AIza{}", &alnum[..35])),
        ("Anthropic", format!("sk-ant-api03-{alnum}")),
        ("OpenAI", format!("sk-proj-{alnum}")),
        ("npm", format!("npm_{}", &alnum[..36])),
        ("PyPI", format!("pypi-AgEIcHlwaS5vcmc{alnum}")),
        ("SendGrid", format!("SG.{}.{alnum}{}", &alnum[..22], &alnum[..7])),
        ("DigitalOcean", format!("dop_v1_{hex}{}", &hex[..24])),
        ("Vault", format!("hvs.{alnum}")),
        ("Shopify", format!("shpat_{}", &hex[..32])),
        ("Telegram", format!("110201543:A{}", &alnum[..34])),
        ("Mailchimp", format!("{}-us12", &hex[..32])),
        ("Azure", format!("k3J8Q~{}", &alnum[..34])),
    ] {
        for (case, before, after) in [
            ("alone", "", ""),
            ("in prose", "use ", " today"),
            ("quoted", "(\"", "\")"),
            ("after an escape", "a\\n", "\\n"),
        ] {
            assert_eq!(
                redacted(&format!("{before}{token}{after}")),
                format!("{before}[api_key]{after}"),
                "{service}, {case}"
            );
        }
    }
}

#[test]
fn blocks_are_hidden_whole_and_cut_off_ones_too() {
    let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\nMzEfYyjiWA4R4/M2bS1GB4t7NXp98C3SC6dVMvDuictGeurT8jNbvJZHtCSuYEvu\n";
    table(&[
        (
            "whole",
            &format!("a\n-----BEGIN PRIVATE KEY-----\n{body}-----END PRIVATE KEY-----\nb"),
            "a\n[private_key]\nb",
        ),
        ("cut off", &format!("a\n-----BEGIN RSA PRIVATE KEY-----\n{body}"), "a\n[private_key]\n"),
        (
            "cut off, then prose",
            &format!("-----BEGIN EC PRIVATE KEY-----\n{body}\nThe key ends, (it was cut).\n"),
            "[private_key]\n\nThe key ends, (it was cut).\n",
        ),
        (
            "a certificate is public",
            "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
            "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        ),
        (
            "a hash",
            "root:$6$Fq3kzL0a$k3J9fhTq0Lx8vRz3Wm5Yc7Bn2Pd6Gs4Ha1EeUu:19000:0:99999",
            "root:[password_hash]:19000:0:99999",
        ),
        (
            "a seed phrase",
            "legal winner thank year wave sausage worth useful legal winner thank yellow",
            "[seed_phrase]",
        ),
        ("a JWT", "t=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJib2IiLCJpYXQiOjF9.k3J9fhTq0Lx8vRz3Wm5Yc7Bn2", "t=[jwt]"),
        (
            "a URL",
            "postgres://app:fern22lake@db.lake.test:5432/shop",
            "postgres://app:[connection_string]@db.lake.test:5432/shop",
        ),
        ("basic authorization", "Authorization: Basic Ym9iOmZlcm4yMmxha2U=", "Authorization: Basic [auth_header]"),
        (
            "a cookie",
            "Set-Cookie: connect.sid=k3J9fhTq0Lx8vRz3Wm5Y; Secure",
            "Set-Cookie: connect.sid=[session_cookie]; Secure",
        ),
    ]);
}

#[test]
fn personal_numbers_prove_themselves() {
    table(&[
        ("a card", "card 4111 1111 1111 1111 exp", "card [credit_card] exp"),
        ("a card that fails Luhn", "card 4111 1111 1111 1112 exp", "card 4111 1111 1111 1112 exp"),
        ("an IBAN", "to DE89 3704 0044 0532 0130 00.", "to [iban]."),
        ("an IBAN that fails", "to DE89 3704 0044 0532 0130 01.", "to DE89 3704 0044 0532 0130 01."),
        ("an SSN", "ssn 536-90-4399", "ssn [us_ssn]"),
        ("an area that never was", "ssn 666-90-4399", "ssn 666-90-4399"),
        ("an e-mail address", "mail alice@example.org now", "mail [email] now"),
        ("a phone number", "call +49 30 901820 today", "call [phone] today"),
        ("an American phone number", "call (555) 201-0143 today", "call [phone] today"),
        ("a public address", "from 8.8.8.8 port 53", "from [ip] port 53"),
        ("a wallet", "pay 1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", "pay [crypto_wallet]"),
    ]);
}

#[test]
fn credentials_are_hidden_under_every_policy_and_the_rest_as_it_says() {
    let text = "password=fern22lake mail alice@example.org at 10.0.0.7 and 8.8.8.8";
    for (case, policy, expected) in [
        ("secrets only", Policy::SECRETS, "password=[password] mail alice@example.org at 10.0.0.7 and 8.8.8.8"),
        ("standard", Policy::STANDARD, "password=[password] mail [email] at 10.0.0.7 and [ip]"),
        ("all", Policy::ALL, "password=[password] mail [email] at [ip] and [ip]"),
    ] {
        assert_eq!(Rules::with_policy(policy).redact(Raw::new(text)).as_str(), expected, "{case}");
    }
}

#[test]
fn what_is_hidden_is_counted_by_class() {
    let redacted = Rules::standard().redact(Raw::new("a@example.org b@example.org password=fern22lake"));
    assert_eq!(serde_json::to_string(redacted.counts()).expect("counts are numbers"), r#"{"password":1,"email":2}"#);
}

#[test]
fn nothing_prints_what_it_holds() {
    let rules = Rules::standard();
    let mut stream = rules.stream();
    stream.push(Raw::new("password=fern22lake"));
    let printed = format!(
        "{:?} {:?} {stream:?}",
        Raw::new("password=fern22lake"),
        rules.redact(Raw::new("lake password=fern22lake"))
    );
    assert_eq!(printed, "Raw(19 bytes) Redacted(24 bytes, 1 hidden) Stream(19 bytes held)");
}

#[test]
fn a_key_file_of_putty_is_hidden_through_its_last_line() {
    let file = "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nComment: bob\nPublic-Lines: 1\nAAAAC3NzaC1lZDI1\nPrivate-Lines: 1\nk3J9fhTq0Lx8vRz3\n";
    table(&[
        ("whole", &format!("a\n{file}Private-MAC: 4f9a0c3be17d\nb"), "a\n[private_key]\nb"),
        ("at the end of the text", &format!("a\n{file}Private-MAC: 4f9a0c3be17d"), "a\n[private_key]"),
        ("cut off", &format!("a\n{file}"), "a\n[private_key]"),
    ]);
}

#[test]
fn stored_passwords_are_known_by_the_names_of_their_hashes() {
    let salt = "Fq3kzL0aFq3kzL0a";
    let sum = "k3J9fhTq0Lx8vRz3Wm5Yc7Bn2Pd6Gs4Ha1EeUu";
    for name in [
        "1",
        "2a",
        "2b",
        "2x",
        "2y",
        "5",
        "6",
        "y",
        "gy",
        "md5",
        "sha1",
        "apr1",
        "argon2id",
        "pbkdf2-sha256",
        "scrypt",
        "bcrypt-sha256",
        "krb5tgs",
        "NETNTLMv2",
        "DCC2",
    ] {
        let text = format!("hash ${name}${salt}${sum} end");
        assert_eq!(redacted(&text), "hash [password_hash] end", "{name}");
    }
    for (case, text) in [
        ("a name that is none", format!("cost $7a${salt}${sum} end")),
        ("too short", format!("hash $6${salt}$k3J9fhTq end")),
        ("no second sign", format!("hash $6{sum} end")),
    ] {
        assert_eq!(redacted(&text), text, "{case}");
    }
}

#[test]
fn a_password_in_a_link_is_hidden_and_what_stands_for_one_stays() {
    table(&[
        (
            "a password with what should have been escaped",
            "redis://app:fern#22lake@cache.lake.test/0",
            "redis://app:[connection_string]@cache.lake.test/0",
        ),
        (
            "a token alone",
            "https://k3J9fhTq0Lx8vRz3Wm5Y@git.lake.test/a.git",
            "https://[connection_string]@git.lake.test/a.git",
        ),
        (
            "a token before an empty password",
            "https://k3J9fhTq0Lx8vRz3Wm5Y:@git.lake.test/a.git",
            "https://[connection_string]:@git.lake.test/a.git",
        ),
    ]);
    for (case, text) in [
        ("a port and a path with a sign", "http://lake.test:8080/a@b"),
        ("a user alone", "https://bob@git.lake.test/a.git"),
        ("a user before an empty password", "https://bob:@git.lake.test/a.git"),
        ("a sample", "postgres://app:password@db/shop"),
        ("another sample", "postgres://app:secret@db/shop"),
        ("the part that may be left out", "ftp://[[user][:pass]@]lake.test"),
        ("too short for one", "postgres://app:abc@db/shop"),
        ("a mask", "postgres://app:****@db/shop"),
        ("a variable", "postgres://app:$DB_PASS@db/shop"),
        ("a variable of Windows", "postgres://app:%DBPASS%@db/shop"),
        ("a template", "postgres://app:{{pass}}@db/shop"),
        ("braces", "postgres://app:{pass}@db/shop"),
        ("brackets", "postgres://app:[pass]@db/shop"),
        ("a substitution", "postgres://app:$(pass)@db/shop"),
    ] {
        assert_eq!(redacted(text), text, "{case}");
    }
}

#[test]
fn an_email_address_is_one_by_its_two_halves() {
    table(&[
        ("after an escape", r"a\nbob@lake.test", r"a\n[email]"),
        ("at an address in brackets", "mail bob@[192.0.2.7] now", "mail [email] now"),
        ("at an address of the sixth version", "mail bob@[IPv6:2001:db8::7] now", "mail [email] now"),
        ("a quoted name", "mail \"bob lake\"@lake.test now", "mail [email] now"),
        ("at the end of a sentence", "mail bob@lake.test.", "mail [email]."),
        ("in a query", "?to=bob@lake.test&x=1", "?to=[email]&x=1"),
    ]);
    for (case, text) in [
        ("no host", "bob@lake"),
        ("no name", "see @lake.test"),
        ("a name that ends in a dot", "bob.@lake.test"),
        ("two dots in the name", "bo..b@lake.test"),
        ("two dots in the host", "bob@lake..test"),
        ("brackets without an address", "bob@[lake] now"),
        ("brackets with more than an address", "bob@[0\nnext line] now"),
        ("brackets that do not close", "bob@[192.0.2.7 now"),
        ("a density", "icon@2x.png"),
    ] {
        assert_eq!(redacted(text), text, "{case}");
    }
}

#[test]
fn an_address_says_where_somebody_is_unless_it_is_nobodys() {
    table(&[
        ("at the end of a sentence", "from 8.8.8.8.", "from [ip]."),
        ("a network", "from 8.8.8.0/24 on", "from [ip] on"),
        ("no length of a network", "from 8.8.8.8/99 on", "from [ip]/99 on"),
        ("the sixth version", "from 2606:4700:4700::1111 on", "from [ip] on"),
        ("a network of the sixth version", "from 2606:4700::/32 on", "from [ip] on"),
        ("with a zone", "from 2606:4700:4700::1111%eth0 on", "from [ip] on"),
        ("within the sixth version", "from ::ffff:8.8.8.8 on", "from [ip] on"),
    ]);
    for text in [
        "10.1.2.3",
        "192.168.1.2",
        "172.16.0.1",
        "127.0.0.1",
        "169.254.1.1",
        "255.255.255.255",
        "192.0.2.1",
        "0.0.0.0",
        "224.0.0.1",
        "0.1.2.3",
        "240.0.0.1",
        "100.64.0.1",
        "198.18.0.1",
        "::1",
        "::",
        "ff02::1",
        "fd00::1",
        "fe80::1",
        "2001:db8::1",
        "::ffff:10.0.0.1",
    ] {
        assert_eq!(redacted(&format!("from {text} on")), format!("from {text} on"), "nobody's, or one's own");
    }
    for (case, text) in [
        ("a part too great", "from 8.8.8.256 on"),
        ("five parts", "from 8.8.8.8.8 on"),
        ("a letter behind it", "from 8.8.8.8a on"),
        ("a name before it", "host_8.8.8.8 on"),
        ("a release", "firmware 8.8.8.8 of"),
        ("a time", "at 10:12:13 on"),
        ("a path in a program", "std::a::b"),
    ] {
        assert_eq!(redacted(text), text, "{case}");
    }
}

#[test]
fn the_default_policy_is_the_standard_one_and_rules_say_which_they_have() {
    assert_eq!(Policy::default(), Policy::STANDARD);
    for policy in [Policy::STANDARD, Policy::ALL, Policy::SECRETS] {
        assert_eq!(Rules::with_policy(policy).policy(), policy);
    }
    assert_eq!(Rules::standard().policy(), Policy::STANDARD);
}

#[test]
fn redacted_text_comes_back_from_the_store_and_is_what_is_sealed() {
    use hearth_core::seal::Plain;
    let redacted = Rules::standard().redact(Raw::new("mail alice@example.org"));
    let stored = String::from_utf8(redacted.plain().to_vec()).expect("text");
    assert_eq!(stored, "mail [email]");
    let back = hearth_text::Redacted::from_store(stored);
    assert_eq!((back.as_str(), back.counts().is_empty()), ("mail [email]", true), "counts are kept elsewhere");
    assert_eq!((Raw::new("").is_empty(), Raw::new("a").is_empty(), Raw::new("ab").len()), (true, false, 2));
}

#[test]
fn phone_numbers_are_read_with_their_extensions_and_in_the_forms_of_their_countries() {
    table(&[
        ("an extension", "call (555) 201-0143 ext. 22 today", "call [phone] today"),
        ("an extension by its sign", "call 555-201-0143 x22 today", "call [phone] today"),
        ("no extension", "call 555-201-0143 x today", "call [phone] x today"),
        ("an international prefix", "call 0049 30 901820 today", "call [phone] today"),
        ("in one piece after its word", "phone: 5552010143", "phone: [phone]"),
        ("a country's own form", "call 030 901820 today", "call [phone] today"),
    ]);
    for text in ["from 1999-2004", "1000 2000 3000 4000", "90210-1234", "id 1234567"] {
        assert_eq!(redacted(text), text);
    }
}

#[test]
fn a_password_given_to_a_command_is_hidden_however_the_command_takes_it() {
    table(&[
        ("joined to its flag", "sqlcmd -S db -Pfern22Lake -Q x", "sqlcmd -S db -P[password] -Q x"),
        ("behind its flag", "redis-cli -a fern22Lake ping", "redis-cli -a [password] ping"),
        ("quoted", "zip -P 'fern 22 lake' a.zip b", "zip -P '[password]' a.zip b"),
        ("joined and quoted", "mysql -u app -p'fern22lake' shop", "mysql -u app -p'[password]' shop"),
        ("joined in double quotes", "mysql -u app -p\"fern 22 lake\" shop", "mysql -u app -p\"[password]\" shop"),
        ("on the next line", "sshpass \\\n  -p fern22lake ssh pi@nas", "sshpass \\\n  -p [password] ssh pi@nas"),
        ("behind a percent sign", "smbclient //nas/a -U bo%fern22lake", "smbclient //nas/a -U bo%[password]"),
        ("with the user", "curl -u robert:fern22Lake https://lake.test", "curl -u [auth_header] https://lake.test"),
        (
            "behind an equals sign",
            "wget --user=bo:fern22lake https://lake.test",
            "wget --user=bo:[password] https://lake.test",
        ),
        ("joined with the user", "curl -ubo:fern22lake https://lake.test", "curl -ubo:[password] https://lake.test"),
        ("beside the user", r"net use Z: \\nas\a /user:bob fern22lake", r"net use Z: \\nas\a /user:bob [password]"),
        ("piped in", "printf fern22lake | sudo --stdin reboot", "printf [password] | sudo --stdin reboot"),
        ("a line of Windows", "mysql -u root -pfern22lake home\r\nmilk", "mysql -u root -p[password] home\r\nmilk"),
        (
            "a line of Windows that goes on",
            "curl -x \\\r\n  -u sam:Fern22lake nas\r\n",
            "curl -x \\\r\n  -u [auth_header] nas\r\n",
        ),
        ("piped in from the line before", "echo fern22lake |\n  sudo -S reboot", "echo [password] |\n  sudo -S reboot"),
    ]);
    for (case, text) in [
        ("a flag alone asks", "mysql -u app -p shop"),
        ("another flag", "mysql -port=3306 shop"),
        ("a variable", "curl -u $USER:$PASS https://lake.test"),
        ("a user alone", "curl -u bob https://lake.test"),
        ("nothing behind the flag", "curl -u"),
        ("another flag behind it", "redis-cli -a --raw"),
        ("inside another word", "my-curl -u bo:fern22lake.test"),
        ("sudo that asks nobody", "echo fern22lake | sudo reboot"),
        ("sudo without a pipe", "echo fern22lake; sudo -S reboot"),
        ("sudo on the line after a pipe", "echo fern22lake | cat\nsudo -S reboot"),
        ("nothing is piped in", "|\nsudo -S"),
    ] {
        assert_eq!(redacted(text), text, "{case}");
    }
}

#[test]
fn names_that_programs_give_are_no_secrets() {
    for (case, text) in [
        ("the name of a field", r#""output_token": "NextToken","#),
        ("a list of names", r#"["ClientRequestToken", "InvitationId", "VpcSettings"]"#),
        ("a macro", "#define lake_set_key fern_lake_aes128_set_key"),
        ("a callback", "mngr->getKey = lakeKeysMngrGetKey;"),
        ("a type that takes another", "    psk: Option<Vec<u8>>"),
        ("a type named after what it holds", "    password: SecretStr"),
        ("a variable named after what it holds", "'proxy_pass': proxy_pass,"),
        ("a number of a program", "pub const ERROR_BAD_PASSWORD: u32 = 709u32;"),
        ("a constant", "    StencilPassOp: LAKE11_STENCIL_OP,"),
        ("a part of a module", "using lake::Pass::doInitialization;"),
        ("a member of a structure", "uid = pwd->pw_uid;"),
        ("a type of a module", r#""LAKE::KMS::Key": "2b447c471bc70388","#),
        ("the name of a resource", "arn:aws:kms:us-west-2:123456789012:key/a3c4a7cd-728b-45dd-b334-4d3eb496e452"),
        ("a patch", "+ 48_0001-Fix-non-empty-session-id-for-ipv6-check.patch"),
        ("a file of a program", "install ./Lib/secrets.py /root/.pyenv/versions/3.10.13/lib/python3.10"),
        ("how a value is passed", "needless_pass_by_value = \"allow\""),
        ("what a pass of a compiler does", "Pass true to lake86_force_load_from_GOT_p."),
        ("a header of a format", "account:password:UID:GID:GECOS:directory:shell"),
        ("a manual's escapes", "the password is \\fIlocked\\fP\\&. and the password was locked\\&."),
        ("an object", "--key '{\"Id\":{\"N\":\"456\"}}'"),
        ("a pattern", "'/secrets/(?P<secret>[a-zA-Z0-9-_]+)$'"),
        ("a key of a property list", "<key>LakeProviderClass</key><string>LakeMedia</string>"),
        ("a signature in a document", "<SignatureValue>GnYgZdzPeXd4gPTJmQ506qmxWkd3VK1Y23kh5Qpq</SignatureValue>"),
        ("a fingerprint", "Add Bob's key B1D2BD1375BECB784CF4F8C4D73CF638C53C06BE."),
        ("a place in a list", r#""NextToken": "U2FsdGVkX1eNkPoZHVl11ip5HUYQ""#),
        ("what is identified in prose", "The map identified by *map_fd* is read by pass2."),
        ("a person identified in prose", "the bug was identified by \"jameson4\" today"),
        ("a word joined to a header's name", "class InvalidAuthorizationSpecException2Tests"),
        ("digits one after the other", "access_key = '1234567890abcdef1234567890abcdef'"),
        ("the seed of random numbers", "per_hasher_seed: ARBITRARY3,"),
        ("the verdict of a test", "PASS: lake.arch/i386-byte.exp: at first bp: set %ax"),
        ("a name in brackets", "* agent/command.c (cmd_get_passphrase): Likewise.\n"),
        ("flags that prose speaks of", "the --ftp-user and --ftp-password command line options"),
        ("another sentence", "a typo in the update-passwd manpage. Closes: Bug#53857"),
        ("what a type takes", "new PassModelT(std::forward<PassT>(Pass))"),
        ("a number in hexadecimal digits", "#define LAKE_HMAC_KEY_GEN 0x80000009UL"),
        ("a type before a comma", "    lpszPassword: LPWSTR,\n"),
        ("a pointer", "szpassword : *const u16,"),
        ("letters as a program escapes them", r#""key": "\ud83d\udca9\ufffd-""#),
        ("a list of files", "fat/aes192-set-encrypt-key-2.asm fat/aes256-decrypt-2.asm"),
        ("a public key's pin", "curl --pinnedpubkey 'sha256//ce118b51897f4452dc' x"),
        ("a path in a list", r#""file:///etc/passwd", "magnet:?xt=urn:btih:be08f00302bc2d1d3cfa3af02024""#),
        ("what a key is called", "<p>Key ID: 1234abcd-12ab-34cd-56ef-1234567890ab"),
        ("the other sentence's word", "for the NULL key. Thread 2482b32700384a0f4c is it"),
        ("flags that are compared", "add a note about -l vs. -p [Karel]"),
        ("no line of netrc", "the mechanics for machine function pass registries."),
        ("packed zeros", "key = 'AQEAOjAAAAIAAAAAAAUAAQALABgAAAAkAAAAJuAn4G/6cPrz+vT6sAixCJ4P'"),
        (
            "a first line without a key",
            "if !key.starts_with(\"-----BEGIN PRIVATE KEY-----\") { ends(\"-----END PRIVATE KEY-----\") }",
        ),
        ("a sample that says so", "lake_token = 'x1-RANDOMSTRINGHERE22'"),
        ("a default that is a variable", "${NOX_SESSION:-test-$PYTHON_VERSION}"),
    ] {
        assert_eq!(redacted(text), text, "{case}");
    }
}

#[test]
fn what_stands_where_such_names_stand_is_hidden_all_the_same() {
    table(&[
        ("a token drawn at random", r#""output_token": "k3J9fhTq0Lx8vRz3""#, r#""output_token": "[api_key]""#),
        ("a password with open brackets", "api_key = \"k{3J}9f)hT(q0[Lx8v\";", "api_key = \"[api_key]\";"),
        ("a shell's default", "${DB_PASSWORD:-fernlake22}", "${DB_PASSWORD:-[password]}"),
        (
            "netrc on lines of its own",
            "machine lake.test\nlogin bob\npassword fernlake\n",
            "machine lake.test\nlogin bob\npassword [password]\n",
        ),
        ("a setting", "PASS=fern22lake", "PASS=[password]"),
        ("a property list's password", "<password>fern-lake</password>", "<password>[password]</password>"),
        ("a signed link", "GET /a?Signature=n2BEalOV6A2HIOx4Rcfb7LT", "GET /a?Signature=[api_key]"),
        (
            "a statement in capitals",
            "ALTER USER bob IDENTIFIED BY fern22lake;",
            "ALTER USER bob IDENTIFIED BY [password];",
        ),
        (
            "a statement in small letters",
            "grant all on a.* to 'bob' identified by 'fern22lake'",
            "grant all on a.* to 'bob' identified by '[password]'",
        ),
        ("a header", "Authorization: token k3J9fhTq0Lx8vRz3", "Authorization: token [auth_header]"),
        ("small letters drawn at random", "lake_key = \"qzjtfhtqlxvrzwmycbnd\"", "lake_key = \"[api_key]\""),
        ("letters of both cases", "lake.token=kQzJtfhTqLxvRz", "lake.token=[api_key]"),
        (
            "an application's number and its secret",
            "export APP_TOKEN=5956356043856442|0vqq0isaft7sb6sff1dh",
            "export APP_TOKEN=[api_key]",
        ),
        ("a token with one digit", "my lake token is riynGOBLO8QtBsgO ok", "my lake token is [api_key] ok"),
        ("a token with dashes", "accessToken: \"HeAqPFtMlsgs_auHumAP4x\"", "accessToken: \"[api_key]\""),
        ("a password in a call", "setPassword(\"copper3kite\")", "setPassword(\"[password]\")"),
        ("a random word after a name", "lake key 9KXzTfhQ0Lx8vRzW", "lake key [api_key]"),
        ("a secret of people", "client_secret = \"fern22Lake\"", "client_secret = \"[generic_secret]\""),
        (
            "a user whom a machine named",
            "https://cafe0d71:b2f30e9c@gems.lake.test",
            "https://[connection_string]@gems.lake.test",
        ),
        (
            "a key that stands for a user",
            "curl -u sk22q8k: https://lake.test",
            "curl -u [auth_header] https://lake.test",
        ),
        ("a wallet's seed", "wallet_seed: k3J9fhTq0Lx8vRz3", "wallet_seed: [generic_secret]"),
    ]);
}

#[test]
fn a_card_proves_itself_or_is_said_to_be_one() {
    table(&[
        ("of a rare issuer", "3519833257665853", "[credit_card]"),
        ("an old one", "it was 213161594239298 then", "it was [credit_card] then"),
        ("twelve digits after its word", "maestro 630427373398 lost", "maestro [credit_card] lost"),
        ("thirteen after its word", "block my card no 4222222222222 please", "block my card no [credit_card] please"),
        ("nineteen after its word", "pan=4735615260219382870", "pan=[credit_card]"),
        ("of nobody known, after its word", "credit card 7111111111111114", "credit card [credit_card]"),
        ("in a name of programs", "{\"creditCard\":\"630427373398\"}", "{\"creditCard\":\"[credit_card]\"}"),
        ("twelve on a line of its own", "paid by\n630427373398\non Monday", "paid by\n[credit_card]\non Monday"),
    ]);
    for (case, text) in [
        ("twelve digits in passing", "arn:lake:fern:us-west-2:630427373398:group"),
        ("fourteen of an issuer that gives sixteen", "[274177, 67280421310721]"),
        ("nineteen in passing", "(4735615260219382870,64)"),
        ("a column of twelve digits", "630427373398\n630427373397\n630427373396"),
        ("of nobody known", "order 7111111111111114 sent"),
        ("of nobody known, in groups", "card 7111 1111 1111 1114"),
        ("said to be one, with another sum", "card 7111111111111115"),
    ] {
        assert_eq!(redacted(text), text, "{case}");
    }
}

#[test]
fn nine_digits_are_a_social_security_number_when_that_is_said_or_nothing_else_is() {
    table(&[
        ("said", "her SSN is 536904399 now", "her SSN is [us_ssn] now"),
        ("the whole text", "536904399\n", "[us_ssn]\n"),
    ]);
    for (case, text) in [
        ("in passing", "took 536904399 steps"),
        ("on a line of many", "steps\n536904399\nand on"),
        ("the whole text, an area that never was", "666904399"),
    ] {
        assert_eq!(redacted(text), text, "{case}");
    }
}

#[test]
fn times_and_decimals_are_no_phone_numbers() {
    for (case, text) in [
        ("a date with its zone", "Date:   Sat Mar 9 19:16:03 2013 -0800"),
        ("a standard's section", "// See C++14 20.10.4 for it"),
        ("a decimal", "const CALL: f32 = 0.0705230784;"),
    ] {
        assert_eq!(redacted(text), text, "{case}");
    }
}
