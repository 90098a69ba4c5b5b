//! The greeting: one round trip on the application's own level, before a link is believed.
//!
//! In QUIC a client that is being refused sees its connection succeed first; only an answer proves that the other side wants it. The
//! greeting also settles the version. It is not signed: the keys were proven by TLS, on the same connection.

use minicbor::{Decode, Encode};

use crate::{close::LinkError, pipe::Pipe};

/// The version of the protocol that this program speaks, the only one there is.
pub(crate) const VERSION: u16 = 1;

/// A greeting is never longer.
pub(crate) const HELLO_MAX: usize = 1024;

const NAME: &str = "hearth";

#[derive(Encode, Decode, Debug)]
struct Hello<'a> {
    #[b(0)]
    name: &'a str,
    #[n(1)]
    least: u16,
    #[n(2)]
    newest: u16,
}

/// Speaks first; returns the version that the other side chose.
pub(crate) async fn greet(pipe: &mut impl Pipe) -> Result<u16, LinkError> {
    pipe.send(&written(VERSION, VERSION)).await?;
    let answer = pipe.receive().await?;
    let (least, newest) = read(&answer)?;
    match least == VERSION && newest == VERSION {
        true => Ok(VERSION),
        false => Err(LinkError::Version { least, newest, ours: VERSION }),
    }
}

/// Listens first; answers with the version that both sides know.
pub(crate) async fn answer(pipe: &mut impl Pipe) -> Result<u16, LinkError> {
    let greeting = pipe.receive().await?;
    let (least, newest) = read(&greeting)?;
    if !(least..=newest).contains(&VERSION) {
        return Err(LinkError::Version { least, newest, ours: VERSION });
    }
    pipe.send(&written(VERSION, VERSION)).await?;
    Ok(VERSION)
}

fn written(least: u16, newest: u16) -> Vec<u8> {
    minicbor::to_vec(Hello { name: NAME, least, newest }).expect("a vector takes whatever is written to it")
}

fn read(bytes: &[u8]) -> Result<(u16, u16), LinkError> {
    let mut decoder = minicbor::Decoder::new(bytes);
    let hello: Hello<'_> = decoder.decode().map_err(|error| LinkError::Greeting(error.to_string()))?;
    match hello {
        Hello { name: NAME, least, newest } if least <= newest && decoder.position() == bytes.len() => {
            Ok((least, newest))
        }
        _ => Err(LinkError::Greeting("its parts do not fit together".into())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Limits, memory, memory::End};

    #[tokio::test(start_paused = true)]
    async fn both_sides_settle_on_a_version() {
        let (mut left, mut right) = memory::raw_pair(Limits::default());
        let (greeted, answered) = tokio::join!(greet(&mut left), answer(&mut right));
        assert_eq!((greeted.expect("welcome"), answered.expect("greeted")), (VERSION, VERSION));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_greeting_is_refused_with_its_reason() {
        for (case, first, reason) in [
            ("noise", b"\xFF\xFF\xFF".to_vec(), "did not open with a greeting"),
            ("another protocol", minicbor::to_vec(("mqtt", 1u16, 1u16)).expect("fits"), "do not fit together"),
            ("versions the wrong way round", written(2, 1), "do not fit together"),
            ("something after it", [written(1, 1), vec![0]].concat(), "do not fit together"),
            ("only later versions", written(2, 9), "speaks versions 2 to 9"),
            ("longer than a greeting", vec![0; HELLO_MAX + 1], "1024 is the most"),
        ] {
            let (mut peer, mut here): (End, End) = memory::raw_pair(Limits::default());
            peer.send(&first).await.expect("fits into the pipe");
            let refused = answer(&mut here).await.expect_err(case).to_string();
            assert!(refused.contains(reason), "{case}: {refused}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_of_another_version_is_refused() {
        let (mut here, mut peer) = memory::raw_pair(Limits::default());
        peer.send(&written(2, 2)).await.expect("fits into the pipe");
        assert!(matches!(greet(&mut here).await, Err(LinkError::Version { newest: 2, .. })));
    }

    proptest! {
        #[test]
        fn any_greeting_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = read(&bytes);
        }
    }
}
