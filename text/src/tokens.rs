//! Tokens that say who issued them: a fixed beginning and an alphabet, from the services' public documentation.
//!
//! A row is data, and a new service is one more row. Tokens without a beginning of their own are found by their name instead.

use crate::class::Class;
use crate::values::{Look, is_stand_in};

/// Which characters follow the beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Alphabet {
    Digits,
    Hex,
    Upper,
    Alnum,
    Word,
    Url,
    Dotted,
    Base64,
    Wide,
}

impl Alphabet {
    const fn has(self, byte: u8) -> bool {
        match self {
            Self::Digits => byte.is_ascii_digit(),
            Self::Hex => byte.is_ascii_hexdigit(),
            Self::Upper => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Self::Alnum => byte.is_ascii_alphanumeric(),
            Self::Word => byte.is_ascii_alphanumeric() || byte == b'_',
            Self::Url => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'),
            Self::Dotted => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'),
            Self::Base64 => byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'_' | b'-'),
            Self::Wide => {
                byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'=' | b'~' | b'+' | b'/' | b'%')
            }
        }
    }
}

/// One beginning, what follows it, and at least how much of that.
pub(crate) struct Token {
    pub(crate) start: &'static str,
    alphabet: Alphabet,
    least: usize,
    /// The body must hold a digit; short or wordlike beginnings need it.
    digit: bool,
}

const fn token(start: &'static str, alphabet: Alphabet, least: usize) -> Token {
    Token { start, alphabet, least, digit: false }
}

const fn mixed(start: &'static str, alphabet: Alphabet, least: usize) -> Token {
    Token { start, alphabet, least, digit: true }
}

use Alphabet::{Alnum, Base64, Digits, Dotted, Hex, Upper, Url, Wide, Word};

