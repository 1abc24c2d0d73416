//! Turns the frames of `tests/fixtures/wire` into a first corpus for each fuzz target.

use std::fs;
use std::io;
use std::path::Path;

use bytes::BytesMut;
use gimbal_fuzz::protocol::{FRAME_LIMIT, Frame};

/// Which targets the body of a fixture seeds, by how its name begins.
const BODIES: &[(&str, &[&str])] = &[
    ("body_route", &["answer-105-", "answer-106-"]),
    (
        "body_client",
        &[
            "request-34-",
            "request-41-",
            "request-42-",
            "request-46-",
            "request-400-",
            "answer-41-",
        ],
    ),
    (
        "records",
        &[
            "answer-11-",
            "answer-12-",
            "answer-361-",
            "answer-200050-",
            "request-39-",
            "request-309-",
        ],
    ),
];

/// Which fixtures seed `messages` as frames, by how their names begin, and the byte that chooses their carrier.
const CARRIERS: &[(&str, u8)] = &[
    ("request-10-", 0),
    ("request-310-", 1),
    ("request-320-", 2),
    ("answer-11-0-", 3),
    ("answer-361-", 3),
    ("answer-200050-", 4),
    ("answer-12-", 5),
    ("request-39-", 6),
    ("request-309-", 6),
    ("request-326-", 7),
];

fn main() -> io::Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let corpus = here.join("corpus");
    for target in ["frame", "body_route", "body_client", "records", "messages", "opening"] {
        fs::create_dir_all(corpus.join(target))?;
    }
    for entry in fs::read_dir(here.join("../fixtures/wire"))? {
        let path = entry?.path();
        if path.extension().is_none_or(|ending| ending != "hex") {
            continue;
        }
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let bytes = unhex(&fs::read_to_string(&path)?)?;
        fs::write(corpus.join("frame").join(&name), &bytes)?;
        for (_, carrier) in CARRIERS.iter().filter(|(prefix, _)| name.starts_with(prefix)) {
            let seed = [&[*carrier, 0b101], &bytes[..]].concat();
            fs::write(corpus.join("messages").join(&name), seed)?;
        }
        let mut buf = BytesMut::from(&bytes[..]);
        let Ok(Some(frame)) = Frame::split(&mut buf, FRAME_LIMIT) else {
            continue;
        };
        for (target, prefixes) in BODIES {
            if !frame.body().is_empty() && prefixes.iter().any(|prefix| name.starts_with(prefix)) {
                fs::write(corpus.join(target).join(&name), frame.body())?;
            }
        }
    }
    Ok(())
}

/// The bytes of a fixture: hex digits after a first line of comment.
fn unhex(text: &str) -> io::Result<Vec<u8>> {
    let digits: Vec<u8> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::bytes)
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    digits
        .chunks(2)
        .map(|pair| {
            std::str::from_utf8(pair)
                .ok()
                .and_then(|pair| u8::from_str_radix(pair, 16).ok())
        })
        .collect::<Option<_>>()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not hex"))
}
