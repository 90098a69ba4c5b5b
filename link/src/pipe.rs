//! Frames over any pair of byte streams, with a time limit on each frame.
//!
//! [`Pipe`] is what a session is written against, so that it runs the same over QUIC and in memory.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, timeout, timeout_at},
};

use crate::{
    close::{Close, LinkError},
    frame::{self, Decoder, FRAME_MAX},
};

/// A two-way pipe of frames to a peer that has been proven.
pub trait Pipe: Send {
    /// Sends one frame of at most [`FRAME_MAX`] bytes.
    ///
    /// Giving up on it half-way makes every later `send` fail, because the peer could not tell where the next frame begins.
    fn send(&mut self, frame: &[u8]) -> impl Future<Output = Result<(), LinkError>> + Send;

    /// Waits for the next frame. Giving up on it loses nothing: the next call goes on where this one was.
    fn receive(&mut self) -> impl Future<Output = Result<Vec<u8>, LinkError>> + Send;

    /// Tells the peer why this is the end. Nothing is sent or received after it.
    fn close(&mut self, reason: Close);
}

/// How long a peer may take, and how many may come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// From the first packet to the end of the greeting.
    pub greeting: Duration,
    /// From the first byte of a frame to its last, in either direction.
    pub frame: Duration,
    /// Silence after which a peer counts as gone.
    pub idle: Duration,
    /// How often the connecting side says that it is still there.
    pub keep_alive: Duration,
    /// Connections at once, those in their greeting included.
    pub links: usize,
    /// Bytes of a connection that may be in memory and not be read or acknowledged, each way.
    pub window: u32,
    /// Whether several datagrams may be handed to the system at once, which it or the network card cuts (GSO): on loopback some 320 MB/s
    /// instead of 200, for two thirds of the processor time. Left of itself where the system refuses or is seen to lose. Only QUIC asks.
    pub bundles: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            greeting: Duration::from_secs(10),
            frame: Duration::from_secs(10),
            idle: Duration::from_secs(45),
            keep_alive: Duration::from_secs(15),
            links: 1024,
            window: 1 << 20,
            bundles: true,
        }
    }
}

/// Frames over a reader and a writer.
#[derive(Debug)]
pub(crate) struct Framed<R, W> {
    reader: R,
    writer: W,
    decoder: Decoder,
    frame_time: Duration,
    begun: Option<Instant>,
    torn: bool,
}

impl<R: AsyncRead + Unpin + Send, W: AsyncWrite + Unpin + Send> Framed<R, W> {
    /// Takes frames of up to `most` bytes at first.
    pub(crate) fn new(reader: R, writer: W, most: usize, frame_time: Duration) -> Self {
        Self { reader, writer, decoder: Decoder::new(most), frame_time, begun: None, torn: false }
    }

    /// Takes frames of full length from now on.
    pub(crate) fn widen(&mut self) {
        self.decoder.set_most(FRAME_MAX);
    }

    pub(crate) async fn send(&mut self, content: &[u8]) -> Result<(), LinkError> {
        if self.torn {
            return Err(LinkError::Torn);
        }
        let bytes = frame::encode(content)?;
        self.torn = true;
        let written = async {
            self.writer.write_all(&bytes).await?;
            self.writer.flush().await
        };
        match timeout(self.frame_time, written).await {
            Ok(Ok(())) => {
                self.torn = false;
                Ok(())
            }
            Ok(Err(error)) => Err(broken(error)),
            Err(_) => Err(LinkError::Slow),
        }
    }

    pub(crate) async fn receive(&mut self) -> Result<Vec<u8>, LinkError> {
        let mut buffer = [0; 4096];
        loop {
            let wanted = self.decoder.wanted().min(buffer.len());
            let reading = self.reader.read(&mut buffer[..wanted]);
            let count = match self.begun {
                Some(begun) => timeout_at(begun + self.frame_time, reading).await.map_err(|_| LinkError::Slow)?,
                None => reading.await,
            }
            .map_err(broken)?;
            if count == 0 {
                return Err(LinkError::Ended);
            }
            self.begun.get_or_insert_with(Instant::now);
            if let Some(frame) = self.decoder.take(&mut &buffer[..count])? {
                self.begun = None;
                return Ok(frame);
            }
        }
    }

    pub(crate) fn into_streams(self) -> (R, W) {
        (self.reader, self.writer)
    }

    pub(crate) fn writer_mut(&mut self) -> &mut W {
        &mut self.writer
    }
}

fn broken(error: io::Error) -> LinkError {
    match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => LinkError::Ended,
        _ => LinkError::Transport(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_ends_is_a_peer_that_is_gone_and_all_else_keeps_its_cause() {
        for kind in [io::ErrorKind::BrokenPipe, io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset] {
            assert!(matches!(broken(kind.into()), LinkError::Ended), "{kind}");
        }
        let other = broken(io::ErrorKind::OutOfMemory.into());
        let cause = std::error::Error::source(&other).expect("a cause");
        assert_eq!(
            (other.to_string().as_str(), cause.to_string().as_str()),
            ("the connection failed", "out of memory")
        );
    }
}
