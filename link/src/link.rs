//! A link: what is left once a peer has proven its key and answered the greeting, whichever way the bytes go.
//!
//! Opening one is the work of [`crate::quic`] and [`crate::mqtt`].

use std::{net::SocketAddr, time::Duration};

use ed25519_dalek::VerifyingKey;
use hearth_core::DeviceId;

use crate::{
    close::{Close, LinkError},
    halves::{Receiving, Sending, Whole},
    hello::HELLO_MAX,
    mqtt::carrier::Mailbox,
    pipe::{Framed, Limits, Pipe},
    tls::Protocol,
    way::{Inward, Outward, Way},
};

/// A connection whose peer has proven its key and answered the greeting.
#[derive(Debug)]
pub struct Link {
    way: Way,
    framed: Framed<Inward, Outward>,
    own: Option<VerifyingKey>,
    peer: VerifyingKey,
    version: u16,
}

impl Link {
    /// A link that has yet to be greeted. `own` is the key that was shown, when this side connected.
    pub(crate) fn new(
        way: Way,
        (send, receive): (Outward, Inward),
        own: Option<VerifyingKey>,
        peer: VerifyingKey,
        limits: Limits,
    ) -> Self {
        let framed = Framed::new(receive, send, HELLO_MAX, limits.frame);
        Self { way, framed, own, peer, version: 0 }
    }

    /// Has the greeting settle the version; from then on frames of full length are taken.
    pub(crate) async fn greeted_by(
        &mut self,
        greeting: impl AsyncFnOnce(&mut Self) -> Result<u16, LinkError>,
    ) -> Result<(), LinkError> {
        self.version = greeting(self).await?;
        self.framed.widen();
        self.way.widen();
        Ok(())
    }

    /// The key that the peer has proven.
    pub fn peer(&self) -> &VerifyingKey {
        &self.peer
    }

    /// What is spoken over it.
    pub fn protocol(&self) -> Option<Protocol> {
        self.way.protocol()
    }

    /// The device that this key stands for.
    pub fn device(&self) -> DeviceId {
        DeviceId::of_key(&self.peer)
    }

    /// Where the peer is now; it may move. `None` when a broker stands between, which does not say.
    pub fn remote_address(&self) -> Option<SocketAddr> {
        self.way.remote_address()
    }

    /// Whether a broker stands between.
    pub fn is_by_broker(&self) -> bool {
        self.way.mailbox().is_some()
    }

    /// Where the peer is written to, when a broker stands between.
    pub fn mailbox(&self) -> Option<Mailbox> {
        self.way.mailbox()
    }

    /// The version of the protocol that both sides settled on.
    pub fn version(&self) -> u16 {
        self.version
    }

    /// What only the two ends of this connection know (RFC 8446 §7.5): whoever puts it under a MAC cannot be relayed.
    pub fn channel(&self) -> [u8; 32] {
        self.way.channel()
    }

    /// Takes the link apart, so that sending and receiving do not wait for each other. Messages have up to `most` bytes from now on, and
    /// `message_time` for all of one.
    pub fn split(self, most: usize, message_time: Duration) -> (Sending, Receiving) {
        let Self { way, framed, own, .. } = self;
        let (receive, send) = framed.into_streams();
        let whole = Whole { way, own, most, message_time };
        (Sending::new(whole.clone(), send), Receiving::new(whole, receive))
    }

    /// Closes the link and waits a moment until the peer knows.
    pub async fn finish(mut self, reason: Close) {
        self.close(reason);
        self.way.idle().await;
    }

    /// Finds out what is behind an error of the stream, and tells the peer if it is to blame.
    fn explain(&mut self, error: LinkError) -> LinkError {
        let error = self.way.explain(self.own.as_ref(), error);
        if let Some(reason) = error.to_close() {
            self.close(reason);
        }
        error
    }

    #[cfg(test)]
    pub(crate) fn writer_mut(&mut self) -> &mut Outward {
        self.framed.writer_mut()
    }
}

impl Pipe for Link {
    async fn send(&mut self, frame: &[u8]) -> Result<(), LinkError> {
        match self.framed.send(frame).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.explain(error)),
        }
    }

    async fn receive(&mut self) -> Result<Vec<u8>, LinkError> {
        match self.framed.receive().await {
            Ok(frame) => Ok(frame),
            Err(error) => Err(self.explain(error)),
        }
    }

    fn close(&mut self, reason: Close) {
        self.way.close(reason);
    }
}
