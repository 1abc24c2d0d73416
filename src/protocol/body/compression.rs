//! Message bodies as producers compress them: the algorithm is told by `sysFlag`, and no body grows beyond a limit.

use std::fmt;
use std::io::{self, Read, Write};

use bytes::Bytes;

/// `sysFlag`: the body is compressed.
const COMPRESSED: i32 = 0x1;
/// `sysFlag`: the bits that tell how.
const TYPE_BITS: i32 = 0x700;
/// Level of zlib that clients use by default.
const ZLIB_LEVEL: u32 = 5;
/// Level of ZSTD.
const ZSTD_LEVEL: i32 = 3;
/// Bytes that a ZSTD reader may keep as its window in any case, as a power of two: 8 MiB, twice what the highest level that
/// clients can be set to asks for.
const ZSTD_WINDOW: u32 = 23;
/// Bytes decompressed at once.
const CHUNK: usize = 16 << 10;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// A zlib stream (RFC 1950); the only one that clients before 4.9.4 know.
    Zlib,
    /// An LZ4 frame.
    Lz4,
    /// A ZSTD frame.
    Zstd,
}

/// Why a body cannot be read or written compressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CompressionError {
    /// `sysFlag` names an algorithm that there is not.
    Unknown {
        /// The bits of `sysFlag` that name it.
        bits: i32,
    },
    /// The body would grow beyond the limit.
    TooLarge {
        /// Most bytes of a decompressed body.
        limit: usize,
    },
    /// The body is no stream of its algorithm, or a part of one.
    Broken {
        /// The algorithm that `sysFlag` names.
        compression: Compression,
        /// What its reader says.
        why: String,
    },
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Zlib => "ZLIB",
            Self::Lz4 => "LZ4",
            Self::Zstd => "ZSTD",
        })
    }
}

impl fmt::Display for CompressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { bits } => write!(
                f,
                "compression type {bits:#x} in sysFlag is none of 0x0 and 0x300 (ZLIB), 0x100 (LZ4), 0x200 (ZSTD)"
            ),
            Self::TooLarge { limit } => write!(f, "decompressed it has more than {limit} bytes"),
            Self::Broken { compression, why } => write!(f, "it is no {compression} stream: {why}"),
        }
    }
}

impl std::error::Error for CompressionError {}

impl Compression {
    /// How a body with this `sysFlag` is compressed; `None` when it is not.
    pub fn of(sys_flag: i32) -> Result<Option<Self>, CompressionError> {
        if sys_flag & COMPRESSED == 0 {
            return Ok(None);
        }
        match sys_flag & TYPE_BITS {
            0 | 0x300 => Ok(Some(Self::Zlib)),
            0x100 => Ok(Some(Self::Lz4)),
            0x200 => Ok(Some(Self::Zstd)),
            bits => Err(CompressionError::Unknown { bits }),
        }
    }

    /// The body that `compressed` was made of. It has at most `limit` bytes, and no more are allocated for it; beside
    /// them a reader holds buffers of up to 8 MiB, or of `limit` when that is more.
    pub fn decompress(self, compressed: &[u8], limit: usize) -> Result<Bytes, CompressionError> {
        let grown = match self {
            Self::Zlib => grow(flate2::read::ZlibDecoder::new(compressed), limit),
            // The reader takes the end of its input between two blocks for the end of the frame.
            Self::Lz4 if !is_whole_lz4_frame(compressed) => Err(io::ErrorKind::UnexpectedEof.into()),
            Self::Lz4 => grow(lz4_flex::frame::FrameDecoder::new(compressed), limit),
            Self::Zstd => zstd::stream::read::Decoder::with_buffer(compressed).and_then(|mut decoder| {
                let log = usize::BITS.saturating_sub(limit.leading_zeros());
                decoder.window_log_max(log.clamp(ZSTD_WINDOW, 27))?;
                grow(decoder, limit)
            }),
        };
        match grown {
            Ok(Some(body)) => Ok(body.into()),
            Ok(None) => Err(CompressionError::TooLarge { limit }),
            Err(error) => Err(self.broken(&error)),
        }
    }

    /// Compresses `body` in a form that every client can read that knows the algorithm.
    pub fn compress(self, body: &[u8]) -> Result<Bytes, CompressionError> {
        let compressed = match self {
            Self::Zlib => {
                let level = flate2::Compression::new(ZLIB_LEVEL);
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
                encoder.write_all(body).and_then(|()| encoder.finish())
            }
            // The default frame has independent blocks: the Java reader takes no others.
            Self::Lz4 => {
                let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
                encoder
                    .write_all(body)
                    .and_then(|()| encoder.finish().map_err(io::Error::other))
            }
            Self::Zstd => zstd::stream::encode_all(body, ZSTD_LEVEL),
        };
        compressed.map(Bytes::from).map_err(|error| self.broken(&error))
    }

