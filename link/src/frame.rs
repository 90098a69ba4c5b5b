//! Frames on a stream of bytes: a length of four bytes, big end first, and then that many bytes.
//!
//! [`Decoder`] is a value: bytes go in as they come, whole frames come out. It does not read, wait or allocate by what a peer declares.

/// The longest frame that is sent or taken.
pub const FRAME_MAX: usize = 64 * 1024;

/// How many bytes the length takes.
pub const HEADER: usize = 4;

/// Why a peer's bytes cannot be cut into frames. Nothing after this can be understood either.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotAFrame {
    /// The declared length is above what was agreed.
    #[error("a frame of {declared} bytes was announced, and {most} is the most")]
    TooLong {
        /// What the header says.
        declared: usize,
        /// What is taken at this point of the conversation.
        most: usize,
    },
    /// A frame says nothing.
    #[error("a frame without content was announced")]
    Empty,
}

/// The frame with this content, ready to be written.
pub fn encode(content: &[u8]) -> Result<Vec<u8>, NotAFrame> {
    Ok([&header(content.len(), FRAME_MAX)?, content].concat())
}

/// What announces so many bytes.
pub fn header(length: usize, most: usize) -> Result<[u8; HEADER], NotAFrame> {
    match u32::try_from(length) {
        Ok(0) => Err(NotAFrame::Empty),
        Ok(announced) if length <= most => Ok(announced.to_be_bytes()),
        _ => Err(NotAFrame::TooLong { declared: length, most }),
    }
}

/// How many bytes a header announces.
pub fn length(header: [u8; HEADER], most: usize) -> Result<usize, NotAFrame> {
    match usize::try_from(u32::from_be_bytes(header)) {
        Ok(0) => Err(NotAFrame::Empty),
        Ok(length) if length <= most => Ok(length),
        declared => Err(NotAFrame::TooLong { declared: declared.unwrap_or(usize::MAX), most }),
    }
}

/// Cuts what a peer sends into frames.
#[derive(Debug)]
pub struct Decoder {
    most: usize,
    held: Vec<u8>,
}

impl Decoder {
    /// Takes frames of up to `most` bytes, and never more than [`FRAME_MAX`].
    pub fn new(most: usize) -> Self {
        Self { most: most.min(FRAME_MAX), held: Vec::new() }
    }

    /// Changes what is taken from the next frame on.
    pub fn set_most(&mut self, most: usize) {
        self.most = most.min(FRAME_MAX);
    }

    /// How many bytes may be read for the frame under way, at least 1: reading no more than that never takes from the next one.
    pub fn wanted(&self) -> usize {
        match self.declared() {
            None => HEADER - self.held.len(),
            Some(length) => HEADER + length - self.held.len(),
        }
    }

    /// Whether part of a frame is here.
    pub fn is_under_way(&self) -> bool {
        !self.held.is_empty()
    }

