//! Paths as text, or as the numbers of their bytes when they are not UTF-8, which JSON's text cannot hold.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{SeqAccess, Visitor},
};

pub(super) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    match path.to_str() {
        Some(text) => serializer.serialize_str(text),
        None => path.as_os_str().as_bytes().serialize(serializer),
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    deserializer.deserialize_any(Either)
}

struct Either;

impl<'de> Visitor<'de> for Either {
    type Value = PathBuf;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a path, as text or as bytes")
    }

    fn visit_str<E>(self, text: &str) -> Result<PathBuf, E> {
        Ok(OsStr::new(text).into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut bytes: A) -> Result<PathBuf, A::Error> {
        let mut name = Vec::new();
        while let Some(byte) = bytes.next_element()? {
            name.push(byte);
        }
        Ok(OsString::from_vec(name).into())
    }
}

#[derive(Deserialize)]
struct Owned(#[serde(deserialize_with = "deserialize")] PathBuf);

struct Borrowed<'a>(&'a Path);

impl Serialize for Borrowed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(self.0, serializer)
    }
}

pub(super) mod optional {
    use super::{Borrowed, Deserialize, Deserializer, Owned, PathBuf, Serialize, Serializer};

    #[expect(clippy::ref_option, reason = "serde hands over the field as it is")]
    pub(in super::super) fn serialize<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
        path.as_deref().map(Borrowed).serialize(serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<PathBuf>, D::Error> {
        Ok(Option::<Owned>::deserialize(deserializer)?.map(|owned| owned.0))
    }
}

pub(super) mod many {
    use super::{Borrowed, Deserialize, Deserializer, Owned, PathBuf, Serializer};

    pub(in super::super) fn serialize<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(paths.iter().map(|path| Borrowed(path)))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
        Ok(Vec::<Owned>::deserialize(deserializer)?.into_iter().map(|owned| owned.0).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Ask, Filter, NewSession, Query};
    use super::*;

    #[test]
    fn every_path_of_an_order_survives_the_socket_whatever_its_bytes() {
        let odd = PathBuf::from(OsString::from_vec(b"/home/caf\xe9/a\nb".to_vec()));
        let session = NewSession {
            purpose: String::new(),
            folders: vec![odd.clone(), "/plain".into()],
            exclude: vec![odd.clone()],
            sources: Vec::new(),
            class: hearth_core::session::Class::default(),
            keep_days: None,
            for_ms: None,
            here_only: false,
        };
        let filter = Filter { path: Some(odd.clone()), ..Filter::default() };
        let asks = [
            Ask::Index { paths: vec![odd.clone(), "/plain".into()], again: false },
            Ask::Import { file: odd.clone() },
            Ask::Export { file: odd.clone() },
            Ask::Why { path: odd },
            Ask::OpenSession(session),
            Ask::Search(Query { filter, ..Query::default() }),
        ];
        for ask in asks {
            let text = serde_json::to_string(&ask).expect("any path can be written");
            assert_eq!(serde_json::from_str::<Ask>(&text).expect("and read"), ask, "{text}");
        }
    }
}
