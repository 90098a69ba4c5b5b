//! What two nodes, or a node and a relay, say to each other around the protocol of [`sync`](crate::sync): who is in the fleet, who wants
//! to join, what a relay has, what the people of one look for among what the other keeps to itself.
//!
//! A letter is one byte that says what kind it is, and its content. Nothing of it is believed here.

use super::waiting;
use crate::{receipt, sync::frame::MESSAGE_MAX};

/// The longest letter.
pub const LETTER_MAX: usize = MESSAGE_MAX + 3;
/// The most bytes of a question.
pub const QUESTION_MAX: usize = 64 << 10;
/// The most bytes of an answer.
pub const ANSWER_MAX: usize = MESSAGE_MAX - 2;

/// One message between nodes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Letter {
    /// What is said first: the UDP port at which the sender listens (0: it does not), and the first half of the SHA-256 of
    /// the fleet's chain as it knows it.
    Known {
        /// The UDP port.
        port: u16,
        /// Of the chain; of a relay that does not know yet which fleet it speaks with, zeros.
        digest: [u8; 16],
    },
    /// The fleet's chain as the sender knows it; said when the other's is another one, and when it grows.
    Chain(Vec<u8>),
    /// A frame of the sync protocol.
    Frame(Vec<u8>),
    /// A request to join.
    Join(Vec<u8>),
    /// The answer to one who may.
    Welcome(Vec<u8>),
    /// The answer to one who may not: a sentence.
    Refused(String),
    /// A relay's signed word that it has a segment, and so all before it in that log.
    Receipt(Vec<u8>),
    /// A question of the sender's people. What it says is between the two nodes.
    Ask {
        /// By which the answer is known.
        number: u32,
        /// At most [`QUESTION_MAX`] bytes.
        question: Vec<u8>,
    },
    /// The answer to a question.
    Answer {
        /// Of the question.
        number: u32,
        /// Empty when there is none.
        answer: Vec<u8>,
    },
    /// Orders that wait for more admins.
    Waiting(Vec<u8>),
    /// The answer to one whose fleet is a guest now.
    Hosting(Vec<u8>),
}

/// What came is no letter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("what came is no message between nodes of hearth; if this repeats, update hearth on both")]
pub struct NotALetter;

/// A sentence is never longer, in bytes.
const REFUSAL_MAX: usize = 1_024;

impl Letter {
    /// The bytes to send.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Chain(chain) => [&[1][..], chain].concat(),
            Self::Known { port, digest } => [&[6][..], &port.to_be_bytes(), digest].concat(),
            Self::Frame(frame) => [&[2][..], frame].concat(),
            Self::Join(request) => [&[3][..], request].concat(),
            Self::Welcome(welcome) => [&[4][..], welcome].concat(),
            Self::Refused(why) => [&[5][..], why.as_bytes()].concat(),
            Self::Receipt(receipt) => [&[7][..], receipt].concat(),
            Self::Ask { number, question } => [&[8][..], &number.to_be_bytes(), question].concat(),
            Self::Answer { number, answer } => [&[9][..], &number.to_be_bytes(), answer].concat(),
            Self::Waiting(orders) => [&[16][..], orders].concat(),
            Self::Hosting(hosting) => [&[17][..], hosting].concat(),
        }
    }

    /// Reads what [`Letter::encode`] wrote.
    ///
    /// # Errors
    /// When it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, NotALetter> {
        let (kind, content) = bytes.split_first().ok_or(NotALetter)?;
        Ok(match kind {
            1 => Self::Chain(content.to_vec()),
            6 => {
                let (port, digest) = content.split_first_chunk().ok_or(NotALetter)?;
                let digest = digest.try_into().map_err(|_| NotALetter)?;
                Self::Known { port: u16::from_be_bytes(*port), digest }
            }
            2 => Self::Frame(content.to_vec()),
            3 => Self::Join(content.to_vec()),
            4 => Self::Welcome(content.to_vec()),
            5 if content.len() <= REFUSAL_MAX => {
                Self::Refused(std::str::from_utf8(content).map_err(|_| NotALetter)?.to_owned())
            }
            7 if content.len() <= receipt::BYTES_MAX => Self::Receipt(content.to_vec()),
            8 | 9 => {
                let (number, content) = content.split_first_chunk().ok_or(NotALetter)?;
                let (number, content) = (u32::from_be_bytes(*number), content.to_vec());
                match kind {
                    8 if content.len() <= QUESTION_MAX => Self::Ask { number, question: content },
                    9 if content.len() <= ANSWER_MAX => Self::Answer { number, answer: content },
                    _ => return Err(NotALetter),
                }
            }
            16 if content.len() <= waiting::BYTES_MAX => Self::Waiting(content.to_vec()),
            17 => Self::Hosting(content.to_vec()),
            _ => return Err(NotALetter),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_letter_reads_back_and_what_is_none_does_not() {
        for letter in [
            Letter::Known { port: 7_844, digest: [7; 16] },
            Letter::Chain(vec![1, 2]),
            Letter::Frame(vec![3]),
            Letter::Join(vec![4]),
            Letter::Welcome(vec![5]),
            Letter::Refused("no".into()),
            Letter::Receipt(vec![6]),
            Letter::Ask { number: 7, question: vec![1] },
            Letter::Answer { number: u32::MAX, answer: Vec::new() },
            Letter::Waiting(vec![7]),
            Letter::Hosting(vec![8]),
        ] {
            assert_eq!(Letter::decode(&letter.encode()), Ok(letter));
        }
        for (case, bytes) in [
            ("nothing", vec![]),
            ("another kind", vec![10, 1]),
            ("a question without a number", vec![8, 0, 0, 0]),
            ("a question without end", vec![8; QUESTION_MAX + 6]),
            ("an answer without end", vec![9; ANSWER_MAX + 6]),
            ("half a port", vec![6, 1]),
            ("half a digest", [&[6, 1, 2][..], &[7; 15]].concat()),
            ("no text", vec![5, 0xFF]),
            ("a receipt without end", vec![7; receipt::BYTES_MAX + 2]),
            ("orders without end", vec![16; waiting::BYTES_MAX + 2]),
            ("a sentence without end", [vec![5], vec![b'a'; REFUSAL_MAX + 1]].concat()),
        ] {
            assert_eq!(Letter::decode(&bytes), Err(NotALetter), "{case}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_in_their_one_form_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(letter) = Letter::decode(&bytes) {
                prop_assert_eq!(letter.encode(), bytes);
            }
        }
    }
}
