//! Names of things that cannot be mixed up.
//!
//! Each id is its own type with its own prefix: a log line says `dev-7f…`, not `7f…`, and two kinds cannot be swapped.
//! Ids carry no text: those of captured things are keyed hashes, so that an id confirms no guess about its content.

use std::{fmt, str::FromStr};

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use schemars::JsonSchema;
use sha2::{Digest, Sha256};

/// Why a text is not an id of the kind that was asked for.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{given}` is not an id of this kind; it should read `{prefix}` followed by 32 hexadecimal digits")]
pub struct NotAnId {
    given: String,
    prefix: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// What every id of this kind begins with when it is written down.
            pub const PREFIX: &'static str = $prefix;

            /// Makes an id out of its 16 bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The 16 bytes of this id.
            pub fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), HEXLOWER.encode(&self.as_bytes()[..]))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl<C> minicbor::Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.bytes(&self.0)?.ok()
            }
        }

        impl<'b, C> minicbor::Decode<'b, C> for $name {
            fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
                crate::id::array(d).map(Self)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;
            fn from_str(text: &str) -> Result<Self, NotAnId> {
                text.strip_prefix($prefix)
                    .and_then(|hex| HEXLOWER.decode(hex.as_bytes()).ok())
                    .and_then(|bytes| <[u8; 16]>::try_from(bytes).ok())
                    .map(Self::from_bytes)
                    .ok_or_else(|| NotAnId { given: text.chars().take(60).collect(), prefix: $prefix })
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
                out.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(from)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": concat!("^", $prefix, "[0-9a-f]{32}$") })
            }
        }
    };
}

id!(
    /// One device in the fleet. Derived from its public key, never chosen.
    DeviceId, "dev-"
);
id!(
    /// Whose things these are: a person, a household, a guest. Part of every key, so that nothing is looked up without it.
    SpaceId, "spc-"
);
id!(
    /// One capture session: what was allowed, for how long, for whom.
    SessionId, "ses-"
);
id!(
    /// One captured thing as its owner knows it (a file, a command), whatever versions it went through.
    ItemId, "itm-"
);
id!(
    /// One version of an item's body. Each has a key of its own, which is what erasing destroys.
    DocumentId, "doc-"
);
id!(
    /// One passage of redacted text, the unit that is embedded and found. Keyed hash of its normalised text.
    ChunkId, "chk-"
);
id!(
    /// One piece of durable work.
    JobId, "job-"
);

impl DeviceId {
    /// The id of the device that holds the private half of this ed25519 key.
    pub fn of_key(key: &ed25519_dalek::VerifyingKey) -> Self {
        Self::of_key_bytes(key.as_bytes())
    }

    /// The same, from the 32 bytes of the public key as they stand in what the device signed.
    pub fn of_key_bytes(key: &[u8; 32]) -> Self {
        let digest = Sha256::new().chain_update(b"hearth/device/1").chain_update(key).finalize();
        Self::from_bytes(first_16(&digest))
    }
}

/// The secret of a space that turns content and names into ids: HMAC-SHA256 (RFC 2104), cut to 128 bits.
///
/// Without it nobody can check whether a known text or path is in a store.
#[derive(Clone, zeroize::Zeroize, zeroize::ZeroizeOnDrop)]
pub struct NamingKey([u8; 32]);

impl NamingKey {
    /// Takes the 32 secret bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The item that a source knows by this name.
    pub fn item(&self, source: &str, name: &[u8]) -> ItemId {
        ItemId::from_bytes(self.tag("item", &[source.as_bytes(), name]))
    }

    /// The passage with this normalised text.
    pub fn chunk(&self, text: &str) -> ChunkId {
        ChunkId::from_bytes(self.tag("chunk", &[text.as_bytes()]))
    }

    /// A name for anything else that must not be stored readable, such as a path in a map's key.
    ///
    /// `label` keeps the kinds apart; each part is length-prefixed, so that parts cannot run into one another.
    pub fn tag(&self, label: &str, parts: &[&[u8]]) -> [u8; 16] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        for part in std::iter::once(label.as_bytes()).chain(parts.iter().copied()) {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        first_16(&mac.finalize().into_bytes())
    }
}

impl fmt::Debug for NamingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NamingKey(secret)")
    }
}

