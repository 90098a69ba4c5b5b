//! Pipes that keep order until they break, and break in every way that pipes do.

use super::dice::Dice;

/// The pipe between two nodes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Link {
    /// Which connection it is; what belongs to an earlier one never arrives.
    pub(crate) epoch: u64,
    /// Whether each end believes to be connected.
    pub(crate) ends: [bool; 2],
    /// What enters here is lost without a word, until there is a new connection.
    pub(crate) dead: [bool; 2],
    last: [u64; 2],
    delay: u64,
    /// What went through the last connections, for a pipe that brings it again.
    pub(crate) old: [Vec<Vec<u8>>; 2],
}

impl Link {
    /// A new connection.
    pub(crate) fn connect(&mut self, now: u64, dice: &mut Dice) {
        self.epoch += 1;
        self.ends = [true; 2];
        self.dead = [false; 2];
        self.last = [now; 2];
        self.delay = match dice.index(4) {
            0 => 0,
            1 => dice.from(200, 900),
            _ => dice.from(1, 60),
        };
    }

    /// When something sent now from this end arrives: never before what was sent earlier.
    pub(crate) fn arrival(&mut self, end: usize, now: u64, dice: &mut Dice) -> u64 {
        let at = (now + self.delay + dice.from(0, self.delay / 2)).max(self.last[end]);
        self.last[end] = at;
        at
    }

    /// Remembers a message, for a while.
    pub(crate) fn remember(&mut self, end: usize, bytes: &[u8]) {
        let old = &mut self.old[end];
        if old.len() >= 8 {
            old.remove(0);
        }
        old.push(bytes.to_vec());
    }
}
