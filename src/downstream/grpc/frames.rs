//! Where one HTTP/2 frame ends and the next begins, in bytes that are passed on unseen.

use bytes::BytesMut;

/// Tells a client to open no more streams, and to finish those it has: GOAWAY without a last stream, no error.
pub(super) const GO_AWAY: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0];
/// Length, type, flags, stream.
const HEAD: usize = 9;

/// How far the bytes seen so far are into a frame.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// Bytes of the head seen.
    head: usize,
    /// The length the head says, so far.
    length: usize,
    /// Bytes of the payload to come, once the head is whole.
    payload: usize,
}

impl Frames {
    /// Whether the next byte begins a frame.
    pub(super) fn is_at_boundary(&self) -> bool {
        self.head == 0
    }

    /// Sees bytes go by.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = self.step(bytes);
            bytes = bytes.get(taken..).unwrap_or_default();
        }
    }

    /// Takes what belongs to the frame that has begun off `bytes`; nothing at a boundary.
    pub(super) fn split_at_boundary(&mut self, bytes: &mut BytesMut) -> BytesMut {
        let mut taken = 0;
        while !self.is_at_boundary() && taken < bytes.len() {
            taken += self.step(bytes.get(taken..).unwrap_or_default());
        }
        bytes.split_to(taken)
    }

    /// Takes some bytes, up to the end of the frame at most; how many. Never none of some.
    fn step(&mut self, bytes: &[u8]) -> usize {
        if self.head < HEAD {
            let Some(byte) = bytes.first() else { return 0 };
            if self.head < 3 {
                self.length = (self.length << 8) | usize::from(*byte);
            }
            self.head += 1;
            if self.head == HEAD {
                self.payload = self.length;
                self.finish_if_whole();
            }
            return 1;
        }
        let taken = self.payload.min(bytes.len());
        self.payload -= taken;
        self.finish_if_whole();
        taken
    }

    fn finish_if_whole(&mut self) {
        if self.payload == 0 {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(length: u8) -> Vec<u8> {
        let mut frame = vec![0, 0, length, 0, 0, 0, 0, 0, 1];
        frame.extend(vec![0xff; length.into()]);
        frame
    }

    #[test]
    fn a_boundary_is_found_wherever_the_bytes_are_cut() {
        let bytes = [frame(0), frame(5), frame(200)].concat();
        let boundaries: Vec<usize> = (0..=bytes.len())
            .filter(|end| {
                let mut frames = Frames::default();
                frames.pass(&bytes[..*end]);
                frames.is_at_boundary()
            })
            .collect();
        assert_eq!(boundaries, [0, 9, 23, 232]);
    }

    #[test]
    fn what_a_frame_still_lacks_is_taken_and_no_more() {
        let bytes = [frame(5), frame(5)].concat();
        let mut frames = Frames::default();
        frames.pass(&bytes[..4]);
        let mut rest = BytesMut::from(&bytes[4..]);
        assert_eq!(frames.split_at_boundary(&mut rest).len(), 10);
        assert!(frames.is_at_boundary());
        assert!(
            frames.split_at_boundary(&mut rest).is_empty(),
            "a frame begins here"
        );
        assert_eq!(&rest[..], &frame(5));
    }
}