/// The beginnings, by kind of service.
pub(crate) const TOKENS: &[Token] = &[
    // Clouds and their tools
    token("AKIA", Upper, 16),
    token("ASIA", Upper, 16),
    token("ABIA", Upper, 16),
    token("ACCA", Upper, 16),
    mixed("A3T", Upper, 17),
    token("ABSK", Base64, 100),
    token("bedrock-api-key-", Base64, 20),
    token("amzn.mws.", Url, 32),
    token("amzn1.oa2-cs.v1.", Hex, 32),
    token("AIza", Url, 35),
    token("ya29.", Dotted, 20),
    token("GOCSPX-", Url, 20),
    mixed("1//0", Url, 30),
    mixed("AAAA", Dotted, 120),
    mixed("LTAI", Alnum, 12),
    mixed("AKID", Alnum, 32),
    mixed("SCW", Upper, 17),
    mixed("t1.9euelZ", Dotted, 20),
    token("AQVN", Url, 35),
    mixed("YCAJE", Url, 20),
    mixed("YC", Url, 38),
    token("dop_v1_", Hex, 32),
    token("doo_v1_", Hex, 32),
    token("dor_v1_", Hex, 32),
    mixed("HRKU-", Url, 32),
    token("fo1_", Url, 20),
    token("fm1a_", Base64, 32),
    token("fm1r_", Base64, 32),
    token("fm2_", Base64, 32),
    mixed("nfp_", Alnum, 36),
    mixed("vcp_", Alnum, 24),
    mixed("rnd_", Alnum, 26),
    mixed("sbp_", Hex, 40),
    token("sb_secret_", Url, 16),
    mixed("napi_", Alnum, 40),
    token("pscale_tkn_", Dotted, 16),
    token("pscale_oauth_", Dotted, 16),
    token("pscale_pw_", Dotted, 16),
    mixed("dapi", Hex, 32),
    mixed("tk-us-", Url, 20),
    mixed("tk-eu-", Url, 20),
    token("hvs.", Url, 20),
    token("hvb.", Url, 20),
    token("hvr.", Url, 20),
    mixed("pul-", Hex, 40),
    mixed("tskey-", Url, 16),
    mixed("ocid1.", Dotted, 40),
    token("dp.pt.", Alnum, 30),
    token("dp.st.", Dotted, 30),
    token("dp.ct.", Alnum, 30),
    token("dp.sa.", Alnum, 30),
    token("dp.scim.", Alnum, 30),
    token("dp.audit.", Alnum, 30),
    mixed("v1.0-", Url, 80),
    token("sha256~", Url, 30),
    mixed("nvapi-", Url, 40),
    mixed("cio", Alnum, 32),
    mixed("dt0c", Dotted, 60),
    mixed("dt0s", Dotted, 60),
    mixed("4b1d", Alnum, 38),
    mixed("tmprl_", Alnum, 30),
    mixed("hcp.", Dotted, 30),
    mixed("ops_eyJ", Base64, 60),
    mixed("lsv2_", Word, 32),
    // Code hosts, registries, builds
    token("ghp_", Alnum, 30),
    token("gho_", Alnum, 30),
    token("ghu_", Alnum, 30),
    token("ghs_", Alnum, 30),
    token("ghr_", Alnum, 30),
    token("github_pat_", Word, 36),
    mixed("glpat-", Dotted, 20),
    mixed("gldt-", Dotted, 20),
    mixed("glft-", Dotted, 20),
    mixed("glsoat-", Dotted, 20),
    mixed("glrt-", Dotted, 20),
    mixed("glrtr-", Dotted, 20),
    mixed("glcbt-", Dotted, 20),
    mixed("glptt-", Dotted, 40),
    mixed("glagent-", Dotted, 50),
    mixed("gloas-", Dotted, 40),
    mixed("glimt-", Dotted, 25),
    mixed("glffct-", Dotted, 20),
    mixed("glwt-", Dotted, 20),
    mixed("GR1348941", Url, 20),
    mixed("ATBB", Alnum, 24),
    mixed("ATCTT3", Wide, 30),
    mixed("ATATT3", Wide, 30),
    mixed("BBDC-", Base64, 40),
    token("npm_", Alnum, 36),
    token("pypi-AgE", Url, 40),
    token("rubygems_", Hex, 40),
    mixed("CLOJARS_", Alnum, 50),
    mixed("oy2", Alnum, 43),
    token("dckr_pat_", Url, 20),
    token("dckr_oat_", Url, 20),
    mixed("AKCp", Alnum, 60),
    mixed("cmVmdG", Alnum, 58),
    mixed("CCIPAT_", Word, 40),
    mixed("CCIPRJ_", Word, 40),
    mixed("bkua_", Hex, 36),
    mixed("sqp_", Hex, 38),
    mixed("squ_", Hex, 38),
    mixed("sqa_", Hex, 38),
    mixed("sgp_", Word, 36),
    mixed("slk_", Hex, 60),
    mixed("sgd_", Hex, 60),
    mixed("API-", Upper, 25),
    mixed("odt_", Alnum, 32),
    mixed("odt_", Word, 40),
    mixed("ico-", Alnum, 32),
    mixed("pnu_", Alnum, 36),
    mixed("pnb_", Alnum, 36),
    mixed("snyk_", Dotted, 36),
    mixed("CFPAT-", Url, 40),
    mixed("dnkey-", Url, 40),
    mixed("ion_", Alnum, 40),
    mixed("scp-live-", Hex, 32),
    mixed("scp-test-", Hex, 32),
    mixed("rdme_", Alnum, 60),
    mixed("tss_", Word, 30),
    // Models
    token("sk-ant-", Url, 30),
    token("sk-proj-", Url, 30),
    token("sk-svcacct-", Url, 30),
    token("sk-admin-", Url, 30),
    token("sk-or-v1-", Hex, 40),
    mixed("sk-lf-", Url, 30),
    mixed("sk-", Alnum, 24),
    mixed("hf_", Alnum, 34),
    token("hf_", Alnum, 34),
    token("api_org_", Alnum, 34),
    mixed("r8_", Alnum, 30),
    mixed("gsk_", Alnum, 40),
    mixed("pplx-", Alnum, 40),
    mixed("xai-", Alnum, 60),
    mixed("tgp_v1_", Url, 36),
    mixed("fw_", Alnum, 20),
    mixed("tvly-", Url, 20),
    mixed("pcsk_", Word, 40),
    mixed("e2b_", Hex, 36),
    mixed("fc-", Hex, 32),
    mixed("jina_", Alnum, 50),
    mixed("csk-", Alnum, 40),
    mixed("key_live_", Word, 16),
    mixed("apify_api_", Alnum, 30),
    mixed("sk_", Hex, 48),
    // Messages and mail
    mixed("xoxb-", Url, 12),
    mixed("xoxp-", Url, 12),
    mixed("xoxa-", Url, 9),
    mixed("xoxo-", Url, 9),
    mixed("xoxs-", Url, 9),
    mixed("xoxr-", Url, 9),
    mixed("xoxe-", Url, 20),
    mixed("xoxe.xox", Url, 20),
    mixed("xoxexox", Url, 20),
    mixed("xoxebxox", Url, 20),
    mixed("xoxd-", Wide, 30),
    mixed("xapp-", Url, 20),
    mixed("xwfp-", Url, 20),
    mixed("SG.", Dotted, 30),
    mixed("key-", Hex, 32),
    mixed("pubkey-", Hex, 32),
    mixed("xkeysib-", Url, 60),
    mixed("xsmtpsib-", Url, 60),
    mixed("re_", Word, 30),
    mixed("SK", Hex, 32),
    mixed("AC", Hex, 32),
    mixed("live_", Word, 32),
    mixed("sntrys_eyJ", Base64, 40),
    mixed("sntryu_", Hex, 60),
    // Money
    mixed("sk_live_", Alnum, 10),
    mixed("sk_test_", Alnum, 10),
    mixed("sk_prod_", Alnum, 10),
    mixed("rk_live_", Alnum, 10),
    mixed("rk_test_", Alnum, 10),
    mixed("rk_prod_", Alnum, 10),
    mixed("whsec_", Base64, 24),
    token("sq0atp-", Url, 20),
    token("sq0csp-", Url, 30),
    mixed("sq0idp-", Url, 20),
    mixed("EAAAE", Url, 55),
    mixed("EAAA", Url, 27),
    token("access_token$", Wide, 30),
    mixed("rzp_live_", Alnum, 12),
    mixed("rzp_test_", Alnum, 12),
    mixed("FLWSECK", Url, 12),
    mixed("FLWPUBK", Url, 24),
    mixed("duffel_live_", Url, 30),
    mixed("duffel_test_", Url, 30),
    mixed("EZAK", Alnum, 54),
    mixed("EZTK", Alnum, 54),
    mixed("shippo_live_", Hex, 32),
    mixed("shippo_test_", Hex, 32),
    mixed("live_pub_", Hex, 28),
    mixed("test_pub_", Hex, 28),
    mixed("test_", Hex, 35),
    mixed("access-production-", Hex, 8),
    mixed("access-development-", Hex, 8),
    mixed("access-sandbox-", Hex, 8),
    mixed("shpat_", Hex, 30),
    mixed("shpca_", Hex, 30),
    mixed("shppa_", Hex, 30),
    mixed("shpss_", Hex, 30),
    mixed("sm_aat_", Alnum, 16),
    mixed("sm_pat_", Alnum, 16),
    mixed("sm_sat_", Alnum, 16),
    mixed("AQE", Base64, 60),
    // Work and the rest
    mixed("lin_api_", Alnum, 32),
    mixed("lin_oauth_", Alnum, 32),
    mixed("ntn_", Alnum, 40),
    mixed("secret_", Alnum, 40),
    mixed("pk_", Word, 40),
    mixed("figd_", Url, 36),
    mixed("figu_", Url, 36),
    mixed("sl.", Wide, 60),
    mixed("tfp_", Wide, 40),
    mixed("PMAK-", Url, 40),
    mixed("PMAT-", Alnum, 24),
    mixed("glc_", Base64, 32),
    mixed("glsa_", Word, 32),
    mixed("eyJrIjoi", Base64, 60),
    mixed("NRAK-", Upper, 20),
    mixed("NRAK-", Alnum, 25),
    mixed("NRJS-", Hex, 18),
    mixed("NRII-", Url, 30),
    mixed("NRAA-", Hex, 20),
    mixed("NRRA-", Hex, 20),
    mixed("NRSP-", Url, 20),
    mixed("NRIQ-", Url, 30),
    mixed("hcaik_", Alnum, 50),
    mixed("fio-u-", Url, 40),
    mixed("b_", Base64, 44),
    mixed("aio_", Alnum, 26),
    mixed("phx_", Alnum, 30),
    mixed("sdk-", Url, 36),
    mixed("mob-", Url, 36),
    mixed("s-s4t2af-", Hex, 60),
    mixed("s-s4t2ud-", Hex, 60),
    mixed("EAACEdEose0cBA", Alnum, 20),
    mixed("EAAM", Alnum, 60),
    mixed("EAAC", Alnum, 60),
    mixed("EAAG", Alnum, 60),
    mixed("EAAB", Alnum, 60),
    mixed("IGQ", Url, 60),
    mixed("AAAAAAAAAAAAAAAAAAAAA", Wide, 40),
    mixed("A3-", Url, 30),
    mixed("s.", Alnum, 24),
    mixed("b.AAAAAQ", Url, 20),
    mixed("r.", Alnum, 26),
    mixed("pat.", Dotted, 60),
    mixed("sat.", Dotted, 60),
    mixed("scauth_", Dotted, 60),
    mixed("sc_", Dotted, 80),
    mixed("ext_", Dotted, 80),
    mixed("retool_", Alnum, 20),
    mixed("SWMTKN-1-", Url, 40),
    mixed("SWMKEY-1-", Base64, 40),
    mixed("oa2-client-id_", Url, 20),
    mixed("thirdparty_", Hex, 32),
    mixed("launchdarkly-secret-", Url, 32),
    mixed("storecove_", Alnum, 24),
    mixed("00", Url, 40),
    mixed("ak_live_", Alnum, 24),
    mixed("ak_test_", Alnum, 24),
    mixed("pub-c-", Url, 36),
    mixed("sub-c-", Url, 36),
    mixed("sec-c-", Url, 36),
    mixed("pat", Dotted, 70),
];

