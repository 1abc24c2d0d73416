//! A certificate made on the spot, for trying things out.

use std::net::IpAddr;

use rcgen::{CertificateParams, DnType, KeyPair, SanType};

/// A self-signed certificate and its key, both as PEM.
#[derive(Clone)]
pub struct Made {
    /// The certificate; whoever trusts it needs no authority.
    pub certificate: String,
    /// The key.
    pub key: String,
}

impl std::fmt::Debug for Made {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Made")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

/// Makes a certificate for `localhost` and these addresses.
///
/// # Errors
/// The system gives no randomness.
pub fn self_signed(addresses: &[IpAddr]) -> Result<Made, String> {
    let make = || {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()])?;
        params
            .subject_alt_names
            .extend(addresses.iter().map(|address| SanType::IpAddress(*address)));
        params.distinguished_name.push(DnType::CommonName, "gimbal dev");
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok(Made {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    };
    make().map_err(|error: rcgen::Error| error.to_string())
}
