//! The twin of a QUIC link that lives in memory: the same frames, limits and reasons, without a socket.
//!
//! It proves no keys: who makes the pair holds both ends.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};

use crate::{
    close::{Close, LinkError},
    hello::{self, HELLO_MAX},
    pipe::{Framed, Limits, Pipe},
};

/// How many bytes are under way at most, in each direction.
const IN_FLIGHT: usize = 128 * 1024;

/// One end of a pipe in memory.
#[derive(Debug)]
pub struct End {
    framed: Option<Framed<ReadHalf<DuplexStream>, WriteHalf<DuplexStream>>>,
    closed: Arc<Mutex<Option<Close>>>,
}

/// Two ends that have greeted each other.
pub async fn pair(limits: Limits) -> Result<(End, End), LinkError> {
    let (mut left, mut right) = raw_pair(limits);
    let (greeted, answered) = tokio::join!(hello::greet(&mut left), hello::answer(&mut right));
    greeted.and(answered)?;
    for end in [&mut left, &mut right] {
        end.framed.as_mut().expect("a new end is open").widen();
    }
    Ok((left, right))
}

/// Two ends that have yet to greet each other.
pub(crate) fn raw_pair(limits: Limits) -> (End, End) {
    let (left, right) = tokio::io::duplex(IN_FLIGHT);
    let closed = Arc::default();
    (End::new(left, limits, &closed), End::new(right, limits, &closed))
}

impl End {
    fn new(stream: DuplexStream, limits: Limits, closed: &Arc<Mutex<Option<Close>>>) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        let framed = Framed::new(reader, writer, HELLO_MAX, limits.frame);
        Self { framed: Some(framed), closed: Arc::clone(closed) }
    }

    /// Writes bytes as they are, without a header, as a peer that breaks the rules would.
    pub async fn send_raw(&mut self, bytes: &[u8]) -> Result<(), LinkError> {
        let framed = self.framed.as_mut().ok_or(LinkError::Ended)?;
        framed.writer_mut().write_all(bytes).await.map_err(LinkError::Transport)
    }

    fn explain(&mut self, error: LinkError) -> LinkError {
        let told = *self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        match (error, told) {
            (LinkError::Ended, Some(reason)) => LinkError::Closed(reason),
            (error, _) => {
                if let Some(reason) = error.to_close() {
                    self.close(reason);
                }
                error
            }
        }
    }
}

impl Pipe for End {
    async fn send(&mut self, frame: &[u8]) -> Result<(), LinkError> {
        let Some(framed) = &mut self.framed else { return Err(LinkError::Ended) };
        match framed.send(frame).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.explain(error)),
        }
    }

    async fn receive(&mut self) -> Result<Vec<u8>, LinkError> {
        let Some(framed) = &mut self.framed else { return Err(LinkError::Ended) };
        match framed.receive().await {
            Ok(frame) => Ok(frame),
            Err(error) => Err(self.explain(error)),
        }
    }

    fn close(&mut self, reason: Close) {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
        self.framed = None;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, timeout};

    use super::*;
    use crate::frame::FRAME_MAX;

    #[tokio::test(start_paused = true)]
    async fn frames_go_both_ways_up_to_the_longest() {
        let (mut left, mut right) = pair(Limits::default()).await.expect("both greet");
        for length in [1, 1025, FRAME_MAX] {
            let frame = vec![7; length];
            left.send(&frame).await.expect("sent");
            assert_eq!(right.receive().await.expect("received"), frame, "{length}");
        }
        right.send(b"back").await.expect("sent");
        assert_eq!(left.receive().await.expect("received"), b"back");
    }

    #[tokio::test(start_paused = true)]
    async fn a_reason_reaches_the_other_end() {
        let (mut left, mut right) = pair(Limits::default()).await.expect("both greet");
        left.close(Close::NotTrusted);
        assert!(matches!(right.receive().await, Err(LinkError::Closed(Close::NotTrusted))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_breaks_the_rules_is_told_which() {
        for (case, bytes, told) in [
            ("longer than agreed", &[0x7F, 0xFF, 0xFF, 0xFF][..], Close::Oversized),
            ("an empty frame", &[0; 4], Close::Garbage),
            ("half a header and then nothing", &[0, 0], Close::Slow),
            ("half a frame and then nothing", &[0, 0, 0, 9, 1, 2], Close::Slow),
        ] {
            let (mut peer, mut here) = pair(Limits::default()).await.expect("both greet");
            peer.send_raw(bytes).await.expect("fits into the pipe");
            assert_eq!(here.receive().await.expect_err(case).to_close(), Some(told), "{case}");
            let answer = peer.receive().await;
            assert!(matches!(answer, Err(LinkError::Closed(reason)) if reason == told), "{case}: {answer:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_byte_now_and_then_does_not_buy_more_time() {
        let limits = Limits::default();
        let (mut peer, mut here) = pair(limits).await.expect("both greet");
        let began = Instant::now();
        let dripping = async {
            for byte in [0, 0, 0, 200].into_iter().chain([1; 200]) {
                if peer.send_raw(&[byte]).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        let (received, ()) = tokio::join!(here.receive(), dripping);
        assert!(matches!(received, Err(LinkError::Slow)));
        assert!(began.elapsed() <= limits.frame + Duration::from_secs(2), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_may_be_given_up_and_taken_up_again() {
        let (mut peer, mut here) = pair(Limits::default()).await.expect("both greet");
        peer.send_raw(&[0, 0, 0, 3, b'a']).await.expect("fits into the pipe");
        assert!(timeout(Duration::from_secs(1), here.receive()).await.is_err());
        peer.send_raw(b"bc").await.expect("fits into the pipe");
        assert_eq!(here.receive().await.expect("the rest came"), b"abc");
    }

    #[tokio::test(start_paused = true)]
    async fn a_frame_given_up_half_sent_ends_the_sending() {
        let (mut here, _peer) = pair(Limits::default()).await.expect("both greet");
        let frame = vec![0; FRAME_MAX];
        here.send(&frame).await.expect("the first fits");
        assert!(timeout(Duration::from_secs(1), here.send(&frame)).await.is_err(), "nobody reads");
        assert!(matches!(here.send(b"next").await, Err(LinkError::Torn)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_given_up_after_the_time_of_a_frame() {
        let limits = Limits::default();
        let (mut here, mut peer) = pair(limits).await.expect("both greet");
        let frame = vec![0; FRAME_MAX];
        here.send(&frame).await.expect("the first fits");
        let began = Instant::now();
        assert!(matches!(here.send(&frame).await, Err(LinkError::Slow)));
        assert_eq!(began.elapsed().as_secs(), limits.frame.as_secs());
        assert!(matches!(here.send(b"next").await, Err(LinkError::Ended)));
        assert_eq!(peer.receive().await.expect("it was whole"), frame);
        assert!(matches!(peer.receive().await, Err(LinkError::Closed(Close::Slow))), "and is told why");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_is_gone_takes_nothing_and_says_nothing() {
        let (mut here, peer) = pair(Limits::default()).await.expect("both greet");
        drop(peer);
        assert!(matches!(here.send(b"hello").await, Err(LinkError::Ended)));
        assert!(matches!(here.receive().await, Err(LinkError::Ended)));
    }
}
