//! How a peer learns at once that a listener was killed and is back (RFC 9000 §10.3, stateless reset).
//!
//! Who is killed says no farewell. What the peers send to the old links then comes to a socket that knows nothing of them, and is answered by
//! a token that only the holder of the listener's key can make; without it they would wait until [`Limits::idle`](crate::Limits) passes. Only
//! a listener answers so, never a socket from which links are opened: two sockets with one key would let whoever watches the network end a
//! link at the one by asking the other (RFC 9000 §21.11).

use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use quinn::{
    EndpointConfig,
    crypto::{CryptoError, HmacKey},
};
use quinn_proto::RandomConnectionIdGenerator;
use sha2::Sha256;

use crate::identity::Identity;

/// The settings of a listener's socket, which are the same whenever this identity listens.
pub(crate) fn answering(identity: &Identity) -> EndpointConfig {
    let mut config = EndpointConfig::new(Arc::new(Key::of(identity)));
    // quinn's own ids are known again by a key, which would have to be kept as well, and are so few that whoever asks for all of them would
    // have the tokens of links to come. Of these there are too many, and any is answered; quinn does so fifty times a second at the most.
    config.cid_generator(|| Box::new(RandomConnectionIdGenerator::new(ID)));
    config
}

/// The bytes of a connection id.
const ID: usize = 12;

fn hmac(key: &[u8; 32]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("any length will do")
}

struct Key([u8; 32]);

impl Key {
    fn of(identity: &Identity) -> Self {
        let seed = identity.signing_key().as_bytes();
        Self(hmac(seed).chain_update(b"hearth stateless reset v1").finalize().into_bytes().into())
    }
}

impl HmacKey for Key {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        signature_out.copy_from_slice(&hmac(&self.0).chain_update(data).finalize().into_bytes());
    }

    fn signature_len(&self) -> usize {
        32
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        hmac(&self.0).chain_update(data).verify_slice(signature).map_err(|_| CryptoError)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::{Ipv4Addr, SocketAddr},
        time::Duration,
    };

    use tokio::runtime::Runtime;

    use super::*;
    use crate::{
        Link, LinkError, Listener, Protocol, Trust,
        pipe::Pipe,
        quic::{Connector, tests::ample},
    };

    fn listen(at: SocketAddr, identity: &Identity, peer: &Identity) -> Listener {
        Listener::bind(at, identity, Trust::only([peer.public()]), Protocol::ALL, ample()).expect("a free port")
    }

    /// A link to a listener that is then killed: no farewell leaves it.
    fn left_behind(live: &Runtime, listening: &Identity, peer: &Identity) -> (Link, SocketAddr) {
        let killed = Runtime::new().expect("a runtime");
        let listener = {
            let _within = killed.enter();
            listen((Ipv4Addr::LOCALHOST, 0).into(), listening, peer)
        };
        let at = listener.local_address().expect("bound");
        let held = killed.spawn(async move {
            let link = listener.accept().await.expect("open").welcome().await.expect("trusted");
            (listener, link)
        });
        let seed = peer.signing_key().to_bytes();
        let link = live
            .block_on(Connector::new(Identity::from_seed(&seed), listening.public(), ample()).connect(at))
            .expect("welcome");
        let held = live.block_on(held).expect("no panic");
        killed.shutdown_timeout(Duration::from_mins(1));
        drop(held);
        (link, at)
    }

    #[test]
    fn a_listener_that_was_killed_and_is_back_ends_the_links_it_had() {
        let (listening, peer) = (Identity::from_seed(&[1; 32]), Identity::from_seed(&[2; 32]));
        let live = Runtime::new().expect("a runtime");
        let (mut link, at) = left_behind(&live, &listening, &peer);
        let end = live.block_on(async {
            let _back = listen(at, &listening, &peer);
            // What was not acknowledged yet may have asked already.
            let _ = link.send(b"are you there?").await;
            link.receive().await
        });
        assert!(matches!(end, Err(LinkError::Ended)), "{end:?}");
    }

    #[test]
    fn another_key_at_the_same_address_cannot_end_a_link() {
        let [listening, peer, other] = [1, 2, 3].map(|seed| Identity::from_seed(&[seed; 32]));
        let live = Runtime::new().expect("a runtime");
        let (mut link, at) = left_behind(&live, &listening, &peer);
        live.block_on(async {
            let stranger = listen(at, &other, &peer);
            link.send(b"are you there?").await.expect("nobody has said otherwise");
            // It answers a new link, so by then it has read what was sent before.
            let connector = Connector::new(Identity::from_seed(&[2; 32]), other.public(), ample());
            let (link_to_it, held) =
                tokio::join!(connector.connect(at), async { stranger.accept().await.expect("open").welcome().await });
            let (_link_to_it, _held) = (link_to_it.expect("welcome"), held.expect("trusted"));
            link.send(b"still not?").await.expect("the link still stands");
        });
    }

    #[test]
    fn the_key_follows_from_the_identity_and_signs_as_it_verifies() {
        let [one, again, other] = [1, 1, 2].map(|seed| Key::of(&Identity::from_seed(&[seed; 32])));
        let mut signature = [0; 32];
        one.sign(b"data", &mut signature);
        assert!(again.verify(b"data", &signature).is_ok());
        assert!(other.verify(b"data", &signature).is_err() && one.verify(b"date", &signature).is_err());
    }
}