/// Shapes whose mark is in the middle or at the end: the mark, what stands to its left, at least and at most how much of
/// it, and the same for its right.
pub(crate) const INFIXES: &[(&str, Alphabet, usize, usize, Alphabet, usize)] = &[
    (".atlasv1.", Alnum, 10, 256, Wide, 50),
    ("T3BlbkFJ", Url, 12, 256, Url, 12),
    ("Q~", Dotted, 4, 4, Wide, 28),
    ("_mmk", Url, 20, 64, Alnum, 0),
];

/// What the text at an address of a web hook must hold.
pub(crate) const HOOKS: &[&str] = &[
    "hooks.slack.com/services/",
    "hooks.slack.com/workflows/",
    "hooks.slack.com/triggers/",
    "webhook.office.com/webhook",
    "discord.com/api/webhooks/",
    "discordapp.com/api/webhooks/",
    "hooks.zapier.com/hooks/catch/",
    "api.telegram.org/bot",
    "chat.googleapis.com/v1/spaces/",
    "maker.ifttt.com/trigger/",
    "outlook.office.com/webhook/",
];

fn run(text: &[u8], from: usize, alphabet: Alphabet, most: usize) -> usize {
    text[from..].iter().take(most).take_while(|byte| alphabet.has(**byte)).count()
}