    /// Takes bytes from the front of `input`, up to the end of one frame, and returns that frame once it is whole.
    ///
    /// Call it until `input` is empty. After an error the stream is of no further use.
    pub fn take(&mut self, input: &mut &[u8]) -> Result<Option<Vec<u8>>, NotAFrame> {
        while !input.is_empty() {
            let (now, later) = input.split_at(self.wanted().min(input.len()));
            self.held.extend_from_slice(now);
            *input = later;
            match self.declared() {
                Some(0) => return Err(NotAFrame::Empty),
                Some(declared) if declared > self.most => return Err(NotAFrame::TooLong { declared, most: self.most }),
                Some(length) if self.held.len() == HEADER + length => {
                    let frame = self.held.split_off(HEADER);
                    self.held.clear();
                    return Ok(Some(frame));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    fn declared(&self) -> Option<usize> {
        let header = self.held.first_chunk::<HEADER>()?;
        Some(usize::try_from(u32::from_be_bytes(*header)).expect("a length of 32 bits fits where hearth runs"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_stream_is_cut_where_its_headers_say() {
        for (case, input, most, expected) in [
            ("nothing", &[][..], 9, Ok(vec![])),
            ("half a header", &[0, 0], 9, Ok(vec![])),
            ("half a frame", &[0, 0, 0, 2, b'a'], 9, Ok(vec![])),
            ("one", &[0, 0, 0, 2, b'a', b'b'], 9, Ok(vec![b"ab".to_vec()])),
            ("one and the start of another", &[0, 0, 0, 1, b'a', 0], 9, Ok(vec![b"a".to_vec()])),
            ("two", &[0, 0, 0, 1, b'a', 0, 0, 0, 1, b'b'], 9, Ok(vec![b"a".to_vec(), b"b".to_vec()])),
            ("the longest", &[0, 0, 0, 2, b'a', b'b'], 2, Ok(vec![b"ab".to_vec()])),
            ("one byte more", &[0, 0, 0, 3], 2, Err(NotAFrame::TooLong { declared: 3, most: 2 })),
            ("all four bytes set", &[255; 4], 9, Err(NotAFrame::TooLong { declared: 0xFFFF_FFFF, most: 9 })),
            ("none at all", &[0; 4], 9, Err(NotAFrame::Empty)),
            ("text", b"GET / HTTP/1.1", 9, Err(NotAFrame::TooLong { declared: 0x4745_5420, most: 9 })),
        ] {
            assert_eq!(all(&mut Decoder::new(most), input), expected, "{case}");
        }
    }

    #[test]
    fn what_is_sent_obeys_the_same_bounds() {
        assert_eq!(encode(&[]), Err(NotAFrame::Empty));
        let too_long = NotAFrame::TooLong { declared: FRAME_MAX + 1, most: FRAME_MAX };
        assert_eq!(encode(&vec![0; FRAME_MAX + 1]), Err(too_long));
        assert_eq!(encode(&vec![0; FRAME_MAX]).map(|frame| frame.len()), Ok(FRAME_MAX + HEADER));
        assert_eq!(Decoder::new(usize::MAX).most, FRAME_MAX);
    }

    #[test]
    fn a_header_announces_what_may_follow_and_nothing_else() {
        for (case, announced, most, refused) in [
            ("one", 1, 9, None),
            ("the most", 9, 9, None),
            ("more than a frame, where that was agreed", FRAME_MAX + 1, 2 * FRAME_MAX, None),
            ("one more", 10, 9, Some(NotAFrame::TooLong { declared: 10, most: 9 })),
            ("none", 0, 9, Some(NotAFrame::Empty)),
        ] {
            let written = header(announced, most);
            assert_eq!(written.err(), refused, "{case}");
            let bytes = u32::try_from(announced).expect("small").to_be_bytes();
            assert_eq!(length(bytes, most), refused.map_or(Ok(announced), Err), "{case}, read");
            assert!(written.is_err() || written == Ok(bytes), "{case}");
        }
        let beyond = usize::try_from(u64::from(u32::MAX) + 1).expect("64 bits");
        assert_eq!(header(beyond, usize::MAX), Err(NotAFrame::TooLong { declared: beyond, most: usize::MAX }));
    }

    proptest! {
        #[test]
        fn any_bytes_are_cut_or_refused_within_bounds(input in prop::collection::vec(any::<u8>(), 0..2000), most in 0usize..600) {
            let mut decoder = Decoder::new(most);
            let mut rest = &input[..];
            loop {
                let before = rest.len();
                let Ok(frame) = decoder.take(&mut rest) else { break };
                prop_assert!(decoder.held.len() <= HEADER + most && decoder.wanted() >= 1);
                prop_assert!(frame.as_ref().is_none_or(|frame| (1..=most).contains(&frame.len())));
                if frame.is_none() {
                    prop_assert!(rest.is_empty());
                    break;
                }
                prop_assert!(rest.len() < before);
            }
        }

        #[test]
        fn frames_arrive_whole_and_in_order_however_the_stream_is_split(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 0..8),
            splits in prop::collection::vec(1usize..50, 1..40),
        ) {
            let stream: Vec<u8> = frames.iter().flat_map(|frame| encode(frame).expect("within bounds")).collect();
            let mut decoder = Decoder::new(FRAME_MAX);
            let (mut rest, mut arrived, mut splits) = (&stream[..], Vec::new(), splits.iter().cycle());
            while !rest.is_empty() {
                let (now, later) = rest.split_at((*splits.next().expect("a cycle has no end")).min(rest.len()));
                arrived.extend(all(&mut decoder, now).expect("well formed"));
                rest = later;
            }
            prop_assert_eq!(arrived, frames);
            prop_assert!(!decoder.is_under_way());
        }
    }

    fn all(decoder: &mut Decoder, mut input: &[u8]) -> Result<Vec<Vec<u8>>, NotAFrame> {
        let mut frames = Vec::new();
        while !input.is_empty() {
            frames.extend(decoder.take(&mut input)?);
        }
        Ok(frames)
    }
}