    fn broken(self, error: &io::Error) -> CompressionError {
        CompressionError::Broken {
            compression: self,
            why: error.to_string(),
        }
    }
}

/// Whether the blocks of an LZ4 frame go on to its end mark.
fn is_whole_lz4_frame(frame: &[u8]) -> bool {
    /// Bits of the flag byte: content size, block checksums, dictionary.
    const CONTENT_SIZE: u8 = 0x08;
    const BLOCK_CHECKSUMS: u8 = 0x10;
    const DICTIONARY: u8 = 0x01;
    /// Bit of a block's size: the block is stored as it is.
    const STORED: u32 = 0x8000_0000;
    let Some(flags) = frame.get(4) else { return false };
    // Magic, flags, block descriptor and header checksum; what is optional stands between the last two.
    let mut at: usize = 7;
    if flags & CONTENT_SIZE != 0 {
        at = at.saturating_add(8);
    }
    if flags & DICTIONARY != 0 {
        at = at.saturating_add(4);
    }
    let checksum = if flags & BLOCK_CHECKSUMS == 0 { 0 } else { 4 };
    while let Some(size) = frame.get(at..).and_then(<[u8]>::first_chunk) {
        let size = u32::from_le_bytes(*size);
        if size == 0 {
            return true;
        }
        let size = usize::try_from(size & !STORED).unwrap_or(usize::MAX);
        at = [4, size, checksum].into_iter().fold(at, usize::saturating_add);
    }
    false
}

/// Reads to the end into a buffer that never has more than `limit` bytes; `None` when there are more.
fn grow(mut from: impl Read, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let mut out = Vec::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = match from.read(&mut chunk) {
            Ok(0) => return Ok(Some(out)),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let wanted = out.len().saturating_add(count);
        if wanted > limit {
            return Ok(None);
        }
        if wanted > out.capacity() {
            let capacity = out.capacity().saturating_mul(2).max(wanted).min(limit);
            out.reserve_exact(capacity.saturating_sub(out.len()));
        }
        out.extend_from_slice(chunk.get(..count).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Compression; 3] = [Compression::Zlib, Compression::Lz4, Compression::Zstd];

    #[test]
    fn sys_flag_names_the_algorithm() {
        for (sys_flag, wanted) in [
            (0x300, Ok(None)),
            (0x1, Ok(Some(Compression::Zlib))),
            (0x301, Ok(Some(Compression::Zlib))),
            (0x105, Ok(Some(Compression::Lz4))),
            (0x231, Ok(Some(Compression::Zstd))),
            (0x501, Err(CompressionError::Unknown { bits: 0x500 })),
        ] {
            assert_eq!(Compression::of(sys_flag), wanted, "{sys_flag:#x}");
        }
    }

    #[test]
    fn bodies_survive() {
        let long = vec![7; 100_000];
        for compression in ALL {
            for body in [&b""[..], b"x", &long] {
                let compressed = compression.compress(body).unwrap();
                assert_eq!(
                    compression.decompress(&compressed, 100_000).unwrap(),
                    body,
                    "{compression}"
                );
            }
        }
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let body = vec![0; 4 << 20];
        for compression in ALL {
            let bomb = compression.compress(&body).unwrap();
            let limit = (4 << 20) - 1;
            assert_eq!(
                compression.decompress(&bomb, limit),
                Err(CompressionError::TooLarge { limit }),
                "{compression}"
            );
            assert!(grow(&body[..], limit).unwrap().is_none());
            let all = grow(&body[..], 4 << 20).unwrap().unwrap();
            assert_eq!(all.capacity(), 4 << 20, "not a byte more is allocated");
        }
    }

    #[test]
    fn a_cut_stream_is_an_error() {
        let body: Vec<u8> = (0..10_000_u32)
            .flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes())
            .collect();
        for compression in ALL {
            let compressed = compression.compress(&body).unwrap();
            for cut in [compressed.len() / 2, compressed.len() - 4, compressed.len() - 1] {
                let result = compression.decompress(&compressed[..cut], 1 << 20);
                let is_broken = matches!(result, Err(CompressionError::Broken { .. }));
                assert!(is_broken, "{compression} cut at {cut}");
            }
            assert!(
                compression.decompress(b"plain text", 1 << 20).is_err(),
                "{compression}"
            );
        }
    }

    proptest! {
        #[test]
        fn hostile_streams_do_not_panic(
            noise in proptest::collection::vec(any::<u8>(), 0..128),
            at in any::<proptest::sample::Index>(),
        ) {
            for compression in ALL {
                let mut stream = compression.compress(&noise).unwrap().to_vec();
                let at = at.index(stream.len());
                stream[at] ^= 0x55;
                for hostile in [&stream[..], &stream[..at], &noise[..]] {
                    if let Ok(body) = compression.decompress(hostile, 256) {
                        prop_assert!(body.len() <= 256);
                    }
                }
            }
        }
    }
}
