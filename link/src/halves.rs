//! A link taken apart: one half sends messages, the other receives them, and neither waits for the other.
//!
//! What a message means is not known here.

use std::{io, time::Duration};

use ed25519_dalek::VerifyingKey;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::{
    close::{Close, LinkError},
    frame,
    way::{Inward, Outward, Way},
};

/// What both halves of a link share.
#[derive(Clone, Debug)]
pub(crate) struct Whole {
    pub(crate) way: Way,
    pub(crate) own: Option<VerifyingKey>,
    pub(crate) most: usize,
    pub(crate) message_time: Duration,
}

impl Whole {
    fn explain(&self, error: io::Error) -> LinkError {
        self.way.explain(self.own.as_ref(), LinkError::Transport(error))
    }
}

/// The half of a link that sends.
#[derive(Debug)]
pub struct Sending {
    whole: Whole,
    stream: Outward,
    torn: bool,
}

impl Sending {
    pub(crate) const fn new(whole: Whole, stream: Outward) -> Self {
        Self { whole, stream, torn: false }
    }

    /// Sends one message. Given up half-way, nothing can be sent any more.
    ///
    /// # Errors
    /// When it is empty or too long; when the peer is gone, or does not take it in time.
    pub async fn send(&mut self, message: &[u8]) -> Result<(), LinkError> {
        if self.torn {
            return Err(LinkError::Torn);
        }
        let length = frame::header(message.len(), self.whole.most)?;
        self.torn = true;
        let writing = async {
            self.stream.write_all(&length).await?;
            self.stream.write_all(message).await?;
            self.stream.flush().await
        };
        match timeout(self.whole.message_time, writing).await {
            Ok(Ok(())) => {
                self.torn = false;
                Ok(())
            }
            Ok(Err(error)) => Err(self.whole.explain(error)),
            Err(_) => {
                self.whole.way.stalled();
                Err(LinkError::Slow)
            }
        }
    }

    /// Says that nothing more comes, and waits a moment until the peer has all that was sent.
    pub async fn finish(&mut self) {
        self.stream.finish().await;
    }

    /// What closes the link while this half is at work elsewhere.
    pub fn closer(&self) -> Closer {
        Closer { whole: self.whole.clone() }
    }

    /// Tells the peer why this is the end. What it has not got yet is lost.
    pub fn close(&self, reason: Close) {
        self.whole.way.close(reason);
    }
}

/// Closes a link whose halves are elsewhere.
#[derive(Clone, Debug)]
pub struct Closer {
    whole: Whole,
}

impl Closer {
    /// Tells the peer why this is the end, at once. What it has not got yet is lost.
    pub fn close(&self, reason: Close) {
        self.whole.way.close(reason);
    }
}

/// The half of a link that receives.
#[derive(Debug)]
pub struct Receiving {
    whole: Whole,
    stream: Inward,
    /// How many bytes of a message were announced and are still to be read.
    announced: usize,
}

impl Receiving {
    /// Takes messages of up to `most` bytes from now on, and waits `message_time` for all of one.
    pub fn limit(&mut self, most: usize, message_time: Duration) {
        (self.whole.most, self.whole.message_time) = (most, message_time);
    }

    pub(crate) const fn new(whole: Whole, stream: Inward) -> Self {
        Self { whole, stream, announced: 0 }
    }

    /// Waits for the next message. Given up half-way, nothing can be received any more.
    ///
    /// # Errors
    /// When the peer is gone, announces more than was agreed, or is slow with the rest of a message.
    pub async fn receive(&mut self) -> Result<Vec<u8>, LinkError> {
        self.announced().await?;
        self.rest().await
    }