/// Reads a CBOR byte string of exactly `N` bytes.
pub(crate) fn array<const N: usize>(d: &mut minicbor::Decoder<'_>) -> Result<[u8; N], minicbor::decode::Error> {
    <[u8; N]>::try_from(d.bytes()?).map_err(|_| minicbor::decode::Error::message("a byte string of another length"))
}

/// How many bytes CBOR spends on a number or a length in its shortest form (RFC 8949 §4.2.1).
pub(crate) const fn head_len(value: u64) -> usize {
    match value {
        0..=23 => 1,
        24..=0xff => 2,
        0x100..=0xffff => 3,
        0x1_0000..=0xffff_ffff => 5,
        _ => 9,
    }
}

fn first_16(digest: &[u8]) -> [u8; 16] {
    let mut out = [0; 16];
    out.copy_from_slice(&digest[..16]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_itself_and_no_other_kind() {
        let id = ItemId::from_bytes([7; 16]);
        assert_eq!(id.to_string(), "itm-07070707070707070707070707070707");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(id.to_string().parse::<ChunkId>().is_err());
        assert!("itm-07".parse::<ItemId>().is_err());
    }

    #[test]
    fn a_name_depends_on_the_key_the_kind_and_where_its_parts_end() {
        let (ours, theirs) = (NamingKey::from_bytes([1; 32]), NamingKey::from_bytes([2; 32]));
        assert_ne!(ours.chunk("milk"), theirs.chunk("milk"));
        assert_ne!(ours.tag("a", &[b"bc"]), ours.tag("b", &[b"bc"]));
        assert_ne!(ours.tag("p", &[b"ab", b"c"]), ours.tag("p", &[b"a", b"bc"]));
        assert!(!format!("{ours:?}").contains('1'));
    }

    #[test]
    fn an_id_is_shown_and_described_as_it_is_written_down() {
        let id = SessionId::from_bytes([0xab; 16]);
        assert_eq!(format!("{id:?}"), id.to_string());
        assert_eq!(serde_json::to_value(id).expect("text"), id.to_string());
        let schema = serde_json::to_value(schemars::schema_for!(SessionId)).expect("plain data");
        assert_eq!((&schema["title"], &schema["type"]), (&"SessionId".into(), &"string".into()));
        assert_eq!(schema["pattern"], "^ses-[0-9a-f]{32}$");
        assert_eq!(serde_json::from_value::<SessionId>(id.to_string().into()).expect("its own text"), id);
    }

    #[test]
    fn what_is_no_id_of_the_kind_is_refused_with_the_form_it_should_have() {
        let digits = "07".repeat(16);
        for (case, given) in [
            ("another kind", format!("doc-{digits}")),
            ("no prefix", digits.clone()),
            ("too short", format!("itm-{}", &digits[2..])),
            ("too long", format!("itm-{digits}07")),
            ("not hexadecimal", format!("itm-{}", digits.replace('7', "g"))),
            ("capitals", format!("itm-{}", "AB".repeat(16))),
            ("nothing", String::new()),
        ] {
            let refused = given.parse::<ItemId>().expect_err(case);
            let expected =
                format!("`{given}` is not an id of this kind; it should read `itm-` followed by 32 hexadecimal digits");
            assert_eq!(refused.to_string(), expected, "{case}");
            assert!(serde_json::from_value::<ItemId>(given.into()).is_err(), "{case}");
        }
        let short = minicbor::to_vec(minicbor::bytes::ByteVec::from(vec![7; 15])).expect("memory does not fail");
        assert!(minicbor::decode::<ItemId>(&short).is_err(), "15 bytes");
    }

    #[test]
    fn the_items_of_two_sources_are_two_though_their_names_are_one() {
        let key = NamingKey::from_bytes([1; 32]);
        assert_eq!(key.item("files", b"/a"), key.item("files", b"/a"));
        assert_ne!(key.item("files", b"/a"), key.item("mail", b"/a"));
        assert_ne!(key.item("files", b"/a").as_bytes(), key.chunk("/a").as_bytes());
    }

    #[test]
    fn a_number_takes_as_many_bytes_as_its_shortest_form() {
        for edge in [0, 23, 24, 0xff, 0x100, 0xffff, 0x1_0000, 0xffff_ffff, 0x1_0000_0000, u64::MAX] {
            assert_eq!(head_len(edge), minicbor::to_vec(edge).expect("memory does not fail").len(), "{edge}");
        }
    }
}