/// Tells whether a token may begin here: not inside another word, though an escape such as `\n` may stand before it.
pub(crate) fn begins_here(text: &[u8], at: usize) -> bool {
    let Some(before) = at.checked_sub(1).map(|i| text[i]) else { return true };
    if !before.is_ascii_alphanumeric() && before != b'_' {
        return true;
    }
    at >= 2 && text[at - 2] == b'\\' && matches!(before, b'n' | b'r' | b't')
        || at >= 3 && text[at - 3] == b'%' && text[at - 2].is_ascii_hexdigit() && before.is_ascii_hexdigit()
}

impl Token {
    /// Matches the token whose beginning stands at `at`, and returns where it ends.
    pub(crate) fn find(&self, text: &[u8], at: usize) -> Option<usize> {
        let body = at + self.start.len();
        if &text[at..body] != self.start.as_bytes() || !begins_here(text, at) {
            return None;
        }
        let mut n = run(text, body, self.alphabet, LONGEST);
        while n > self.least && matches!(text[body + n - 1], b'.' | b'-') {
            n -= 1;
        }
        if n < self.least {
            return None;
        }
        let found = &text[body..body + n];
        let look = Look::of(found);
        let least_digits = usize::from(self.digit) + usize::from(self.digit && self.start.len() <= 3);
        if look.digits < least_digits || look.distinct < 5.min(self.least) || is_sample(found) {
            return None;
        }
        // A short beginning is only a beginning if chance, not a word, follows it.
        if self.digit && self.start.len() <= 3 && !crate::values::is_random(found, self.least.min(20)) {
            return None;
        }
        Some(body + n)
    }

    pub(crate) fn class(&self) -> Class {
        Class::ApiKey
    }
}

/// No token is longer; what is longer is cut by the caller's blob rule.
const LONGEST: usize = 4096;

