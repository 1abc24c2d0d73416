//! What real clients signed is verified as real brokers do, and what is signed here verifies.

use std::fs;
use std::path::Path;

use bytes::BytesMut;

use super::*;
use crate::protocol::{FRAME_LIMIT, Kind, request};

const FILE: &str = "own = 'gimbal'\n[[key]]\naccess_key = 'alice'\nsecret_key = 'tops3cret-of-alice'\n\
                    [[key]]\naccess_key = 'gimbal'\nsecret_key = 'own'\n";

fn credentials() -> Credentials {
    Credentials::parse(FILE).unwrap()
}

/// What brokers say of a frame, as its file tells.
struct Signed {
    name: String,
    /// ACL 2.0 takes the signature for right.
    is_right: bool,
    frame: Frame,
}

/// The frames that the signing code of real clients made.
fn signed() -> Vec<Signed> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/signed");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let hex = files.filter(|path| path.extension().is_some_and(|ending| ending == "hex"));
    hex.map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        let (about, hex) = text.split_once('\n').unwrap();
        let pairs = hex.trim_end().as_bytes().chunks(2);
        let bytes = pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap());
        let mut wire: BytesMut = bytes.collect();
        Signed {
            name: path.file_stem().unwrap().to_string_lossy().into_owned(),
            is_right: about.ends_with("ACL 2.0: right"),
            frame: Frame::split(&mut wire, FRAME_LIMIT).unwrap().unwrap(),
        }
    })
    .collect()
}

fn verify(frame: &Frame) -> Identity {
    credentials().verify(&Head::scan(frame).unwrap(), frame)
}

#[test]
fn signatures_of_real_clients_are_judged_as_brokers_judge_them() {
    let all = signed();
    assert!(all.len() >= 40, "{} frames", all.len());
    for Signed {
        name,
        is_right,
        frame,
    } in all
    {
        // A broker refuses the empty value of a binary header, though the key is the right one.
        let is_right = is_right || name.starts_with("pull-empty") && name.ends_with("binary");
        let expected = if is_right {
            Identity::Verified
        } else {
            Identity::Wrong
        };
        assert_eq!(verify(&frame), expected("alice".to_owned()), "{name}");
    }
}

#[test]
fn a_command_signed_again_has_the_signature_it_had() {
    let right = signed().into_iter().filter(|signed| signed.is_right);
    for Signed { name, frame, .. } in right {
        let mut command = Command::decode(&frame).unwrap();
        command.set_field(SIGNATURE, "gone");
        credentials().sign(&mut command, "alice").unwrap();
        assert_eq!(command.encode().unwrap().to_bytes(), frame.to_bytes(), "{name}");
    }
}

#[test]
fn a_change_breaks_the_signature_and_a_new_one_mends_it() {
    for Signed { name, frame, .. } in signed() {
        let mut command = Command::decode(&frame).unwrap();
        command.set_field("topic", "other");
        command.set_field("empty", "");
        command.body = [&*command.body, b"more"].concat().into();
        let changed = command.encode().unwrap();
        assert_eq!(verify(&changed), Identity::Wrong("alice".to_owned()), "{name}");
        credentials().sign(&mut command, "alice").unwrap();
        let mended = verify(&command.encode().unwrap());
        assert_eq!(mended, Identity::Verified("alice".to_owned()), "{name}");
    }
}

#[test]
fn what_is_not_covered_may_change() {
    for Signed { name, frame, .. } in signed().into_iter().filter(|signed| signed.is_right) {
        let mut command = Command::decode(&frame).unwrap();
        command.opaque = 99;
        command.flag = 2;
        command.code = Code(1);
        let as_it_is = verify(&command.encode().unwrap());
        assert_eq!(as_it_is, Identity::Verified("alice".to_owned()), "{name}");
    }
}

#[test]
fn every_bit_of_the_signature_counts() {
    let mut command = Command::request(request::SEND_MESSAGE_V2, 1).with_body("hello");
    credentials().sign(&mut command, "alice").unwrap();
    let signature = command.field(SIGNATURE).unwrap().to_owned();
    for wrong in [
        "",
        "=",
        signature.strip_suffix("=").unwrap_or_default(),
        &format!("{signature}A"),
        &format!(" {signature}"),
        &signature.to_lowercase(),
    ] {
        command.set_field(SIGNATURE, wrong);
        let identity = verify(&command.encode().unwrap());
        assert_eq!(identity, Identity::Wrong("alice".to_owned()), "{wrong:?}");
    }
    command.remove_field(SIGNATURE);
    let identity = verify(&command.encode().unwrap());
    assert_eq!(identity, Identity::Wrong("alice".to_owned()));
}

#[test]
fn who_is_not_in_the_file_is_unknown_and_who_names_no_key_is_unsigned() {
    let of = |key: &str| {
        let command = Command::request(request::HEART_BEAT, 1).with_field(ACCESS_KEY, key);
        verify(&command.encode().unwrap())
    };
    assert_eq!(of("bob"), Identity::Unknown("bob".to_owned()));
    assert_eq!(of(""), Identity::Unsigned);
    let plain = Command::request(request::HEART_BEAT, 1).encode().unwrap();
    assert_eq!(verify(&plain), Identity::Unsigned);
}

#[test]
fn only_wrong_signatures_and_unwanted_strangers_are_refused() {
    let (pass, refuse) = (
        credentials(),
        Credentials::parse(&format!("unknown = 'refuse'\n{FILE}")).unwrap(),
    );
    let (unknown, wrong) = (Identity::Unknown("bob".into()), Identity::Wrong("alice".into()));
    for identity in [Identity::Unsigned, Identity::Verified("alice".into())] {
        assert_eq!((pass.refusal(&identity), refuse.refusal(&identity)), (None, None));
    }
    assert_eq!(pass.refusal(&unknown), None);
    let said = |refusal: Option<Refusal>| refusal.unwrap().to_string();
    assert_eq!(said(refuse.refusal(&unknown)), "User:bob is not found.");
    assert_eq!(said(pass.refusal(&wrong)), "check signature failed. User:alice");
    assert_eq!(Refusal::CODE, Code(16));
}

#[test]
fn a_request_of_our_own_is_signed_where_there_is_a_key_for_it() {
    for kind in [Kind::Json, Kind::Binary] {
        let mut command = Command::request(request::GET_ROUTEINFO_BY_TOPIC, 1).with_field("topic", "T");
        command.set_kind(kind);
        assert!(credentials().sign_own(&mut command));
        let identity = verify(&command.encode().unwrap());
        assert_eq!(identity.user(), Some("gimbal"));
    }
    let without = Credentials::parse(&FILE.replace("own = 'gimbal'\n", "")).unwrap();
    let mut command = Command::request(request::GET_ROUTEINFO_BY_TOPIC, 1);
    assert!(!without.sign_own(&mut command));
    assert_eq!(command.ext, None);
}

#[test]
fn a_key_that_is_not_there_signs_nothing() {
    let mut command = Command::request(request::HEART_BEAT, 1);
    let error = credentials().sign(&mut command, "bob").unwrap_err();
    assert_eq!(
        error.to_string(),
        "access key \"bob\" is not in the credentials file"
    );
    assert_eq!(command.ext, None);
}

#[test]
fn no_secret_is_printed() {
    let printed = format!("{:?}", credentials());
    assert!(!printed.contains("tops3cret"), "{printed}");
    assert!(printed.contains("keys: 2"), "{printed}");
}
