//! How much sessions may have in memory together, and how much of that those of one fleet.
//!
//! A part is held from the moment at which a letter was announced until what it gave was done, and from the moment at which something is to be
//! read until that was sent. How long somebody may take for either is not decided here.

use std::sync::Arc;

use hearth_core::fleet::letter::LETTER_MAX;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How much sessions may have in memory together: half of it for what came in, half for what is to go out, so that neither waits for the other.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Pools>);

#[derive(Debug)]
struct Pools {
    /// Both together.
    bytes: usize,
    letters: Arc<Semaphore>,
    reads: Arc<Semaphore>,
    /// What this is a share of.
    whole: Option<Budget>,
}

/// A part of a budget, and of what that is a share of, while it is held.
#[derive(Debug)]
pub(crate) struct Permit {
    _own: OwnedSemaphorePermit,
    _whole: Option<OwnedSemaphorePermit>,
}

/// The most bytes that are read to be sent at a time where memory is shared.
pub(crate) const READ_SHARED: u64 = 1 << 20;
/// A letter up to this many bytes is read without asking.
const SMALL: usize = 4 << 10;
/// A budget is counted in pieces of this many bytes.
const PIECE: usize = 1 << 10;
/// A budget is at least this large, so that the longest letter fits.
const BUDGET_MIN: usize = LETTER_MAX + PIECE;
/// A share is this part of the whole, unless the longest letter needs more.
const SHARE: usize = 4;

impl Budget {
    /// So many bytes, and at least twice those of the longest letter.
    pub fn bytes(bytes: usize) -> Self {
        Self::of(bytes, None)
    }

    /// A quarter of it, and at least twice the bytes of the longest letter: who has a share, and is slow with all of it, leaves the rest to others.
    #[must_use]
    pub fn share(&self) -> Self {
        Self::of(self.0.bytes / SHARE, Some(self.clone()))
    }

    fn of(bytes: usize, whole: Option<Self>) -> Self {
        let half = || Arc::new(Semaphore::new((bytes / 2).max(BUDGET_MIN).div_ceil(PIECE)));
        Self(Arc::new(Pools { bytes, letters: half(), reads: half(), whole }))
    }

    /// Waits in line until there is room for a letter; a small one needs none, so that signs of life pass.
    pub(crate) async fn letter(&self, bytes: usize) -> Option<Permit> {
        if bytes > SMALL { self.take(|pools| &pools.letters, bytes).await } else { None }
    }

    /// Waits in line until there is room for what is read at a time.
    pub(crate) async fn read(&self) -> Option<Permit> {
        self.take(|pools| &pools.reads, usize::try_from(READ_SHARED).ok()?).await
    }

    async fn take(&self, pool: fn(&Pools) -> &Arc<Semaphore>, bytes: usize) -> Option<Permit> {
        let pieces = u32::try_from(bytes.div_ceil(PIECE)).ok()?;
        // Who waits for its own share stands in nobody else's way.
        let own = Arc::clone(pool(&self.0)).acquire_many_owned(pieces).await.ok()?;
        let whole = match &self.0.whole {
            Some(whole) => Some(Arc::clone(pool(&whole.0)).acquire_many_owned(pieces).await.ok()?),
            None => None,
        };
        Some(Permit { _own: own, _whole: whole })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: usize = 64 << 20;

    /// What is there without waiting.
    async fn now<T>(waiting: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            got = waiting => Some(got),
            () = std::future::ready(()) => None,
        }
    }

    #[tokio::test]
    async fn who_holds_all_of_a_share_makes_its_own_wait_and_nobody_else() {
        let whole = Budget::bytes(WHOLE);
        let (slow, other) = (whole.share(), whole.share());
        let (mut letters, mut reads) = (Vec::new(), Vec::new());
        while let Some(held) = now(slow.letter(LETTER_MAX)).await {
            letters.push(held);
        }
        while let Some(held) = now(slow.read()).await {
            reads.push(held);
        }
        assert_eq!((letters.len(), reads.len() as u64), (1, BUDGET_MIN as u64 / READ_SHARED));
        // More of them wait in line, and stay there.
        let (mut letter, mut read) = (Box::pin(slow.letter(LETTER_MAX)), Box::pin(slow.read()));
        assert!(now(&mut letter).await.is_none() && now(&mut read).await.is_none());
        assert!(now(other.letter(LETTER_MAX)).await.is_some() && now(other.read()).await.is_some());
        letters.clear();
        reads.clear();
        assert!(now(letter).await.is_some() && now(read).await.is_some(), "they go on when it is given back");
    }

    #[tokio::test]
    async fn all_shares_together_have_no_more_than_the_whole() {
        let whole = Budget::bytes(WHOLE);
        let mut held = Vec::new();
        for _ in 0..8 {
            held.extend(now(whole.share().letter(LETTER_MAX)).await);
        }
        assert_eq!(held.len(), WHOLE / 2 / LETTER_MAX);
        assert!(now(whole.share().letter(SMALL)).await.is_some_and(|held| held.is_none()), "a small one needs nothing");
    }
}
