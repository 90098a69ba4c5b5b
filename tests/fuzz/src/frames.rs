//! What travels: frames of the sync protocol, letters, messages at a broker, frames on a stream.

use hearth_core::{
    fleet::letter::{LETTER_MAX, Letter},
    sync::{
        Frame, Frontier,
        frame::{MESSAGE_MAX, SEGMENTS_MAX},
        frontier::{LOGS_MAX, Place},
    },
};
use hearth_link::{
    VerifyingKey,
    frame::{Decoder, HEADER, encode},
    mqtt::carrier::{Mailbox, Message},
};

use crate::forms::{one_form, same_bytes};

/// A frame of the sync protocol.
pub fn frame(bytes: &[u8]) {
    if one_form(bytes, |bytes| Frame::decode(bytes, MESSAGE_MAX).ok().map(|frame| frame.encode())) {
        let frame = Frame::decode(bytes, MESSAGE_MAX).expect("just read");
        assert!(frame.cost() <= bytes.len() as u64);
        assert!(Frame::decode(bytes, bytes.len() - 1).is_err(), "it is longer than was agreed");
        if let Frame::Segments { segments, .. } = frame {
            assert!((1..=SEGMENTS_MAX).contains(&segments.len()));
        }
    }
}

/// Where logs end.
pub fn frontier(bytes: &[u8]) {
    if one_form(bytes, |bytes| Frontier::decode(bytes).map(|frontier| frontier.encode())) {
        let frontier = Frontier::decode(bytes).expect("just read");
        assert!(frontier.len() <= LOGS_MAX);
        assert!(frontier.compare(&frontier).values().all(|place| *place == Place::Equal));
        let ahead = frontier.compare(&Frontier::default());
        assert!(ahead.values().all(|place| *place == Place::Ahead(0)) && ahead.len() == frontier.len());
    }
}

/// A letter between nodes.
pub fn letter(bytes: &[u8]) {
    if same_bytes(bytes, |bytes| Letter::decode(bytes).ok().map(|letter| letter.encode())) {
        assert!(bytes.len() <= LETTER_MAX);
    }
}

/// A message that a broker hands over.
pub fn carrier(bytes: &[u8]) {
    same_bytes(bytes, |bytes| Message::read(bytes).ok().map(|message| message.write()));
}

/// The topic of a message at a broker.
pub fn topic(bytes: &[u8]) {
    let key = VerifyingKey::from_bytes(&[
        0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a, 0x0e, 0xe1,
        0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a,
    ])
    .expect("the first public key of RFC 8032 §7.1");
    let here = Mailbox::of(&[7; 16], &key);
    // As it came, and as if it were about this mailbox.
    for topic in [bytes, &[here.filter().trim_end_matches('+').as_bytes(), bytes].concat()] {
        if let Some(writer) = here.writer(topic) {
            assert_eq!(here.topic(&writer).as_bytes(), topic);
        }
    }
}

/// Frames on a stream. The first byte says how many bytes come at a time, the second how long frames may be.
pub fn stream(bytes: &[u8]) {
    let [step, most, bytes @ ..] = bytes else { return };
    let (step, most) = (usize::from(*step).max(1), usize::from(*most));
    let whole = cut([bytes], most);
    assert_eq!(whole, cut(bytes.chunks(step), most), "it does not matter how they come");
    let mut written = Vec::new();
    for frame in &whole.0 {
        assert!((1..=most).contains(&frame.len()));
        written.extend(encode(frame).expect("what was taken can be sent"));
    }
    assert!(bytes.starts_with(&written));
}

fn cut<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, most: usize) -> (Vec<Vec<u8>>, bool) {
    let (mut decoder, mut frames) = (Decoder::new(most), Vec::new());
    for mut piece in pieces {
        while !piece.is_empty() {
            let before = piece.len();
            match decoder.take(&mut piece) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => assert!(piece.is_empty()),
                Err(_) => return (frames, false),
            }
            assert!(piece.len() < before, "each step takes something");
            assert!((1..=HEADER + most).contains(&decoder.wanted()));
        }
    }
    (frames, true)
}
