//! TLS as it is written and as it is checked: of listeners towards clients, and of what is dialled.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::{Problems, join};
use crate::tls::{
    CertificateFiles, ClientAuth, ClientSettings, File, Report, ServerSettings, Verify, Version,
};

/// TLS towards the clients of a listener. Files are PEM. They are looked at every second, and new ones hold for the
/// next connection; ones that cannot be used change nothing, and the log says why.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServerSection {
    /// "permissive" takes clients in clear and under TLS on the same port, "enforcing" those under TLS alone, "disabled"
    /// those in clear alone. Default: "permissive" where certificates are given, else "disabled".
    pub mode: Option<ModeName>,
    /// What clients are shown. Of several, the one that has the name a client asks for, else the first.
    pub certificates: Vec<CertificateSection>,
    /// Whether clients show a certificate: "none", "optional" (one that is shown must be good), "required". Filters see
    /// its subject.
    pub client_auth: ClientAuthName,
    /// File with the authorities that certificates of clients come from.
    pub client_ca: Option<String>,
    /// The oldest version of TLS spoken, "1.2" or "1.3".
    pub min_version: VersionName,
}

/// A certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CertificateSection {
    /// File with the certificate, followed by those of the authorities between it and the root.
    pub certificate: String,
    /// File with its private key, without a password.
    pub key: String,
}

/// TLS towards servers that are dialled. Files are PEM and looked at as those of listeners are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClientSection {
    /// Whether TLS is spoken.
    pub enabled: bool,
    /// How far the server's certificate is believed. "full": it comes from a trusted authority and has the name that was
    /// dialled. "ca": its name does not count, as for brokers dialled by IP address. "none": it is not looked at, so that
    /// whoever is in between can read and change everything; RocketMQ's servers show a self-signed certificate until
    /// they are given another, which nothing but "none" accepts.
    pub verify: VerifyName,
    /// File with the authorities that are trusted. Default: those the system trusts.
    pub ca: Option<String>,
    /// File with the certificate to show to servers that ask for one.
    pub certificate: Option<String>,
    /// File with its private key, without a password.
    pub key: Option<String>,
    /// The name to ask the server for and to expect in its certificate. Default: the one that was dialled.
    pub server_name: Option<String>,
    /// The oldest version of TLS spoken, "1.2" or "1.3".
    pub min_version: VersionName,
}

/// Which clients a port takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ModeName {
    /// Those in clear alone.
    Disabled,
    /// Those in clear and those under TLS.
    Permissive,
    /// Those under TLS alone.
    Enforcing,
}

/// Whether clients show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClientAuthName {
    /// They are not asked for one.
    #[default]
    None,
    /// They may; one that is shown must be good.
    Optional,
    /// They must.
    Required,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum VersionName {
    /// TLS 1.2.
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    Tls13,
}

/// How far a server's certificate is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VerifyName {
    /// Its authority and its name are checked.
    #[default]
    Full,
    /// Its authority is checked.
    Ca,
    /// Nothing is checked.
    None,
}

/// TLS towards the clients of a listener, where it is not disabled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Whether clients in clear are turned away.
    pub is_enforced: bool,
    /// How clients are met.
    pub settings: ServerSettings,
}

