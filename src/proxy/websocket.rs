//! What of a websocket must be known to end it in words: where one frame ends and the next may begin (RFC 6455 section 5.2),
//! and the frame that says goodbye (section 5.5.1).

use crate::crypto;

/// Why cloakroom ends a tunnel that both of its ends would go on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TunnelEnd {
    /// Nothing went through it for `tunnel_idle_timeout`.
    Idle,
    /// The process stops.
    Stop,
    /// The session that it began under has ended, or belongs to somebody else now.
    Session,
}

impl TunnelEnd {
    /// The code that says so (RFC 6455 section 7.4.1): going away, or a rule that it goes against.
    pub(super) fn code(self) -> u16 {
        match self {
            Self::Idle | Self::Stop => 1001,
            Self::Session => 1008,
        }
    }

    /// In a word, for a log and for who closes.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Stop => "the server stops",
            Self::Session => "the session has ended",
        }
    }

    /// The frame. `masked`: to an app, as of a visitor (RFC 6455 section 5.3).
    pub(super) fn close_frame(self, masked: bool) -> Vec<u8> {
        let payload = [&self.code().to_be_bytes()[..], self.reason().as_bytes()].concat();
        // Short of the 126 at which a longer form begins.
        let length = payload.len() as u8;
        if !masked {
            return [&[FINAL_CLOSE, length][..], &payload].concat();
        }
        let mask: [u8; 4] = crypto::random();
        let hidden = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
        [FINAL_CLOSE, MASKED | length].into_iter().chain(mask).chain(hidden).collect()
    }
}

const FINAL_CLOSE: u8 = 0x88;
const MASKED: u8 = 0x80;
const FINAL: u8 = 0x80;
const OPCODE: u8 = 0x0f;
/// From here on opcodes are of control frames, which may stand within a message.
const FIRST_CONTROL: u8 = 0x8;
const CLOSE: u8 = 0x8;
/// Of the longest head: two bytes, eight of length, four of mask.
const LONGEST_HEAD: usize = 14;

/// Follows the frames of one way through a websocket, byte by byte and without a look at what they carry.
#[derive(Debug, Default)]
pub(super) struct FrameBoundaries {
    head: [u8; LONGEST_HEAD],
    /// How much of a head has come.
    known: usize,
    /// How much of the frame's payload is to come.
    left: u64,
    /// Of a message in several frames the last has not begun (RFC 6455 section 5.4).
    is_in_message: bool,
    /// A close frame went through: nothing may follow it.
    has_closed: bool,
}

impl FrameBoundaries {
    /// These bytes went through.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) {
        while let [first, rest @ ..] = bytes {
            if self.left > 0 {
                let skipped = self.left.min(bytes.len() as u64);
                self.left -= skipped;
                bytes = bytes.get(skipped as usize..).unwrap_or_default();
                continue;
            }
            if let Some(place) = self.head.get_mut(self.known) {
                *place = *first;
            }
            self.known += 1;
            bytes = rest;
            self.read_head();
        }
    }

    /// Whether a frame may begin here.
    pub(super) fn is_between_frames(&self) -> bool {
        self.known == 0 && self.left == 0 && !self.has_closed
    }

    /// Whether what was being said is said to its end.
    pub(super) fn is_between_messages(&self) -> bool {
        self.is_between_frames() && !self.is_in_message
    }

    /// Once the head is whole: how much payload follows it.
    fn read_head(&mut self) {
        let [kind, second, long @ ..] = &self.head;
        let (length, of_length) = match second & !MASKED {
            126 => (None, 2),
            127 => (None, 8),
            short => (Some(u64::from(short)), 0),
        };
        let of_mask = if second & MASKED == 0 { 0 } else { 4 };
        if self.known < 2 || self.known < 2 + of_length + of_mask {
            return;
        }
        let long = long.iter().take(of_length).fold(0, |length, byte| length << 8 | u64::from(*byte));
        let opcode = kind & OPCODE;
        self.has_closed |= opcode == CLOSE;
        if opcode < FIRST_CONTROL {
            self.is_in_message = kind & FINAL == 0;
        }
        self.left = length.unwrap_or(long);
        self.known = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tungstenite::protocol::frame::{
        Frame, FrameHeader,
        coding::{Control, Data, OpCode},
    };

    use super::*;

    /// A frame as it stands on the wire.
    fn frame(payload: usize, masked: bool) -> Vec<u8> {
        let mut frame = Frame::message(vec![0x88; payload], OpCode::Data(Data::Binary), true);
        frame.header_mut().mask = masked.then_some([1, 2, 3, 4]);
        let mut bytes = Vec::new();
        frame.format(&mut bytes).unwrap();
        bytes
    }

    proptest! {
        #[test]
        fn boundaries_are_those_of_the_frames(
            frames in prop::collection::vec((prop_oneof![0..4_usize, 120..130_usize, 65_530..65_540_usize], any::<bool>()), 1..6),
            piece in 1..70_000_usize,
        ) {
            let mut boundaries = FrameBoundaries::default();
            for (payload, masked) in frames {
                let bytes = frame(payload, masked);
                let (most, last) = bytes.split_at(bytes.len() - 1);
                for part in most.chunks(piece) {
                    boundaries.pass(part);
                    prop_assert!(!boundaries.is_between_frames());
                }
                boundaries.pass(last);
                prop_assert!(boundaries.is_between_frames());
            }
        }
    }

    #[test]
    fn a_message_ends_with_its_last_frame() {
        let mut boundaries = FrameBoundaries::default();
        let mut pass = |first: u8| {
            boundaries.pass(&[first, 1, b'a']);
            (boundaries.is_between_frames(), boundaries.is_between_messages())
        };
        // Text that goes on, a ping within it, more of it, its end; a message in one frame.
        assert_eq!(
            [0x01, 0x89, 0x00, 0x80, 0x82].map(&mut pass),
            [(true, false), (true, false), (true, false), (true, true), (true, true)]
        );
    }

    #[test]
    fn close_frames_are_what_other_software_reads() {
        for (end, code) in [(TunnelEnd::Idle, 1001), (TunnelEnd::Stop, 1001), (TunnelEnd::Session, 1008)] {
            for masked in [false, true] {
                let bytes = end.close_frame(masked);
                let mut rest = std::io::Cursor::new(&bytes);
                let (header, length) = FrameHeader::parse(&mut rest).unwrap().unwrap();
                assert_eq!((header.is_final, header.mask.is_some()), (true, masked));
                assert_eq!(bytes.len() as u64, rest.position() + length);
                let mut payload = bytes[rest.position() as usize..].to_vec();
                for (byte, mask) in payload.iter_mut().zip(header.mask.into_iter().flatten().cycle()) {
                    *byte ^= mask;
                }
                let (said, why) = payload.split_at(2);
                assert_eq!(header.opcode, OpCode::Control(Control::Close));
                assert_eq!((said, why), (&u16::to_be_bytes(code)[..], end.reason().as_bytes()));
                let mut boundaries = FrameBoundaries::default();
                boundaries.pass(&bytes);
                assert!(!boundaries.is_between_frames(), "nothing follows a goodbye");
            }
        }
    }
}