/// Tells whether a token's body is the one of a manual: letters repeated, or the word `EXAMPLE`.
fn is_sample(body: &[u8]) -> bool {
    let look = Look::of(body);
    let has = |needle: &[u8]| memchr::memmem::find(body, needle).is_some();
    look.run >= 8 && look.run * 3 > look.len
        || has(b"EXAMPLE")
        || has(b"XXXXX")
        || has(b"xxxxx")
        || has(b"your_")
        || (look.len < 24 && is_stand_in(body))
}

/// Matches one of [`INFIXES`] around its mark at `at`.
pub(crate) fn find_infix(text: &[u8], at: usize, which: usize) -> Option<(usize, usize)> {
    let (mark, left, least_left, most_left, right, least_right) = INFIXES[which];
    if &text[at..at + mark.len()] != mark.as_bytes() {
        return None;
    }
    let before = text[..at].iter().rev().take(most_left).take_while(|byte| left.has(**byte)).count();
    let after = run(text, at + mark.len(), right, 512);
    let whole = &text[at - before..at + mark.len() + after];
    (before >= least_left && after >= least_right && Look::of(whole).digits >= 1 && Look::of(whole).distinct > 8)
        .then_some((at - before, at + mark.len() + after))
}

/// Matches a web hook's address at its host, and returns the whole link.
pub(crate) fn find_hook(text: &[u8], at: usize, which: usize) -> Option<(usize, usize)> {
    let host = HOOKS[which];
    let path = at + host.len();
    let n = text[path..]
        .iter()
        .take(512)
        .take_while(|b| {
            b.is_ascii_alphanumeric()
                || matches!(b, b'/' | b'_' | b'-' | b'@' | b':' | b'%' | b'?' | b'=' | b'&' | b'.')
        })
        .count();
    let before = text[..at]
        .iter()
        .rev()
        .take(64)
        .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b':' | b'/' | b'.' | b'-'))
        .count();
    (n >= 16 && Look::of(&text[path..path + n]).digits >= 1).then_some((at - before, path + n))
}

/// A bot's token: digits, a colon, and 35 characters that begin with A.
pub(crate) fn find_bot(text: &[u8], digits_at: usize, digits: usize) -> Option<usize> {
    let colon = digits_at + digits;
    if !(5..=16).contains(&digits) || text.get(colon) != Some(&b':') || text.get(colon + 1) != Some(&b'A') {
        return None;
    }
    let n = run(text, colon + 1, Url, 64);
    (34..=36).contains(&n).then_some(colon + 1 + n)
}

/// A chat bot's token: a number in base64, a time and a signature, between dots.
pub(crate) fn find_dotted(text: &[u8], at: usize) -> Option<usize> {
    let first = run(text, at, Url, 40);
    let second_at = at + first + 1;
    if !(23..=28).contains(&first) || !begins_here(text, at) || text.get(second_at - 1) != Some(&b'.') {
        return None;
    }
    let second = run(text, second_at, Url, 12);
    let third_at = second_at + second + 1;
    if !(6..=7).contains(&second) || text.get(third_at - 1) != Some(&b'.') {
        return None;
    }
    let third = run(text, third_at, Url, 64);
    (27..=40).contains(&third).then_some(third_at + third)
}

/// A key of a mailing service: 32 hexadecimal digits and the name of a data centre.
pub(crate) fn find_with_centre(text: &[u8], dash: usize) -> Option<(usize, usize)> {
    let hex = text[..dash].iter().rev().take(40).take_while(|b| Hex.has(**b)).count();
    let digits = run(text, dash + 3, Digits, 3);
    (hex == 32 && (1..=2).contains(&digits)).then(|| (dash - 32, dash + 3 + digits))
}

/// A JSON web token at its first part, and where it ends: two or four dots, the signature perhaps missing.
pub(crate) fn find_jwt(text: &[u8], at: usize) -> Option<usize> {
    if !begins_here(text, at) || !text[at..].starts_with(b"ey") {
        return None;
    }
    let header = run(text, at, Url, LONGEST);
    if header < 16 || text.get(at + header) != Some(&b'.') {
        return None;
    }
    let mut end = at + header;
    let mut parts = 1;
    while parts < 5 && text.get(end) == Some(&b'.') {
        let n = run(text, end + 1, Base64, 1 << 16);
        if parts == 1 && (n < 10) {
            return None;
        }
        end += 1 + n;
        parts += 1;
    }
    // The dot of a sentence is not the token's.
    while text[end - 1] == b'.' && parts > 2 && text.get(end).is_some_and(u8::is_ascii_whitespace) {
        end -= 1;
    }
    (parts >= 2 && end - at >= 36).then_some(end)
}