/// Checks what is written at `path` and the files it names; `None` where TLS is disabled or cannot be.
pub(super) fn check_server(
    written: &ServerSection,
    offers_h2: bool,
    path: &str,
    problems: &mut Problems,
) -> Option<Tls> {
    if written.mode == Some(ModeName::Disabled) || *written == ServerSection::default() {
        return None;
    }
    if written.certificates.is_empty() {
        problems.error(
            &join(path, "certificates"),
            "names no certificate",
            "at least one, as in [{ certificate = \"tls/cert.pem\", key = \"tls/key.pem\" }]; or mode = \"disabled\"",
        );
        return None;
    }
    let asks = written.client_auth != ClientAuthName::None;
    match (&written.client_ca, asks) {
        (None, true) => problems.error(
            &join(path, "client_ca"),
            "is missing, so no certificate of a client could be good",
            "a file with the authorities they come from, or client_auth = \"none\"",
        ),
        (Some(_), false) => problems.warning(
            &join(path, "client_ca"),
            "has no effect, as clients are not asked for a certificate",
            "client_auth = \"required\" or \"optional\" beside it",
        ),
        _ => {}
    }
    let settings = ServerSettings {
        certificates: written
            .certificates
            .iter()
            .map(|own| CertificateFiles {
                certificate: own.certificate.as_str().into(),
                key: own.key.as_str().into(),
            })
            .collect(),
        client_auth: match written.client_auth {
            ClientAuthName::None => ClientAuth::None,
            ClientAuthName::Optional => ClientAuth::Optional,
            ClientAuthName::Required => ClientAuth::Required,
        },
        client_ca: written.client_ca.as_deref().filter(|_| asks).map(Into::into),
        min_version: written.min_version.into(),
        offers_h2,
    };
    if asks && written.client_ca.is_none() {
        return None;
    }
    let place = |file| match file {
        File::Certificate(index) => join(path, &format!("certificates[{index}].certificate")),
        File::Key(index) => join(path, &format!("certificates[{index}].key")),
        File::Authorities => join(path, "client_ca"),
    };
    note(settings.check(), place, problems);
    Some(Tls {
        is_enforced: written.mode == Some(ModeName::Enforcing),
        settings,
    })
}

/// Checks what is written at `path` and the files it names; `None` where TLS is not spoken or cannot be.
pub(super) fn check_client(
    written: &ClientSection,
    is_h2: bool,
    path: &str,
    problems: &mut Problems,
) -> Option<ClientSettings> {
    if !written.enabled {
        if *written != ClientSection::default() {
            let what = "is false, so the settings beside it have no effect";
            problems.warning(&join(path, "enabled"), what, "true, or nothing beside it");
        }
        return None;
    }
    let certificate = match (&written.certificate, &written.key) {
        (Some(certificate), Some(key)) => Some(CertificateFiles {
            certificate: certificate.into(),
            key: key.into(),
        }),
        (None, None) => None,
        (Some(_), None) => {
            problems.error(
                &join(path, "key"),
                "is missing",
                "the file with the key of the certificate beside it",
            );
            return None;
        }
        (None, Some(_)) => {
            problems.error(
                &join(path, "certificate"),
                "is missing",
                "the file with the certificate of the key beside it",
            );
            return None;
        }
    };
    if written.verify == VerifyName::None {
        let what =
            "is \"none\": whoever is in between can read and change everything, and take the server's place";
        problems.warning(
            &join(path, "verify"),
            what,
            "\"full\" or \"ca\", with the authority of the servers in ca",
        );
    }
    let settings = ClientSettings {
        verify: match written.verify {
            VerifyName::Full => Verify::Full,
            VerifyName::Ca => Verify::Ca,
            VerifyName::None => Verify::None,
        },
        ca: written.ca.as_deref().map(Into::into),
        certificate,
        server_name: written.server_name.clone(),
        min_version: written.min_version.into(),
        is_h2,
    };
    let place = |file| match file {
        File::Certificate(_) => join(path, "certificate"),
        File::Key(_) => join(path, "key"),
        File::Authorities => join(path, "ca"),
    };
    note(settings.check(), place, problems);
    Some(settings)
}

fn note(report: Report, place: impl Fn(File) -> String, problems: &mut Problems) {
    for problem in report.problems {
        let accepted = match problem.file {
            File::Certificate(_) | File::Authorities => "a readable PEM file with certificates",
            File::Key(_) => "a readable PEM file with the private key of that certificate",
        };
        problems.error(&place(problem.file), format!("names {problem}"), accepted);
    }
    for warning in report.warnings {
        let accepted = match warning.file {
            File::Certificate(_) | File::Authorities => "a certificate that is valid now",
            File::Key(_) => "a file that its owner alone can read (mode 600)",
        };
        problems.warning(&place(warning.file), format!("names {warning}"), accepted);
    }
}

impl From<VersionName> for Version {
    fn from(name: VersionName) -> Self {
        match name {
            VersionName::Tls12 => Self::Tls12,
            VersionName::Tls13 => Self::Tls13,
        }
    }
}
