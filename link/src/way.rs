//! The way that a link goes: a QUIC connection, or a conversation over an MQTT broker.
//!
//! Everything above is the same for both; everything in which they differ is here.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use ed25519_dalek::VerifyingKey;
use quinn::{Connection, Endpoint, ReadError, RecvStream, SendStream, VarInt, crypto::rustls::HandshakeData};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, ReadHalf, WriteHalf},
    time::timeout,
};

use crate::{
    close::{Close, LinkError},
    mqtt::{Tunneled, Via, carrier::Mailbox},
    offload,
    quic::{FAREWELL, told},
    tls::Protocol,
};

/// How much of a message is read at a time, where a stream does not say itself.
const CHUNK: usize = 16 << 10;

/// What holds a link up, beside its streams.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    /// A QUIC connection, and the socket behind it when it is this connection's own.
    Quic { connection: Connection, endpoint: Option<Endpoint> },
    /// A conversation over a broker.
    Mqtt(Via),
}

impl Way {
    /// The streams of a conversation over a broker.
    pub(crate) fn halves(stream: Tunneled) -> (Outward, Inward) {
        let (receive, send) = tokio::io::split(stream);
        (Outward::Mqtt(send), Inward::Mqtt(receive))
    }

    /// The peer is welcome: it may use more memory from now on.
    pub(crate) fn widen(&self) {
        match self {
            // QUIC's own limits are set beforehand.
            Self::Quic { .. } => {}
            Self::Mqtt(via) => via.line.widen(),
        }
    }

    /// Where the peer is.
    pub(crate) fn remote_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Quic { connection, .. } => Some(connection.remote_address()),
            Self::Mqtt(_) => None,
        }
    }

    /// The mailbox at which the peer is written to, when a broker stands between.
    pub(crate) fn mailbox(&self) -> Option<Mailbox> {
        match self {
            Self::Quic { .. } => None,
            Self::Mqtt(via) => Some(via.mailbox()),
        }
    }

    /// What is spoken over it.
    pub(crate) fn protocol(&self) -> Option<Protocol> {
        match self {
            Self::Quic { connection, .. } => {
                let negotiated = connection.handshake_data()?.downcast::<HandshakeData>().ok()?;
                Protocol::of_name(&negotiated.protocol?)
            }
            Self::Mqtt(via) => Some(via.protocol),
        }
    }

    /// What only the two ends know.
    pub(crate) fn channel(&self) -> [u8; 32] {
        match self {
            Self::Quic { connection, .. } => {
                let mut channel = [0; 32];
                connection
                    .export_keying_material(&mut channel, b"EXPORTER-hearth-channel", b"")
                    .expect("an established connection has an exporter, and 32 bytes are a length that it can give");
                channel
            }
            Self::Mqtt(via) => via.channel,
        }
    }

    /// Tells the peer why this is the end.
    pub(crate) fn close(&self, reason: Close) {
        match self {
            Self::Quic { connection, .. } => {
                offload::learn(connection, false);
                connection.close(VarInt::from_u32(reason.code()), reason.to_string().as_bytes());
            }
            Self::Mqtt(via) => via.line.leave(reason),
        }
    }

    /// The peer took nothing of what was sent for too long.
    pub(crate) fn stalled(&self) {
        if let Self::Quic { connection, .. } = self {
            offload::learn(connection, true);
        }
    }

    /// Waits a moment until the peer knows that this is the end.
    pub(crate) async fn idle(&self) {
        let _ = match self {
            Self::Quic { endpoint: Some(endpoint), .. } => timeout(FAREWELL, endpoint.wait_idle()).await,
            Self::Quic { endpoint: None, .. } => Ok(()),
            Self::Mqtt(via) => timeout(FAREWELL, via.line.said()).await,
        };
    }

    /// Finds out what is behind an error of a stream. `own` is the key that was shown, when this side connected.
    pub(crate) fn explain(&self, own: Option<&VerifyingKey>, error: LinkError) -> LinkError {
        match self {
            Self::Quic { connection, .. } => match (error, connection.close_reason()) {
                (LinkError::Ended | LinkError::Transport(_), Some(reason)) => {
                    told(reason, own, connection.remote_address())
                }
                (error, _) => error,
            },
            Self::Mqtt(via) => via.explain(own, error),
        }
    }
}

/// The stream on which this side sends.
#[derive(Debug)]
pub(crate) enum Outward {
    Quic(SendStream),
    Mqtt(WriteHalf<Tunneled>),
}

impl Outward {
    /// Says that nothing more comes, and waits a moment until the peer has all that was sent.
    pub(crate) async fn finish(&mut self) {
        match self {
            // An error means that the stream, or the link, is closed already.
            Self::Quic(stream) => {
                if stream.finish().is_ok() {
                    let _ = timeout(FAREWELL, stream.stopped()).await;
                }
            }
            Self::Mqtt(stream) => {
                let _ = timeout(FAREWELL, stream.shutdown()).await;
            }
        }
    }
}

impl AsyncWrite for Outward {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Quic(stream) => AsyncWrite::poll_write(Pin::new(stream), context, bytes),
            Self::Mqtt(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Quic(stream) => Pin::new(stream).poll_flush(context),
            Self::Mqtt(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Quic(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Mqtt(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

/// The stream on which this side receives.
#[derive(Debug)]
pub(crate) enum Inward {
    Quic(RecvStream),
    Mqtt(ReadHalf<Tunneled>),
}

impl Inward {
    /// The next bytes, up to `most`; `None` at the end of the stream.
    pub(crate) async fn chunk(&mut self, most: usize) -> io::Result<Option<Bytes>> {
        match self {
            Self::Quic(stream) => {
                let chunk = stream.read_chunk(most, true).await.map_err(|error: ReadError| io::Error::from(error))?;
                Ok(chunk.map(|chunk| chunk.bytes))
            }
            Self::Mqtt(stream) => {
                let mut bytes = vec![0; most.min(CHUNK)];
                let count = stream.read(&mut bytes).await?;
                bytes.truncate(count);
                Ok((count > 0).then(|| bytes.into()))
            }
        }
    }
}

impl AsyncRead for Inward {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Quic(stream) => Pin::new(stream).poll_read(context, into),
            Self::Mqtt(stream) => Pin::new(stream).poll_read(context, into),
        }
    }
}