    /// Waits for the next message and says how long it is; [`rest`](Self::rest) reads it.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub async fn announced(&mut self) -> Result<usize, LinkError> {
        let mut header = [0; frame::HEADER];
        self.stream.read_exact(&mut header).await.map_err(|error| self.ended(error))?;
        self.announced = frame::length(header, self.whole.most)?;
        Ok(self.announced)
    }

    /// Reads the message that was announced.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub async fn rest(&mut self) -> Result<Vec<u8>, LinkError> {
        let length = std::mem::take(&mut self.announced);
        // Room is made as bytes come, not as they are announced.
        let mut message = Vec::with_capacity(length.min(64 << 10));
        let reading = async {
            while message.len() < length {
                let chunk = self.stream.chunk(length - message.len()).await;
                match chunk.map_err(|error| self.whole.explain(error))? {
                    Some(chunk) => message.extend_from_slice(&chunk),
                    None => return Err(LinkError::Ended),
                }
            }
            Ok(())
        };
        timeout(self.whole.message_time, reading).await.map_err(|_| LinkError::Slow)??;
        Ok(message)
    }

    fn ended(&self, error: io::Error) -> LinkError {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => LinkError::Ended,
            _ => self.whole.explain(error),
        }
    }

    /// Tells the peer why this is the end.
    pub fn close(&self, reason: Close) {
        self.whole.way.close(reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        FRAME_MAX,
        quic::tests::{ample, connected},
    };

    #[tokio::test]
    async fn the_halves_of_a_link_carry_long_messages_both_ways_at_once() {
        let most = 3 * FRAME_MAX;
        let (here, there) = connected(ample()).await;
        let ((mut send, mut receive), (mut send_back, mut receive_there)) =
            (here.split(most, ample().frame), there.split(most, ample().frame));
        let (forth, back) = (vec![1; most], vec![2; most]);
        let (sent, sent_back, received, received_there) =
            tokio::join!(send.send(&forth), send_back.send(&back), receive.receive(), receive_there.receive());
        assert!(sent.is_ok() && sent_back.is_ok());
        assert_eq!((received.expect("sent"), received_there.expect("sent")), (back, forth));
        for (case, message) in [("nothing", vec![]), ("too long", vec![0; most + 1])] {
            assert!(matches!(send.send(&message).await, Err(LinkError::Frame(_))), "{case}");
        }
        send.send(b"and on").await.expect("what was refused was not begun");
        assert_eq!(receive_there.receive().await.expect("sent"), b"and on");
        receive_there.close(Close::Replaced);
        assert!(matches!(receive.receive().await, Err(LinkError::Closed(Close::Replaced))));
        assert!(matches!(send.send(b"more").await, Err(LinkError::Closed(Close::Replaced))));
    }

    #[tokio::test]
    async fn a_half_that_receives_holds_the_other_to_what_was_agreed() {
        let short = Duration::from_millis(300);
        for (case, bytes, says) in [
            ("longer than agreed", &[0, 0, 0, 9][..], "a frame of 9 bytes was announced, and 8 is the most"),
            ("nothing", &[0; 4], "without content"),
            ("half a message and then nothing", &[0, 0, 0, 8, 1, 2], "did not finish a message in time"),
        ] {
            let (here, there) = connected(ample()).await;
            let ((mut send, _), (_, mut receive)) = (here.split(8, short), there.split(8, short));
            send.stream.write_all(bytes).await.expect("sent");
            let refused = receive.receive().await.expect_err(case);
            assert!(refused.to_string().contains(says), "{case}: {refused}");
        }
        for (case, bytes) in [("half a header", &[0, 0][..]), ("half a message", &[0, 0, 0, 8, 1, 2]), ("nothing", &[])]
        {
            let (here, there) = connected(ample()).await;
            let ((mut send, _), (_, mut receive)) = (here.split(8, short), there.split(8, ample().frame));
            send.stream.write_all(bytes).await.expect("sent");
            send.stream.shutdown().await.expect("open until now");
            assert!(matches!(receive.receive().await, Err(LinkError::Ended)), "{case} and the end of the stream");
        }
    }

    #[tokio::test]
    async fn a_half_that_nobody_reads_from_gives_up_after_its_time() {
        let (here, there) = connected(ample()).await;
        let (mut send, _receive) = here.split(8 << 20, Duration::from_millis(300));
        assert!(matches!(send.send(&vec![0; 8 << 20]).await, Err(LinkError::Slow)));
        send.close(Close::Slow);
        let (_, mut receive) = there.split(8 << 20, ample().frame);
        assert!(matches!(receive.receive().await, Err(LinkError::Closed(Close::Slow))));
    }

    #[tokio::test]
    async fn what_was_sent_before_the_end_arrives() {
        let (here, there) = connected(ample()).await;
        let ((mut send, _back), (_, mut receive)) =
            (here.split(1 << 20, ample().frame), there.split(1 << 20, ample().frame));
        let message = vec![7; 1 << 20];
        let sending = async {
            send.send(&message).await.expect("sent");
            send.finish().await;
            send.close(Close::Done);
        };
        let (received, ()) = tokio::join!(receive.receive(), sending);
        assert_eq!(received.expect("all of it"), message);
        assert!(receive.receive().await.is_err());
    }

    #[tokio::test]
    async fn after_a_message_that_was_given_up_half_way_nothing_can_be_sent() {
        let (here, _there) = connected(ample()).await;
        let (mut send, _receive) = here.split(8 << 20, ample().frame);
        let message = vec![0; 8 << 20];
        tokio::select! {
            biased;
            sent = send.send(&message) => panic!("nobody reads, and it was sent: {sent:?}"),
            () = tokio::task::yield_now() => {}
        }
        assert!(matches!(send.send(b"more").await, Err(LinkError::Torn)));
    }
}
