//! Handshakes in memory: whom a client believes.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::Connection;

use super::*;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn files(&self, name: &str, certificate: &str, key: &str) -> CertificateFiles {
        CertificateFiles {
            certificate: self.write(&format!("{name}.pem"), certificate),
            key: self.write(&format!("{name}.key"), key),
        }
    }
}

fn server(own: CertificateFiles) -> ServerTls {
    let settings = ServerSettings {
        certificates: vec![own],
        client_auth: ClientAuth::None,
        client_ca: None,
        min_version: Version::Tls12,
        offers_h2: false,
    };
    ServerTls::new(&settings).unwrap()
}

fn client(verify: Verify, ca: Option<PathBuf>) -> ClientTls {
    let settings = ClientSettings {
        verify,
        ca,
        ..ClientSettings::default()
    };
    ClientTls::new(&settings).unwrap()
}

/// Shakes hands; what the client says against it.
fn shake(server: &ServerTls, client: &ClientTls, name: &str) -> Result<(), String> {
    let mut ends = [
        client.connection(name).map_err(|error| error.to_string())?,
        server.connection().unwrap(),
    ];
    for turn in 0..20 {
        let mut bytes = Vec::new();
        let [client, server] = &mut ends;
        let (from, to): (&mut Connection, &mut Connection) = if turn % 2 == 0 {
            (client, server)
        } else {
            (server, client)
        };
        while from.wants_write() {
            from.write_tls(&mut bytes).unwrap();
        }
        let mut bytes = bytes.as_slice();
        while !bytes.is_empty() {
            to.read_tls(&mut bytes).unwrap();
            to.process_new_packets().map_err(|error| error.to_string())?;
        }
    }
    assert!(!ends[0].is_handshaking() && !ends[1].is_handshaking());
    Ok(())
}

/// An authority, and a certificate of it for `broker.example.org`.
fn issued(folder: &Folder) -> (PathBuf, CertificateFiles) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = folder.write("ca.pem", &params.self_signed(&key).unwrap().pem());
    let issuer = Issuer::new(params, key);
    let own = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["broker.example.org".to_owned()]).unwrap();
    let certificate = params.signed_by(&own, &issuer).unwrap();
    let files = folder.files("own", &certificate.pem(), &own.serialize_pem());
    (authority, files)
}

#[test]
fn full_verification_wants_authority_and_name() {
    let folder = Folder::new();
    let (authority, own) = issued(&folder);
    let server = server(own);
    let full = client(Verify::Full, Some(authority));
    assert_eq!(shake(&server, &full, "broker.example.org"), Ok(()));
    let error = shake(&server, &full, "10.0.0.1").unwrap_err();
    assert!(error.contains("not valid for name"), "{error}");
    let error = full.connection("no name").unwrap_err().to_string();
    assert!(
        error.contains("no name that a certificate could be for"),
        "{error}"
    );
}

#[test]
fn verification_of_the_authority_takes_every_name() {
    let folder = Folder::new();
    let (authority, own) = issued(&folder);
    let server = server(own);
    let by_authority = client(Verify::Ca, Some(authority));
    for name in ["broker.example.org", "10.0.0.1", "[::1]", "no_name at all"] {
        assert_eq!(shake(&server, &by_authority, name), Ok(()), "{name}");
    }
    let stranger = self_signed(&[]).unwrap();
    let other = client(Verify::Ca, Some(folder.write("other.pem", &stranger.certificate)));
    assert!(shake(&server, &other, "broker.example.org").is_err());
}

#[test]
fn no_verification_takes_what_rocketmq_shows_by_default() {
    let folder = Folder::new();
    let made = self_signed(&[]).unwrap();
    let server = server(folder.files("own", &made.certificate, &made.key));
    assert_eq!(shake(&server, &client(Verify::None, None), "10.0.0.1"), Ok(()));
}

#[test]
fn a_self_signed_authority_may_be_the_server_itself() {
    // As `openssl req -x509` makes them.
    let folder = Folder::new();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["broker.example.org".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let own = folder.files(
        "own",
        &params.self_signed(&key).unwrap().pem(),
        &key.serialize_pem(),
    );
    let trusted = own.certificate.clone();
    let server = server(own);
    for verify in [Verify::Full, Verify::Ca] {
        let client = client(verify, Some(trusted.clone()));
        assert_eq!(shake(&server, &client, "broker.example.org"), Ok(()));
    }
    let full = client(Verify::Full, Some(trusted));
    assert!(shake(&server, &full, "other.example.org").is_err());
}

#[test]
fn another_name_may_be_asked_for_than_was_dialled() {
    let folder = Folder::new();
    let (authority, own) = issued(&folder);
    let settings = ClientSettings {
        ca: Some(authority),
        server_name: Some("broker.example.org".to_owned()),
        ..ClientSettings::default()
    };
    let client = ClientTls::new(&settings).unwrap();
    assert_eq!(shake(&server(own), &client, "10.0.0.1"), Ok(()));
}

#[test]
fn files_are_judged_when_they_have_come_to_rest_and_once() {
    let folder = Folder::new();
    let (authority, own) = issued(&folder);
    let client = client(Verify::Full, Some(authority.clone()));
    assert_eq!(client.look(false), Looked::Same);
    std::fs::write(&authority, "nothing").unwrap();
    assert_eq!(client.look(false), Looked::Same, "it may still be written");
    assert!(matches!(client.look(false), Looked::Kept(_)));
    assert_eq!(client.look(false), Looked::Same, "told once");
    assert!(
        client
            .state()
            .error
            .as_ref()
            .is_some_and(|error| error.contains("ca.pem"))
    );
    assert_eq!(
        shake(&server(own), &client, "broker.example.org"),
        Ok(()),
        "the old one stays"
    );
    let made = self_signed(&[]).unwrap();
    std::fs::write(&authority, &made.certificate).unwrap();
    assert_eq!(client.look(true), Looked::Replaced, "at once when asked to");
    assert_eq!(client.state().error, None);
}

#[test]
fn a_key_with_a_password_says_how_to_take_it_off() {
    let folder = Folder::new();
    let made = self_signed(&[]).unwrap();
    let key = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let settings = ServerSettings {
        certificates: vec![folder.files("own", &made.certificate, key)],
        client_auth: ClientAuth::None,
        client_ca: None,
        min_version: Version::Tls12,
        offers_h2: false,
    };
    let problem = ServerTls::new(&settings).unwrap_err().to_string();
    assert!(
        problem.contains("encrypted key") && problem.contains("openssl pkey"),
        "{problem}"
    );
}
